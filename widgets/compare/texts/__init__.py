"""The Texts view of Compare. Main thread."""
