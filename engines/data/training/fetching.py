"""Fetching a dataset of the hub into its cache on this machine. Imports huggingface_hub when called; blocks for as long
as the network takes. A trial never does it: what it trains on is known when it is planned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engines.data.training.files import MAX_BYTES, READERS
from engines.data.training.sources import hub_snapshot, is_hub_id
from engines.protocol.text_file import FileError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_ELSEWHERE = "Or fetch it elsewhere, and choose its folder."
_KEPT = "Nothing was trained. What was fetched whole is kept, and the next attempt continues from there."


def fetch_dataset(repository: str) -> None:
    """Its data files. Nothing where it is not written as a dataset of the hub is, or is here. Raises `FileError`."""
    if not is_hub_id(repository) or Path(repository).exists() or hub_snapshot(repository) is not None:
        return
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError
    except ModuleNotFoundError as error:
        raise FileError(
            f"The package {error.name} is missing: datasets of the hub cannot be fetched.",
            "Install it: pip install huggingface_hub",
        ) from error
    try:
        _fetch(huggingface_hub.HfApi(), repository)
    except HfHubHTTPError as error:
        if error.response.status_code in (401, 403, 404):
            raise FileError(
                f"The hub shows no dataset called {repository}.",
                "Check its name. For one with terms or a private one, agree to its terms and set HF_TOKEN.",
            ) from error
        said = f"The hub answered with an error for {repository} ({error.response.status_code})."
        raise FileError(said, f"{_KEPT} {_ELSEWHERE}") from error
    except Exception as error:
        # the client's own libraries, whose errors have no common class, change with its versions
        if not isinstance(error, OSError) and not type(error).__module__.startswith(("huggingface_hub", "http")):
            raise
        said = str(error).partition("\n")[0].rstrip(".")[:200]
        raise FileError(f"The hub cannot be reached for {repository}: {said}.", f"{_KEPT} {_ELSEWHERE}") from error


def _fetch(hub: HfApi, repository: str) -> None:
    found = hub.dataset_info(repository, files_metadata=True, timeout=20)
    endings = tuple(READERS)
    size = sum(file.size or 0 for file in found.siblings or () if file.rfilename.lower().endswith(endings))
    if size > MAX_BYTES:
        raise FileError(
            f"{repository} has {size / 1e9:.1f} GB of data files; at most {MAX_BYTES / 1e9:.1f} GB are fetched.",
            "Fetch the files that you need, and choose their folder.",
        )
    hub.snapshot_download(repository, repo_type="dataset", allow_patterns=[f"*{ending}" for ending in endings])
