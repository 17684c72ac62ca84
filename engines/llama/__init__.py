"""The llama.cpp engine, over llama-cpp-python's low-level interface. Worker process; imports llama_cpp."""
