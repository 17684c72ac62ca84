"""What a person writes down to be run: the experiment file, presets, studies, and what is wrong with them."""

MORE_BLOCKS = 5
"""Further blocks that are offered of an experiment that was run."""
