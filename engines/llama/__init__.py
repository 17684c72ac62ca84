"""The llama.cpp engine, over llama-cpp-python's low-level interface. Worker process; imports llama_cpp.

- `preflight`: what can be refused before llama.cpp is loaded
- `engine`: the parts below as one `engines.worker.engine.Engine`
- `library`: llama.cpp in this process, and its log              - `failures`: what its last words mean
- `amx`: whether this build's AMX code works here                - `facts`: environment
- `model`: weights        - `context`: KV cache and buffers       - `vocabulary`: the file's own tokenizer
- `batches`: tokens in memory   - `generate`: the measured loop  - `shape`: facts of the model's shape, its cache
- `reading/`: text in, text out; log probabilities, perplexity
- `ladder/`: the GGUF file an order needs, made in a process of its own by `convert/` and llama.cpp's quantiser
"""
