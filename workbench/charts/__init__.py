"""Charts as data, of comparisons and of trials, and the series they are made of."""
