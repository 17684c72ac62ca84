"""Models whose files are quantised already: the precision they have of their own, and what else can be made of them.

What a library does with such files was looked up in transformers 5.23, `quantizers/`: some of them widen the weights
without saying so, and then a row "4 bit" would show the figures of another model.
"""

from __future__ import annotations

from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.model import Technique

AS_STORED = "precision.as-stored"

WIDENED_WHILE_LOADING = frozenset({"fp8", "mxfp8", "mxfp4", "compressed-tensors"})
"""Methods whose settings have `dequantize`: the weights are plain ones when the model is loaded."""
DEQUANTISED = WIDENED_WHILE_LOADING | {"bitsandbytes"}
"""Methods whose weights transformers can turn into plain ones."""
_GPU_ONLY = frozenset({"eetq", "fbgemm_fp8", "higgs", "fp_quant", "spqr", "vptq"})
_FLOAT8 = frozenset({"fp8", "mxfp8"})


def packages_of(model: ModelFacts) -> tuple[str, ...]:
    """Packages that read the model's files, besides torch and transformers; none for files that are not quantised."""
    return model.quantised_packages


def cannot_float(model: ModelFacts, _machine: MachineFacts) -> str | None:
    """Against a floating-point precision."""
    if model.kind == "gguf":
        return "A GGUF file keeps the precision it was written in."
    if model.quantised and model.quantised_by not in DEQUANTISED:
        return f"Its files hold {model.quantised} weights, which transformers cannot turn into plain ones."
    return None


def cannot_quantise(model: ModelFacts, machine: MachineFacts) -> str | None:
    """Against a quantised precision."""
    if model.quantised:
        return f"Its files hold {model.quantised} weights: quantised again they would carry both losses."
    return cannot_float(model, machine)


def float_note(model: ModelFacts, title: str) -> str | None:
    if not model.quantised:
        return None
    return f"Dequantised first: {model.quantised} weights in {title}, not those of the original model."


def _against(model: ModelFacts, machine: MachineFacts) -> str | None:
    if model.kind == "gguf":
        return "The llama.cpp engine runs a GGUF file as it is."
    if model.kind == "hub" and not model.architecture:
        return None
    if not model.quantised:
        return "Its files are not quantised: float32, bfloat16 and float16 are its precisions."
    kind, method = model.quantised, model.quantised_by
    if method == "compressed-tensors":
        return f"transformers unpacks {kind} weights at their first use: they do not run as stored."
    if method == "nvfp4":
        return "transformers cannot read files with nvfp4 weights yet."
    if machine.device_kind == "cpu" and method in _FLOAT8:
        return f"Without a GPU transformers widens {kind} weights while it loads them: they do not run as stored."
    if machine.device_kind == "cpu" and method in _GPU_ONLY:
        return f"{kind} weights need a GPU."
    least = (8, 9) if method in _FLOAT8 else (7, 5) if method == "mxfp4" else (0, 0)
    if (0, 0) < machine.compute_capability < least:
        return f"{kind} weights need a GPU of compute capability {least[0]}.{least[1]} to run as stored."
    return None


TECHNIQUES = (
    Technique(
        id=AS_STORED,
        title="as stored",
        sentence="The precision that the model's files were quantised in.",
        source="transformers, https://huggingface.co/docs/transformers/quantization/overview",
        implementation="engines.hf.precision_stored:load_stored",
        group="Quantised files",
        packages=("torch", "transformers"),
        needs=packages_of,
        obstacle=_against,
        changes="all",
    ),
)
