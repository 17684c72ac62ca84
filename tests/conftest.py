"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engines.protocol.places import HOME_VARIABLE, Places, places

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Places of a user who has never run the application, under tmp_path, also for child processes."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return places()
