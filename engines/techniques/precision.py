"""The precision axis: how weights are stored and multiplied during inference. Here the axis and the floating-point
precisions; quantised ones stand in `precision_quantised` (transformers) and `gguf` (llama.cpp)."""

from __future__ import annotations

from functools import partial

from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.model import Axis, Technique
from engines.techniques.precision_stored import cannot_float, float_note, packages_of

AXIS = Axis(
    id="precision",
    title="Precision",
    sentence="How the weights are stored and multiplied.",
    default="precision.float32",
)

GROUP = "Float"

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Processor flags that mean instructions for bfloat16 products."""
_FLOAT16_FLAGS = frozenset({"avx512_fp16", "amx_fp16", "fphp"})


def no_bfloat16(machine: MachineFacts) -> bool:
    """Whether this is a processor that emulates bfloat16."""
    return machine.device_kind == "cpu" and not machine.processor_flags & BFLOAT16_FLAGS


def _no_float16(machine: MachineFacts) -> bool:
    return machine.device_kind == "cpu" and not machine.processor_flags & _FLOAT16_FLAGS


def _float32_note(model: ModelFacts, _machine: MachineFacts) -> str | None:
    return float_note(model, "float32")


def _bfloat16_note(model: ModelFacts, machine: MachineFacts) -> str | None:
    slow = "No bfloat16 instructions on this processor: expect it to be slower than float32."
    return _joined(float_note(model, "bfloat16"), slow if no_bfloat16(machine) else None)


def _float16_note(model: ModelFacts, machine: MachineFacts) -> str | None:
    slow = "No float16 arithmetic on this processor: expect it to be much slower than float32."
    return _joined(float_note(model, "float16"), slow if _no_float16(machine) else None)


def _joined(*notes: str | None) -> str | None:
    return " ".join(note for note in notes if note) or None


_float = partial(
    Technique,
    implementation="engines.hf.precision:load_float",
    group=GROUP,
    packages=("torch", "transformers"),
    needs=packages_of,
    obstacle=cannot_float,
    changes="all",
)

TECHNIQUES = (
    _float(
        id="precision.float32",
        title="float32",
        sentence="32-bit floating point, the reference.",
        source="IEEE 754-2019 binary32",
        works=("inference", "training", "pretraining"),
        note=_float32_note,
        bits=32,
    ),
    _float(
        id="precision.bfloat16",
        title="bfloat16",
        sentence="16 bits with the range of float32.",
        source="Kalamkar et al. 2019, arXiv 1905.12322",
        works=("inference", "training", "pretraining"),
        note=_bfloat16_note,
        slow=no_bfloat16,
        bits=16,
    ),
    _float(
        id="precision.float16",
        title="float16",
        sentence="16 bits with more mantissa, less range.",
        source="IEEE 754-2019 binary16",
        note=_float16_note,
        slow=_no_float16,
        bits=16,
    ),
)
