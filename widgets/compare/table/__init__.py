"""The comparison table. Main thread."""
