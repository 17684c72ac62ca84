"""What engines are given: the starter model, task questions, texts, prompts, windows."""
