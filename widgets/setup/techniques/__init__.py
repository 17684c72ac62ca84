"""The Techniques panel of Setup. Main thread."""
