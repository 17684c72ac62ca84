"""Setting up another machine from the window. Main thread."""
