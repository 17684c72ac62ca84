"""What an experiment means: configurations with hashes and estimates, obstacles, the order of trials."""
