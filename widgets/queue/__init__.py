"""What runs and waits: the strip at the bottom and the queue panel. Main thread."""
