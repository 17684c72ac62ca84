"""A hub model's files on this machine. Imports huggingface_hub when called."""

from __future__ import annotations

from pathlib import Path

from engines.protocol.orders import ModelOrder
from engines.worker.failures import WorkerFailure, first_line

_FILES = ("*.json", "*.safetensors", "tokenizer.model", "chat_template.jinja")


def hub_folder(model: ModelOrder, *, allow_network: bool) -> Path | None:
    """The snapshot's folder; fetched where the network is allowed, else None unless it is complete in the cache.
    Raises `WorkerFailure`."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise WorkerFailure(
            "package",
            f"The package {error.name} is missing: hub models cannot be fetched.",
            "Install it where the runner runs: pip install huggingface_hub",
        ) from error
    try:
        found = snapshot_download(
            model.path,
            revision=model.revision or None,
            allow_patterns=list(_FILES),
            local_files_only=not allow_network,
        )
    except LocalEntryNotFoundError as error:
        if not allow_network:
            return None
        raise _failure(model, error) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise _failure(model, error) from error
    folder = Path(found)
    return folder if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")) else None


def _failure(model: ModelOrder, error: Exception) -> WorkerFailure:
    return WorkerFailure(
        "model",
        f"{model.title} could not be fetched: {first_line(error)}",
        "Check the name, the revision and the network; nothing else is affected.",
    )
