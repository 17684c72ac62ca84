"""Models built from an edited config: transformers' own classes, and what stands beside them in slots. Imports torch.

- `build`: config to model      - `positions`: what enters a decoder's forward pass     - `experts`: balance and load
"""
