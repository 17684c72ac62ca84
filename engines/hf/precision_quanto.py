"""optimum-quanto's precisions: int8 and int4 weights. Worker process; imports torch.

int8 keeps one scale a row; int4 packs two weights in a byte, with a scale and a shift for each group of at most 128.
"""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from engines.hf import build_lock
from engines.hf.load import LoadRequest, load_weights
from engines.hf.precision import changed, chosen_dtype, linear_layers, reads_from_files, short


def load_quanto(request: LoadRequest) -> PreTrainedModel:
    """Linear layers in the format that the technique's id ends with: "quanto-int4"."""
    from optimum.quanto import freeze, qint4, qint8, quantize
    from transformers import QuantoConfig

    _free_kernels()
    weights = short(request).removeprefix("quanto-")
    dtype = chosen_dtype(request)
    if reads_from_files(request):
        return changed(load_weights(request, dtype, QuantoConfig(weights=weights)), request)
    model = load_weights(request, dtype)
    names = [name for name, _ in linear_layers(model)]
    if names:
        quantize(model, weights={"int4": qint4, "int8": qint8}[weights], include=names)
        freeze(model)
        model.requires_grad_(False)
    return changed(model, request)


def _free_kernels() -> None:
    """A killed worker's compilation of quanto's kernels would hold up this one without end."""
    from optimum.quanto.library.extensions.extension import get_extension

    build_lock.remove_left_over(Path(get_extension("quanto_cpp").build_directory))
