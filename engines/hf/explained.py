"""What libraries raise for a model that they cannot read, in words. Worker process; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from engines.protocol.orders import ModelOrder
from engines.worker.failures import WorkerFailure, first_line, is_out_of_memory

_LIBRARY_ERRORS = (ValueError, KeyError, OSError, RuntimeError, AttributeError, TypeError, ImportError, SafetensorError)
"""What transformers, torch and safetensors raise for a model they cannot read."""


@contextmanager
def explained(model: ModelOrder) -> Iterator[None]:
    """Turns what libraries raise for an unreadable model into a failure with words for people."""
    try:
        yield
    except WorkerFailure:
        raise
    except ModuleNotFoundError:
        raise
    except _LIBRARY_ERRORS as error:
        if is_out_of_memory(error):
            raise
        raise _explanation(model, error) from error


def _explanation(model: ModelOrder, error: Exception) -> WorkerFailure:
    text = str(error)
    if "attn_implementation" in text or "scaled_dot_product_attention" in text:
        return WorkerFailure(
            "technique",
            f"{model.title} does not offer this attention backend: {first_line(error)}",
            "Choose the attention backend eager for this model.",
        )
    if "custom code" in text:
        return WorkerFailure(
            "model",
            f"{model.title} needs Python code that comes with it. Such code is not run: it could do all that you can.",
            "Choose a model whose architecture transformers has itself, or update transformers if it is new.",
        )
    if any(words in text for words in ("does not recognize this architecture", "Unrecognized", "trust_remote_code")):
        return WorkerFailure(
            "model",
            f"The architecture of {model.title} is not one that transformers can run as a causal language model.",
            "Choose a model made for text generation; where this one is, and new, update transformers. "
            f"({first_line(error)})",
        )
    if model.kind == "hub" and isinstance(error, OSError):
        return WorkerFailure(
            "fetch",
            f"{model.title} could not be fetched: {first_line(error).rstrip('.')}.",
            "Check the name, the revision and the network; nothing else is affected.",
        )
    return WorkerFailure(
        "model",
        f"{model.title} could not be loaded: {first_line(error).rstrip('.')}.",
        "The files may be damaged or of a newer format. Fetch the model again, or update transformers.",
    )
