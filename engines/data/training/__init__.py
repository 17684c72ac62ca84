"""What a model is trained on: built-in data or the user's own, read, split, tokenised, masked and packed into rows."""
