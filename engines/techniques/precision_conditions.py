"""When a quantised precision cannot apply, what to know of it where it can, and the bits it stores. Pure.

Where we could not run a library on a device, what it does was looked up in its code: torchao 0.18
(Int4WeightOnlyConfig, Float8...Config), bitsandbytes 0.50 (nn.Linear4bit). docs/techniques.md says what ran where.
"""

from __future__ import annotations

from collections.abc import Callable

from engines.protocol.orders import Scalar
from engines.techniques.facts import CONV1D, MachineFacts, ModelFacts
from engines.techniques.precision import no_bfloat16
from engines.techniques.precision_stored import cannot_quantise

Says = Callable[[ModelFacts, MachineFacts], str | None]

_SMALL_SHARE = 0.5
"""Below this share of weights in linear layers a note says what quantisation leaves alone."""
_TILE = 1024
"""torchao's int4 kernel pads each row of weights to a multiple of this."""


def linear_layers(model: ModelFacts, machine: MachineFacts) -> str | None:
    """Against what has no linear layers to quantise."""
    if problem := cannot_quantise(model, machine):
        return problem
    if model.architecture in CONV1D:
        return f"The layers of {model.architecture} are Conv1D; only linear layers are quantised here."
    if model.parameters and not model.linear_parameters:
        return "The model has no linear layers that could be quantised."
    return None


def _capability(machine: MachineFacts, least: tuple[int, int], what: str) -> str | None:
    """A sentence where the GPU's compute capability is known and too low."""
    found = machine.compute_capability
    if machine.device_kind != "cuda" or found == (0, 0) or found >= least:
        return None
    return f"{what} needs a GPU of compute capability {least[0]}.{least[1]}; this one has {found[0]}.{found[1]}."


def llm_int8_against(model: ModelFacts, machine: MachineFacts) -> str | None:
    return linear_layers(model, machine) or _capability(machine, (7, 5), "LLM.int8()")


def bnb_four_against(model: ModelFacts, machine: MachineFacts) -> str | None:
    """For processors with AVX-512 bfloat16 bitsandbytes repacks 4-bit weights: 32 rows at once, whole blocks of 64."""
    if problem := linear_layers(model, machine) or _capability(machine, (6, 0), "bitsandbytes"):
        return problem
    if on_processor(machine) and _repacked(machine):
        if model.linear_out_divisor % 32:
            return "On this processor bitsandbytes needs layers whose output width is a multiple of 32."
        if model.linear_in_divisor % 64:
            return "On this processor bitsandbytes needs layers whose input width is a multiple of 64."
    return None


def int4_against(model: ModelFacts, machine: MachineFacts) -> str | None:
    if problem := linear_layers(model, machine):
        return problem
    if machine.device_kind == "cpu":
        return "torchao has 4-bit kernels for GPUs only; nf4 and the GGUF formats run on processors."
    if problem := _capability(machine, (8, 0), "torchao's int4 kernel"):
        return problem
    if model.linear_in_divisor % 32:
        return "Groups of 32 weights, the smallest, do not divide the input width of every layer."
    return None


def float8_against(model: ModelFacts, machine: MachineFacts) -> str | None:
    if problem := linear_layers(model, machine):
        return problem
    if on_processor(machine):
        return "On a processor torchao unpacks float8 many times slower than it multiplies; int8 is as small."
    return _capability(machine, (8, 9), "float8")


def float8_dynamic_against(model: ModelFacts, machine: MachineFacts) -> str | None:
    if problem := linear_layers(model, machine):
        return problem
    if machine.device_kind == "cpu":
        return "float8 products need a GPU of compute capability 8.9; LLM.int8() rounds activations on processors too."
    if problem := _capability(machine, (8, 9), "float8"):
        return problem
    if model.linear_in_divisor % 16 or model.linear_out_divisor % 16:
        return "float8 products need layers whose widths are multiples of 16."
    return None


def on_processor(machine: MachineFacts) -> bool:
    return machine.device_kind == "cpu"


def bnb_four_slow(machine: MachineFacts) -> bool:
    """Whether bitsandbytes has no product of 4-bit weights here and widens them."""
    return on_processor(machine) and not _repacked(machine)


def _repacked(machine: MachineFacts) -> bool:
    return "avx512_bf16" in machine.processor_flags


def with_share(*notes: Says) -> Says:
    """All the notes that apply, in one text; the share of weights that stays as it is comes last."""

    def note(model: ModelFacts, machine: MachineFacts) -> str | None:
        found = [text for one in (*notes, _share) if (text := one(model, machine))]
        return " ".join(found) or None

    return note


def _share(model: ModelFacts, _machine: MachineFacts) -> str | None:
    share = model.linear_parameters / model.parameters if model.parameters else 1.0
    if share >= _SMALL_SHARE:
        return None
    return f"Changes {share:.0%} of the weights: the others are embeddings, the output head or stacked experts."


def widened(library: str) -> Says:
    def note(_model: ModelFacts, machine: MachineFacts) -> str | None:
        if on_processor(machine):
            return f"On a processor {library} widens the weights at every use: smaller than float32, usually slower."
        return None

    return note


def quanto_eight_note(model: ModelFacts, machine: MachineFacts) -> str | None:
    """With bfloat16 instructions decoding gained and prefill lost (docs/techniques.md)."""
    return widened("quanto")(model, machine) if no_bfloat16(machine) else None


def llm_int8_note(_model: ModelFacts, machine: MachineFacts) -> str | None:
    if on_processor(machine):
        return "On a processor it rounds activations in many small steps: smaller than float32, but slower."
    return None


def bnb_four_note(_model: ModelFacts, machine: MachineFacts) -> str | None:
    if not on_processor(machine):
        return None
    if bnb_four_slow(machine):
        return "Without AVX-512 bfloat16 bitsandbytes widens the weights at every use: usually slower than float32."
    return (
        "On this processor products are made in bfloat16 whatever the compute precision, and double quantisation is "
        "undone at the first use."
    )


def int4_note(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if model.linear_in_divisor % _TILE:
        return f"Rows are padded to multiples of {_TILE:,} weights, so this model is stored in more than 4 bits."
    return None


def bnb_four_bits(parameters: dict[str, Scalar]) -> float:
    """A float32 scale for 64 weights, or an 8-bit one and a float32 for 256 of these (QLoRA, section 3)."""
    return 4 + 8 / 64 + 32 / (64 * 256) if parameters.get("double_quantisation") else 4 + 32 / 64


def int4_bits(parameters: dict[str, Scalar]) -> float:
    """A bfloat16 scale and zero point a group; without the padding of narrow layers."""
    group = parameters.get("group_size", "auto")
    return 4 + 32 / (int(group) if isinstance(group, str) and group.isdecimal() else 128)


def quanto_four_bits(parameters: dict[str, Scalar]) -> float:
    """A scale and a shift in the compute precision for at most 128 weights."""
    return 4 + (64 if parameters.get("compute") == "float32" else 32) / 128
