"""The precision axis: how weights are stored and multiplied during inference."""

from __future__ import annotations

from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.model import Axis, Parameter, Technique

AXIS = Axis(
    id="precision",
    title="Precision",
    sentence="How the weights are stored and multiplied.",
    default="precision.float32",
)


def _not_gguf(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if model.kind == "gguf":
        return "A GGUF file keeps the precision it was written in."
    return None


def _bfloat16_note(_model: ModelFacts, machine: MachineFacts) -> str | None:
    if machine.device_kind == "cpu" and not machine.processor_flags & {"avx512_bf16", "amx_bf16", "bf16"}:
        return "No bfloat16 instructions on this processor: expect it to be slower than float32."
    return None


def _int8_note(_model: ModelFacts, machine: MachineFacts) -> str | None:
    if machine.device_kind == "cpu":
        return "On a processor torchao widens the weights at every use: smaller than float32, but usually slower."
    return None


def _float16_note(_model: ModelFacts, machine: MachineFacts) -> str | None:
    if machine.device_kind == "cpu" and not machine.processor_flags & {"avx512_fp16", "amx_fp16", "fphp"}:
        return "No float16 arithmetic on this processor: expect it to be much slower than float32."
    return None


TECHNIQUES = (
    Technique(
        id="precision.float32",
        title="float32",
        sentence="32-bit floating point, the reference.",
        source="IEEE 754-2019 binary32",
        implementation="engines.hf.precision:load_float",
        packages=("torch", "transformers"),
        obstacle=_not_gguf,
        bits=32,
        changes="all",
    ),
    Technique(
        id="precision.bfloat16",
        title="bfloat16",
        sentence="16 bits with the range of float32.",
        source="Kalamkar et al. 2019, arXiv 1905.12322",
        implementation="engines.hf.precision:load_float",
        packages=("torch", "transformers"),
        obstacle=_not_gguf,
        note=_bfloat16_note,
        bits=16,
        changes="all",
    ),
    Technique(
        id="precision.float16",
        title="float16",
        sentence="16 bits with more mantissa, less range.",
        source="IEEE 754-2019 binary16",
        implementation="engines.hf.precision:load_float",
        packages=("torch", "transformers"),
        obstacle=_not_gguf,
        note=_float16_note,
        bits=16,
        changes="all",
    ),
    Technique(
        id="precision.int8",
        title="int8",
        sentence="8-bit integer weights in the linear layers.",
        source="torchao Int8WeightOnlyConfig, https://github.com/pytorch/ao",
        implementation="engines.hf.precision:load_int8",
        parameters=(
            Parameter(
                name="compute",
                title="Compute precision",
                type="choice",
                default="auto",
                choices=("auto", "float32", "bfloat16", "float16"),
                hint="auto: bfloat16 where the device has instructions for it, float32 on other processors.",
            ),
        ),
        packages=("torch", "transformers", "torchao"),
        obstacle=_not_gguf,
        note=_int8_note,
        bits=8,
        changes="linear",
    ),
)
