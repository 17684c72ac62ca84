"""Merged models of the cache take no more room than the disk has free."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engines.models import artifacts, merged_cache
from engines.models.artifacts import Made
from engines.protocol.orders import ModelOrder

NOW = 1_700_000_000.0
HOUR = 3600.0


def merged(cache: Path, name: str, size: int, used_before_s: float) -> Path:
    folder = merged_cache.place(cache) / name
    base = ModelOrder(ref="m", title="m", kind="folder")
    made = Made(artifact="model", trial="t", title=name, experiment_title="e", step=0, base=base)
    folder.parent.mkdir(parents=True, exist_ok=True)
    artifacts.write(folder, made, lambda draft: (draft / "model.safetensors").write_bytes(bytes(size)) and None)
    os.utime(artifacts.manifest_of(folder), (NOW - used_before_s,) * 2)
    return folder


@pytest.mark.parametrize(
    ("free", "gone"),
    [(600, ()), (599, ("old",)), (200, ("old",)), (199, ("old", "older")), (0, ("old", "older"))],
)
def test_that_the_least_recently_used_go_until_they_fit(tmp_path: Path, free: int, gone: tuple[str, ...]) -> None:
    """600 bytes in all; what goes is free again: with 200 free, 400 are left and 400 free once the first went."""
    for name, size, used_before_s in (("old", 200, 9 * HOUR), ("older", 100, 5 * HOUR), ("now", 300, 0.0)):
        merged(tmp_path, name, size, used_before_s)
    went = merged_cache.trim(tmp_path, free=free, now_s=NOW)
    assert [folder.name for folder in went] == list(gone)
    left = {one.folder.name for one in merged_cache.entries(tmp_path)}
    assert left == {"old", "older", "now"} - set(gone)
    assert not any(folder.exists() for folder in went)


def test_that_one_that_a_trial_took_within_the_hour_stays(tmp_path: Path) -> None:
    recent, old = merged(tmp_path, "recent", 10, HOUR - 1), merged(tmp_path, "old", 10, HOUR)
    assert merged_cache.trim(tmp_path, free=0, now_s=NOW) == (old,)
    assert recent.is_dir()


def test_that_taking_one_makes_it_the_last_to_go(tmp_path: Path) -> None:
    first, second = merged(tmp_path, "a", 10, 9 * HOUR), merged(tmp_path, "b", 10, 2 * HOUR)
    merged_cache.take(first)
    assert [one.folder for one in merged_cache.entries(tmp_path)] == [second, first]
    assert merged_cache.entries(tmp_path / "empty") == []
