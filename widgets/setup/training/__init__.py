"""What fine-tuning has in Setup: its data as the model sees it, and how it is trained."""
