"""Precisions of the llama.cpp engine: the GGUF file as it is, and the quantisation ladder made from it.

Block formats and their sizes: ggml's quantisation blocks, https://github.com/ggml-org/llama.cpp (ggml-quants). The bits
of a whole file depend on the model's shape (`engines.techniques.gguf_sizes`); `stored` is for models whose shape is not
known: what the quantiser says of models of 7 to 8 billion weights. A trial counts its own.
"""

from __future__ import annotations

from functools import partial

from engines.protocol.orders import Scalar
from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.gguf_sizes import bits_per_weight
from engines.techniques.model import Technique

CONVERTIBLE = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""`model_type` of Hugging Face models that `engines.llama.convert` can write as GGUF."""
PACKAGES = ("llama-cpp-python", "gguf")
INSTALL = "llm-workbench doctor --install gguf"
"""Compiles llama.cpp for the processor, or takes the build that is kept; pip alone would do neither."""
SEQUENCES = 256
"""LLAMA_MAX_SEQ: sequences that a context of llama.cpp can hold."""
_SOURCE = "llama.cpp, https://github.com/ggml-org/llama.cpp"
_IMPLEMENTATION = "engines.llama.ladder.files:plan_file"


_NO_TOKENIZER = "The GGUF file has no tokenizer in it: no text can be given to it. Fetch a complete file of the model."


def _needs_gguf(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if model.kind != "gguf":
        return "Only a GGUF file has a precision it was written in."
    return None if model.has_tokenizer else _NO_TOKENIZER


def _needs_convertible(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if model.kind == "gguf":
        return None if model.has_tokenizer else _NO_TOKENIZER
    if model.kind == "hub" and not model.architecture:
        return None
    if model.architecture not in CONVERTIBLE:
        known = ", ".join(sorted(CONVERTIBLE))
        return f"Cannot be written as GGUF here: its architecture is {model.architecture or 'unknown'}, not {known}."
    if model.quantised:
        return f"Cannot be written as GGUF here: its files hold {model.quantised} weights."
    if model.kind == "folder" and not model.has_tokenizer:
        return "Cannot be written as GGUF here: its folder holds no tokenizer. Put the tokenizer's files beside it."
    return None


def _bits(bits: float, _parameters: dict[str, Scalar]) -> float:
    return bits


STORED = "precision.gguf-stored"

_RUNGS = (
    # llama.cpp's name, sentence, nominal bits, bits where the model's shape is not known
    ("F16", "float16 weights, run by llama.cpp.", 16, 16.0),
    ("Q8_0", "8 bits in blocks of 32 with one scale.", 8, 8.5),
    ("Q6_K", "6 bits in super-blocks of 256.", 6, 6.56),
    ("Q5_K_M", "5 bits, a part of the tensors in 6.", 5, 5.7),
    ("Q4_K_M", "4 bits, a part of the tensors in 6.", 4, 4.9),
    ("Q4_0", "4 bits in blocks of 32 with one scale: the oldest and simplest.", 4, 4.65),
    ("Q3_K_M", "3 bits, a part of the tensors in 4 and 5.", 3, 4.0),
    ("Q2_K", "2 bits, a part of the tensors in 3 and 4.", 2, 3.2),
)
LADDER = tuple(name for name, *_ in _RUNGS)
"""llama.cpp's names of the file types, the largest first."""
_FILE_TYPES = {("gguf-f16" if name == "F16" else name.lower()): name for name in LADDER}


def _rung(short: str, name: str, sentence: str, nominal: float, stored: float) -> Technique:
    return Technique(
        id=f"precision.{short}",
        title="F16 (GGUF)" if name == "F16" else name,
        sentence=sentence,
        source=_SOURCE,
        implementation=_IMPLEMENTATION,
        group="GGUF",
        packages=PACKAGES,
        install=INSTALL,
        engines=("llama.cpp",),
        obstacle=_needs_convertible,
        bits=nominal,
        stored_bits=partial(_bits, stored),
        shaped_bits=partial(bits_per_weight, name),
        changes="all",
    )


TECHNIQUES = (
    Technique(
        id=STORED,
        title="GGUF as it is",
        sentence="The precision the file was written in, run by llama.cpp.",
        source=_SOURCE,
        implementation=_IMPLEMENTATION,
        group="GGUF",
        packages=PACKAGES,
        install=INSTALL,
        engines=("llama.cpp",),
        obstacle=_needs_gguf,
        changes="all",
    ),
    *(_rung(short, *rung) for short, rung in zip(_FILE_TYPES, _RUNGS, strict=True)),
)


def type_name(technique: str) -> str | None:
    """llama.cpp's name of a technique's file type: "Q4_K_M" of "precision.q4_k_m"; None for others."""
    return _FILE_TYPES.get(technique.removeprefix("precision."))


def obstacle_of(model: ModelFacts, machine: MachineFacts) -> str | None:
    """Why no rung of the ladder can be made of a model, in a sentence, or None."""
    return _needs_convertible(model, machine)


def bits_of(type_name: str) -> float:
    """Bits per weight of a file of this type, where nothing is known of the model."""
    return {"F32": 32.0, "BF16": 16.0, **{name: bits for name, _, _, bits in _RUNGS}}[type_name]
