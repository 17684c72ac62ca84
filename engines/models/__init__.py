"""Models as files: which make one, what their headers say, what it is the same as. No heavy import: for every floor."""
