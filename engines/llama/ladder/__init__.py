"""The quantisation ladder: the GGUF file an order needs, made in a process of its own and kept.

- `files`: which file, and whether it is here    - `__main__`: `python -m engines.llama.ladder`, in advance
- `make`: the process that makes them            - `lines`: what it says on the way
- `cache`: where files lie, and their facts      - `hub`: models of the hub      - `quantise`: llama.cpp's quantiser
"""
