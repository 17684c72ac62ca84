"""The Models panel of Setup. Main thread."""
