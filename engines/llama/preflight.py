"""What can be known to be wrong with an order before llama.cpp is loaded. Worker process; no llama_cpp, no numpy."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from engines.catalogue.claims import refusal
from engines.hf import files
from engines.llama.info import ENGINE
from engines.llama.library import PACKAGE_ADVICE
from engines.llama.shape import head_sizes
from engines.models.gguf import GgufModel
from engines.models.identity import Digests
from engines.protocol.orders import TechniqueOrder, TrialOrder
from engines.protocol.places import places
from engines.techniques import Technique, find
from engines.techniques import chosen as chosen_techniques
from engines.techniques.gguf import STORED
from engines.techniques.kv_cache import BLOCK
from engines.techniques.unfit import unfit_gguf
from engines.worker.failures import WorkerFailure


def preflight(order: TrialOrder) -> None:
    """Check package, techniques, sizes and, where it is there already, the file. Raises `WorkerFailure`."""
    check_packages()
    precision_of(order)
    path = Path(order.model.path)
    if order.model.kind == "folder":
        files.check_folder(path)
    elif order.model.kind == "gguf":
        check_header(files.gguf_model(path), order)
    if order.model.kind in ("folder", "gguf"):
        files.check_same(order.model, path, Digests(places().digests))


def check_packages() -> None:
    """Raise `WorkerFailure` where a package of the engine is missing: gguf too, which everything that writes a file
    needs, and the look whether this build's AMX code works."""
    for module, package in (("llama_cpp", "llama-cpp-python"), ("gguf", "gguf")):
        if find_spec(module) is None:
            raise WorkerFailure("package", f"The package {package} is missing.", PACKAGE_ADVICE)


def precision_of(order: TrialOrder) -> tuple[Technique, TechniqueOrder]:
    """The precision of an order. Raises `WorkerFailure` where the engine has no such precision."""
    chosen = chosen_techniques.precision_of(order.model, order.techniques)
    technique = find(chosen.id)
    assert technique is not None
    if refused := refusal(ENGINE, technique):
        raise WorkerFailure("technique", refused.message, refused.hint)
    if technique.id == STORED and not chosen_techniques.names_gguf(order.model):
        raise WorkerFailure(
            "technique",
            f"{order.model.title} is no GGUF file: it has no precision that it was written in.",
            "Choose a rung of the ladder, for example gguf-f16.",
        )
    return technique, chosen


def kv_cache_of(order: TrialOrder) -> str:
    """ "full", "q8_0" or "q4_0"."""
    chosen = order.technique("kv_cache")
    return chosen.id.partition(".")[2] if chosen else "full"


def check_header(header: GgufModel, order: TrialOrder) -> None:
    """Tokenizer, context and KV cache against what the file says of itself. Raises `WorkerFailure`."""
    title, workload = order.model.title, order.inference
    if not header.architecture:
        raise WorkerFailure(
            "model", f"The file of {title} names no architecture.", "It is no language model. Choose another file."
        )
    if why := unfit_gguf(header.metadata):
        raise WorkerFailure("model", f"{title}: {why}", "Choose a model made for text generation.")
    if (
        str(header.metadata.get("tokenizer.ggml.model", "none")) in ("none", "no_vocab")
        and order.model.kind != "random"
    ):
        raise WorkerFailure(
            "model",
            f"The file of {title} has no tokenizer in it: no text can be given to it.",
            "Fetch a complete GGUF file of the model, or convert it again from its folder with the tokenizer's files.",
        )
    own = header.number("context_length")
    wanted = workload.depth_tokens + workload.prompt_tokens + workload.new_tokens
    if own is not None and wanted > own:
        raise WorkerFailure(
            "model",
            f"{title} has a context of {own:,} tokens; {wanted:,} are asked for.",
            "Shorten the prompt, the output or the depth.",
        )
    sizes = [size for size in head_sizes(header) if size]
    if kv_cache_of(order) != "full" and any(size % BLOCK for size in sizes):
        raise WorkerFailure(
            "technique",
            f"The KV cache of {title} cannot be quantised: its heads have {sizes[0]} values, no multiple of {BLOCK}.",
            "Leave the KV cache at full precision.",
        )
