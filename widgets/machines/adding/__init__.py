"""Adding a machine, and changing how one is reached. Main thread."""
