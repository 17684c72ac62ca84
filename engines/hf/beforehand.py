"""What a template process imports for this engine: all that a trial imports, and no operation run. Imports torch."""

from __future__ import annotations

from importlib import import_module

from engines.data.text import held_out_text

MODULES = (
    "engines.hf.engine",  # first: it quietens the libraries before they are imported
    "engines.hf.precision",
    "transformers.generation.utils",
    "transformers.masking_utils",
    "transformers.modeling_layers",
)

for module in MODULES:
    import_module(module)
held_out_text()
