"""A package of somebody else's: an engine, an axis and a metric, named in its entry points only."""
