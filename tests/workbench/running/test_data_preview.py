"""Reading training data in a process of its own: what is said when that does not end well."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engines.protocol.orders import Training
from engines.protocol.places import places
from workbench.running import data_preview
from workbench.running.data_preview import PreviewFailed, read_preview


def test_that_data_that_take_too_long_are_given_up_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(command: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(data_preview.subprocess, "run", slow)
    with pytest.raises(PreviewFailed, match=r"^Reading the data took longer than 2 min and was ended") as failed:
        read_preview(places(), Training(), base=tmp_path, rows=range(5))
    assert "Command" not in str(failed.value)
    assert "Try again" in failed.value.advice
