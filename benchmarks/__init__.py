"""Speed and memory goals: programs that print a figure beside its reference, never timed tests."""
