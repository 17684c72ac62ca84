"""The Workload panel of Setup. Main thread."""
