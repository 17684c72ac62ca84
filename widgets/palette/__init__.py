"""The command palette and the sheet of shortcuts. Main thread."""
