"""Opening databases, and files that come to the window. Main thread."""
