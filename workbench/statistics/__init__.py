"""Intervals, sampling errors, outliers, and when an experiment may end early. Pure."""
