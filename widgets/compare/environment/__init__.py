"""The sheet that compares environments. Main thread."""
