"""What llama.cpp's last words mean, for people. Pure; worker process."""

from __future__ import annotations

from typing import Protocol

from engines.worker.failures import WorkerFailure

_MEMORY_SIGNS = (
    "insufficient memory",
    "cannot allocate memory",
    "failed to allocate",
    "unable to allocate",
    "out of memory",
    "bad_alloc",
    "mmap failed",
    "alloc_tensor_range: failed",
)
_DAMAGED_SIGNS = (
    "not within the file bounds",
    "tensor data",
    "missing tensor",
    "wrong shape",
    "wrong number of tensors",
    "failed to read",
    "corrupted",
    "check_tensor_dims",
)
UNKNOWN_ARCHITECTURE = "unknown model architecture:"
_KEPT = "What was measured before is kept, and the queue continues."


class Heard(Protocol):
    """What llama.cpp has said (`engines.llama.library.Words`)."""

    def said(self, *signs: str) -> bool: ...

    def line_with(self, *signs: str) -> str: ...

    @property
    def last_error(self) -> str: ...


def load_failure(words: Heard, title: str, version: str) -> WorkerFailure:
    """Why a model could not be loaded."""
    if words.said(UNKNOWN_ARCHITECTURE):
        _, _, name = words.line_with(UNKNOWN_ARCHITECTURE).partition(UNKNOWN_ARCHITECTURE)
        return WorkerFailure(
            "model",
            f"llama.cpp (llama-cpp-python {version}) does not know the architecture {name.strip()} of {title}.",
            "Update llama-cpp-python, or choose another model. Nothing else is affected.",
        )
    if words.said(*_MEMORY_SIGNS):
        return _no_memory("loading the model", words, "Choose a smaller model or a precision with fewer bits.")
    if words.said(*_DAMAGED_SIGNS):
        return WorkerFailure(
            "model",
            f"{title} is damaged, or lacks a part of its model.",
            f"Fetch the file again; nothing else is affected. ({words.line_with(*_DAMAGED_SIGNS)})",
        )
    return WorkerFailure(
        "model",
        f"llama.cpp could not load {title}.",
        "The file may be damaged or of a newer format; nothing else is affected. "
        f"({words.line_with('error loading model') or 'It gave no reason.'})",
    )


def context_failure(words: Heard, tokens: int) -> WorkerFailure:
    """Why a context of `tokens` tokens (over all sequences) could not be made."""
    if words.said(*_MEMORY_SIGNS) or not words.last_error:
        return _no_memory(
            f"making the KV cache and buffers for {tokens:,} tokens",
            words,
            "Shorten prompt, output or depth, take a smaller batch, or quantise the KV cache.",
        )
    if words.said("flash_attn", "flash attention"):
        return WorkerFailure(
            "technique",
            "A quantised KV cache needs flash attention, and this model or device cannot have it.",
            f"Leave the KV cache at full precision. ({words.last_error})",
        )
    if words.said("does not divide"):
        return WorkerFailure(
            "technique",
            "The KV cache of this model cannot be quantised: its heads are no multiple of the block of 32.",
            f"Leave the KV cache at full precision. ({words.last_error})",
        )
    return WorkerFailure("engine", f"llama.cpp could not make a context for {tokens:,} tokens.", _because(words))


def decode_failure(words: Heard, code: int) -> WorkerFailure:
    """Why `llama_decode` returned `code`."""
    if code == 1:
        return WorkerFailure(
            "engine", "The KV cache has no room for the next tokens.", "Shorten prompt, output or depth. " + _KEPT
        )
    if code == -2 or words.said(*_MEMORY_SIGNS):
        return _no_memory("computing tokens", words, "Take a smaller batch or micro-batch, or shorter lengths.")
    return WorkerFailure("engine", f"llama.cpp could not compute a batch (code {code}).", _because(words))


def _no_memory(doing: str, words: Heard, what_to_do: str) -> WorkerFailure:
    why = words.line_with(*_MEMORY_SIGNS) or "llama.cpp gave no reason."
    return WorkerFailure(
        "out_of_memory", f"Memory ran out while {doing}.", f"{_KEPT} {what_to_do} Close other programs. ({why})"
    )


def _because(words: Heard) -> str:
    return f"{_KEPT} ({words.last_error or 'llama.cpp gave no reason.'})"
