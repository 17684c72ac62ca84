"""Precisions of the llama.cpp engine: the GGUF file as it is, and the quantisation ladder made from it.

Block formats and their sizes: ggml's quantisation blocks, https://github.com/ggml-org/llama.cpp (ggml-quants). A "_M"
mix keeps some tensors in a larger format, so the bits of a whole file depend on the model: these are for estimates,
and a trial counts its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engines.protocol.orders import Scalar
from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.model import Technique

CONVERTIBLE = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""`model_type` of Hugging Face models that `engines.llama.convert` can write as GGUF."""
PACKAGES = ("llama-cpp-python", "gguf")
_SOURCE = "llama.cpp, https://github.com/ggml-org/llama.cpp"


def _needs_gguf(model: ModelFacts, _machine: MachineFacts) -> str | None:
    return None if model.kind == "gguf" else "Only a GGUF file has a precision it was written in."


def _needs_convertible(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if model.kind == "gguf":
        return None
    if model.kind == "hub" and not model.architecture:
        return None
    if model.architecture not in CONVERTIBLE:
        known = ", ".join(sorted(CONVERTIBLE))
        return f"Cannot be written as GGUF here: its architecture is {model.architecture or 'unknown'}, not {known}."
    return None


def _bits(bits: float, _parameters: dict[str, Scalar]) -> float:
    return bits


def _rung(
    short: str,
    title: str,
    sentence: str,
    *,
    nominal: float,
    stored: float,
    obstacle: Callable[[ModelFacts, MachineFacts], str | None] = _needs_convertible,
) -> Technique:
    return Technique(
        id=f"precision.{short}",
        title=title,
        sentence=sentence,
        source=_SOURCE,
        implementation="engines.llama.ladder:plan_file",
        group="GGUF",
        packages=PACKAGES,
        engines=("llama.cpp",),
        obstacle=obstacle,
        bits=nominal,
        stored_bits=partial(_bits, stored),
        changes="all",
    )


STORED = "precision.gguf-stored"

TECHNIQUES = (
    _rung(
        "gguf-stored",
        "GGUF as it is",
        "The precision the file was written in, run by llama.cpp.",
        nominal=0,
        stored=0,
        obstacle=_needs_gguf,
    ),
    _rung("gguf-f16", "F16 (GGUF)", "float16 weights, run by llama.cpp.", nominal=16, stored=16),
    _rung("q8_0", "Q8_0", "8 bits in blocks of 32 with one scale.", nominal=8, stored=8.5),
    _rung("q6_k", "Q6_K", "6 bits in super-blocks of 256.", nominal=6, stored=6.57),
    _rung("q5_k_m", "Q5_K_M", "5 bits, a part of the tensors in 6.", nominal=5, stored=5.7),
    _rung("q4_k_m", "Q4_K_M", "4 bits, a part of the tensors in 6.", nominal=4, stored=4.85),
    _rung("q4_0", "Q4_0", "4 bits in blocks of 32 with one scale: the oldest and simplest.", nominal=4, stored=4.55),
    _rung("q3_k_m", "Q3_K_M", "3 bits, a part of the tensors in 4 and 5.", nominal=3, stored=3.9),
    _rung("q2_k", "Q2_K", "2 bits, a part of the tensors in 3 and 4.", nominal=2, stored=3.0),
)

_FILE_TYPES = {
    "gguf-f16": "F16",
    "q8_0": "Q8_0",
    "q6_k": "Q6_K",
    "q5_k_m": "Q5_K_M",
    "q4_k_m": "Q4_K_M",
    "q4_0": "Q4_0",
    "q3_k_m": "Q3_K_M",
    "q2_k": "Q2_K",
}
LADDER = tuple(_FILE_TYPES.values())
"""llama.cpp's names of the file types, the largest first."""


def type_name(technique: str) -> str | None:
    """llama.cpp's name of a technique's file type: "Q4_K_M" of "precision.q4_k_m"; None for others."""
    return _FILE_TYPES.get(technique.removeprefix("precision."))


def obstacle_of(model: ModelFacts, machine: MachineFacts) -> str | None:
    """Why no rung of the ladder can be made of a model, in a sentence, or None."""
    return _needs_convertible(model, machine)


def bits_of(type_name: str) -> float:
    """Bits per weight that a file of this type is reckoned with."""
    for technique in TECHNIQUES:
        if _FILE_TYPES.get(technique.short) == type_name and technique.stored_bits is not None:
            return technique.stored_bits({})
    return {"F32": 32.0, "BF16": 16.0}[type_name]
