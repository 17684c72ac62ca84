"""What is done with a model, whatever the engine: text, prompts, windows. No torch; worker process."""
