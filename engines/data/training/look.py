"""What training data are, without a tokenizer: for plans, which ask often. Any thread; imports no engine's library."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from engines.data.training.columns import Columns, columns_of
from engines.data.training.dataset import fingerprint_of, first_rows, sample_of, table_of
from engines.data.training.files import Bad
from engines.data.training.sources import NAMES, Source, find, is_hub_id
from engines.data.training.splits import Split, key_of
from engines.protocol.text_file import own_path
from engines.protocol.work import Training

_WHOLE_BYTES = 64 << 20
"""Up to here all rows are read, in about a second; of larger data only enough to guess columns."""
_BAD = 3


@dataclass(frozen=True)
class Look:
    """`data` is what an order names: a built-in name, a hub id, or an absolute path."""

    data: str
    hash: str = ""
    """"sha256:…"; "" of built-in data, which the worker's Python has."""
    columns: Columns = field(default_factory=Columns)
    names: tuple[str, ...] = ()
    rows: int | None = None
    """None where not all were read."""
    different: int | None = None
    """Usable rows that do not say the same as another; None where not all were read."""
    bad: int = 0
    first_bad: tuple[Bad, ...] = ()
    own_splits: frozenset[Split] = frozenset()


def look(workload: Training, base: Path) -> Look:
    """A relative path starts at `base`. Raises `FileError`; a `ColumnError` where a named column is not there."""
    if workload.data in NAMES:
        return Look(workload.data)
    source = find(workload.data, base)
    path = own_path(workload.data, base)
    data = workload.data if is_hub_id(workload.data) and not path.exists() else str(path)
    named = (workload.prompt_column, workload.response_column, workload.messages_column, workload.text_column)
    return _looked(data, fingerprint_of(source), source, named)


@lru_cache(maxsize=16)
def _looked(data: str, hash: str, source: Source, named: tuple[str, str, str, str]) -> Look:
    prompt, response, messages, text = named
    workload = Training(prompt_column=prompt, response_column=response, messages_column=messages, text_column=text)
    if sum(file.stat().st_size for file, _ in source.files) > _WHOLE_BYTES:
        sample = sample_of(source, first_rows(source))
        names = tuple(dict.fromkeys(name for fields in sample for name in fields))
        return Look(data, hash, columns_of(workload, sample), names)
    table = table_of(source, hash, workload)
    own = frozenset(split for split in table.own_splits if split is not None)
    rows = len(table.examples) + len(table.bad)
    different = len(set(map(key_of, table.examples)))
    return Look(data, hash, table.columns, table.names, rows, different, len(table.bad), table.bad[:_BAD], own)
