"""Text in, text out, outside the timed phases: what tasks and perplexity ask of a loaded model.

- `reader`: an `engines.worker.engine.Reader`    - `chat`: the file's own chat template
- `score`: log probabilities of a text's tokens, and the loss of a window of held-out text
"""
