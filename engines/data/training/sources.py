"""Where training data are: a file, a folder of files with their splits, or a dataset of the hub in its cache on this
machine; and their fingerprint. Reads names only, but for `fingerprint`; any thread."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.data.training.built_in import BUILT_IN
from engines.data.training.docstrings import DOCSTRINGS
from engines.data.training.files import READERS
from engines.data.training.splits import Split, named_split
from engines.models.hub_cache import hub_caches, snapshots
from engines.models.identity import SCHEME, Digests, joined
from engines.protocol.text_file import FileError, no_file, own_path, unreadable

NAMES = (BUILT_IN, DOCSTRINGS)
"""Data that every machine has."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_DEPTH = 2
NOTES = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json", "config.json", "package.json"}
"""JSON files about data, not of data."""
FETCH = "llm-workbench data"


@dataclass(frozen=True)
class Source:
    """Files in order, and the split that each one's name says."""

    title: str
    folder: Path
    files: tuple[tuple[Path, Split | None], ...]

    def fingerprint(self, digest_of: Callable[[Path], str]) -> str:
        """ "sha256:…": of one file its own, of several one over their names and digests."""
        digests = [(file.relative_to(self.folder).as_posix(), digest_of(file)) for file, _ in self.files]
        if len(digests) == 1:
            return SCHEME + digests[0][1]
        return joined([f"{name} {digest}" for name, digest in digests])


def is_hub_id(data: str) -> bool:
    """Whether it is written as a dataset of the hub is: "owner/name"."""
    return bool(_HUB_ID.fullmatch(data)) and Path(data).suffix.lower() not in READERS


def find(data: str, base: Path = Path()) -> Source:
    """The files of a path, relative to `base`, or of a hub id. Raises `FileError`."""
    path = own_path(data, base)
    try:
        return _found(data, path)
    except OSError as error:
        raise unreadable(path, error) from error


def _found(data: str, path: Path) -> Source:
    if path.is_dir():
        return _of_folder(path, path.name)
    if not path.exists() and is_hub_id(data):
        snapshot = hub_snapshot(data)
        if snapshot is None:
            raise FileError(
                f"There is no file {data}, and no dataset of that name of the hub is on this computer.",
                f"If it is on the hub, fetch it with: {FETCH} {data}",
            )
        return _of_folder(snapshot, data)
    if not path.is_file():
        raise no_file(path)
    return Source(path.name, path.parent, ((path, None),))


def _of_folder(folder: Path, title: str) -> Source:
    """The data files of its most frequent kind. Where names say splits, files that say none are not used."""
    found = [
        file
        for depth in range(_DEPTH + 1)
        for file in sorted(folder.glob("*/" * depth + "*"))
        if file.suffix.lower() in READERS and file.name not in NOTES and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]  # fmt: skip
    if not found:
        raise FileError(f"The folder {folder} holds no data files.", f"Data files end in {', '.join(sorted(READERS))}.")
    kind = Counter(file.suffix.lower() for file in found).most_common(1)[0][0]
    files = [(file, split_of(file.relative_to(folder))) for file in found if file.suffix.lower() == kind]
    if any(split is not None for _, split in files):
        files = [(file, split) for file, split in files if split is not None]
    return Source(title, folder, tuple(files))


def split_of(name: Path) -> Split | None:
    """By the words of its folders and of its own name: "data/train-00000-of-00002.parquet"."""
    words = [word for part in (*name.parts[:-1], name.stem) for word in re.split(r"[^a-zA-Z]+", part)]
    return next((split for word in words if (split := named_split(word)) is not None), None)


def hub_snapshot(repository: str) -> Path | None:
    """The folder of a dataset in the hub's cache; None without one."""
    folders = (cache / f"datasets--{repository.replace('/', '--')}" for cache in hub_caches())
    return next((snapshot for folder in folders for snapshot in snapshots(folder)), None)


def fingerprint(source: Source, digests: Digests) -> str:
    """Raises `FileError`."""
    try:
        return source.fingerprint(digests.of)
    except OSError as error:
        raise FileError(f"{error.filename} cannot be read: {error.strerror}.", "Check its permissions.") from error
