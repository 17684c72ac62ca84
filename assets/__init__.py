"""Data the application carries: tokens, icons, the model catalogue, the demo."""
