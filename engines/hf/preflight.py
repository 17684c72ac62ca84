"""What can be known to be wrong with an order before torch is imported. Worker process; no torch."""

from __future__ import annotations

from pathlib import Path

from engines.catalogue.claims import refusal
from engines.hf import files
from engines.hf.info import ENGINE
from engines.models.identity import Digests
from engines.protocol.orders import TechniqueOrder, TrialOrder
from engines.protocol.places import places
from engines.techniques import Technique, find
from engines.techniques import chosen as chosen_techniques
from engines.worker.failures import WorkerFailure


def preflight(order: TrialOrder) -> None:
    """Check technique and files. Raises `WorkerFailure`."""
    precision_of(order)
    model = order.model
    if model.kind == "folder":
        files.check_folder(Path(model.path))
        files.check_same(model, Path(model.path), Digests(places().digests))
    elif model.kind == "gguf":
        files.check_gguf(Path(model.path))
        files.check_same(model, Path(model.path), Digests(places().digests))
    elif model.kind == "hub" and model.path.endswith(".gguf"):
        raise WorkerFailure(
            "model",
            f"{model.title} is a GGUF file on the hub, which the transformers engine does not fetch.",
            "Run it with the llama.cpp engine, or fetch the file first and choose it.",
        )
    elif model.kind == "hub" and not order.allow_network:
        raise WorkerFailure(
            "model",
            f"{model.title} is on the hub, and this trial may not use the network.",
            "Allow the network for this experiment, or download the model and choose its folder.",
        )


def precision_of(order: TrialOrder) -> tuple[Technique, TechniqueOrder]:
    """The precision of an order. Raises `WorkerFailure` where the engine has no such precision."""
    chosen = chosen_techniques.precision_of(order.model, order.techniques)
    technique = find(chosen.id)
    assert technique is not None
    if refused := refusal(ENGINE, technique):
        raise WorkerFailure("technique", refused.message, refused.hint)
    return technique, chosen
