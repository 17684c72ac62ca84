"""Testing another machine from the window. Main thread."""
