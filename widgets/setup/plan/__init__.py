"""The plan in Setup: table, problems, command line and Run. Main thread."""
