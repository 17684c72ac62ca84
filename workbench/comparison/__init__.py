"""What was learned: summaries, ratios with intervals, verdicts, cautions."""
