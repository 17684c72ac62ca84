"""An engine whose module cannot be imported."""

raise RuntimeError("made to fail")
