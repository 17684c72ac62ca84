"""What the window says meanwhile: toasts, their history, cards over the window. Main thread."""
