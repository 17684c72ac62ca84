"""The Machine panel of Setup. Main thread."""
