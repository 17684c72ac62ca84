"""What the disk has confirmed before anybody relies on it: calls to fsync, in their order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engines.protocol.records import ClockPair, TrialEnded
from engines.runner.queue import Queue
from engines.runner.spools.archive import Archive
from engines.runner.spools.spool import RECORDS
from tests.engines.runner_harness import make_order


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was synced."""
    names: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        names.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)  # noqa: PTH115
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return names


def test_that_a_queue_and_its_place_in_the_folder_outlive_a_power_loss(tmp_path: Path, synced: list[str]) -> None:
    assert Queue(tmp_path / "queue.json").save() is None
    assert synced == ["queue.json.new", tmp_path.name]


def test_that_an_ended_trial_outlives_a_power_loss(tmp_path: Path, synced: list[str]) -> None:
    writer = Archive(tmp_path / "spools").create(make_order("t1")).writer
    writer.append([TrialEnded(outcome="completed", clock=ClockPair(1, 1))])
    writer.close()
    assert synced == [RECORDS, "t1", "spools"]


def test_that_a_tombstone_outlives_a_power_loss_before_anything_is_deleted(tmp_path: Path, synced: list[str]) -> None:
    archive = Archive(tmp_path / "spools")
    archive.create(make_order("t1"))
    archive.bury("t1")
    assert synced[0] == ".buried"
    assert not (tmp_path / "spools" / "t1").exists()
