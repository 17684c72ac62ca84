"""What a person writes down to be run: the experiment file, presets, studies, and what is wrong with them."""
