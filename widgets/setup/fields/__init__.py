"""Forms and fields of Setup, and what is typed into them. Main thread."""
