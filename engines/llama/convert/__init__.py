"""A Hugging Face folder, or an architecture with random weights, as a GGUF file.

- `write`: the file      - `shape`: what its architecture says, and what is refused
- `names`: which tensor is which                 - `weights`: tensors one by one, in the type asked for
- `tokenizer`, `sentencepiece`: the vocabulary   - `check`: does llama.cpp cut text into the same tokens
"""
