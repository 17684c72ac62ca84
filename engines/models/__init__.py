"""Models as files: which files make one, and what it is the same as. No heavy import: every floor may use it."""
