"""Figures computed from records: the registry of metrics and the verdict on a trial's validity."""
