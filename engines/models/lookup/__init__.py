"""From what somebody wrote to a model on this machine, by its config and headers. No heavy import: for every floor."""
