"""The card of a number. Main thread."""
