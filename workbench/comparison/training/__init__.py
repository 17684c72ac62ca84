"""What a comparison of training trials says beyond its table: its basis, each method at its own optimum, what can be
seen with the seeds that were run, and who reached the target loss. Pure; values first, sentences last."""
