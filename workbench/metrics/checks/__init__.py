"""Whether a trial's figures hold: checks of its machine, pace and stamps, and the verdict they make. Pure."""
