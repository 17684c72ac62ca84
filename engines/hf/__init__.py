"""The transformers engine. Imported in the worker process only; heavy libraries are imported by its modules.

- `preflight`: what can be refused before torch is imported
- `engine`: the parts below as one `engines.worker.engine.Engine`
- `quiet`: libraries' logs and progress bars      - `files`: a model's files, checked without torch
- `load`: weights and tokenizer                   - `precision`: what the precision techniques do
- `count`: parameters and bytes from tensors      - `text`: held-out text and prompts
- `generate`: the measured loop                   - `clocks`: host stamps and device events
- `perplexity`: quality                           - `facts`: environment
- `reader`: text in, text out                     - `likelihoods`: many continuations at once
- `convert`: the starter model, GGUF to folder
"""
