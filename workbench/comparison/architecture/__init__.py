"""What architectures cost to run: curves against length, how they grow, where they cross."""
