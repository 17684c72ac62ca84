"""The documentation's screenshots, made anew from real trials: every page, both themes, three sizes.

They are written to the folder in `LLM_WORKBENCH_SCREENSHOTS` (`make screenshots`), otherwise to a temporary one. The
trials shown are those of the database in `LLM_WORKBENCH_SCREENSHOTS_DATABASE` (a copy is opened), otherwise of the tiny
model, run here and now by the real engine.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from engines.protocol.places import STARTER_ID, starter_folder
from engines.runner.settings import WORKER_VARIABLE
from tests.house import House
from widgets.app import make_window
from widgets.shell.targets import OpenExperimentFile
from widgets.shell.window import Window
from workbench.experiment.file import dump

OUT = "LLM_WORKBENCH_SCREENSHOTS"
DATABASE = "LLM_WORKBENCH_SCREENSHOTS_DATABASE"
PAGES = ("setup", "monitor", "compare", "machines")
SETTLE_MS = 1500

pytestmark = [pytest.mark.real, pytest.mark.screenshots, pytest.mark.timeout(600)]


def prepare(house: House, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with finished trials."""
    given = os.environ.get(DATABASE)
    if given:
        copy = house.places.database
        copy.parent.mkdir(parents=True)
        shutil.copy(given, copy)
        starter = Path(given).parents[1] / "cache" / "models" / STARTER_ID
        if starter.is_dir():  # the database lies in a home: its starter model is shown too
            house.places.models.mkdir(parents=True)
            house.places.starter_model.symlink_to(starter)
        return copy
    monkeypatch.delenv(WORKER_VARIABLE)  # the real engine
    session = house.open()
    session.follow()
    plan = session.plan(house.experiment(trials=2, precisions=("float32", "bfloat16"), perplexity_tokens=64))
    trials = house.finished(session, session.run(plan), seconds=300)
    assert [t.outcome for t in trials] == ["completed"] * 4
    session.close()
    return house.places.database


def experiment_file(house: House) -> Path:
    """What Setup shows: two models, three precisions and a sweep."""
    model = STARTER_ID if starter_folder(house.places) else str(house.model)
    shown = house.experiment(trials=3, precisions=("float32", "bfloat16", "int8"), prompt_tokens=(128, 512))
    path = house.places.data / "precision.toml"
    path.write_text(
        dump(msgspec.structs.replace(shown, name="precision", models=(model, "random:qwen2.5-0.5b-instruct")))
    )
    return path


def grab(qtbot: QtBot, window: Window, page: str, mode: str, size: tuple[int, int], scale: float) -> QImage:
    window.theme.choose(mode, scale)
    window.resize(*size)
    window.navigate(page, None)
    qtbot.wait(SETTLE_MS)
    return window.grab().toImage()


def colors(image: QImage) -> int:
    """How many different colours a coarse grid of points has: a blank page has a handful."""
    step = 7
    points = ((x, y) for x in range(0, image.width(), step) for y in range(0, image.height(), step))
    return len({image.pixel(x, y) for x, y in points})


def test_that_every_page_shows_real_trials_in_both_themes_and_every_size(
    qtbot: QtBot, qapp: QApplication, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = prepare(house, monkeypatch)
    out = Path(os.environ.get(OUT, tmp_path / "screenshots")).absolute()
    out.mkdir(parents=True, exist_ok=True)
    window = make_window(qapp, house.places, database)
    qtbot.addWidget(window)
    window.resize(1440, 900)
    window.show()
    window.start()
    usable: list[bool] = []
    window.when_usable(lambda: usable.append(True))
    qtbot.waitUntil(lambda: bool(usable))
    monkeypatch.chdir(house.places.data)
    window.navigate("setup", OpenExperimentFile(Path(experiment_file(house).name)))
    for page in PAGES:  # what is read when a page is first shown has arrived before its picture is taken
        window.navigate(page, None)
        qtbot.wait(2 * SETTLE_MS)
    made: dict[str, QImage] = {}
    for page in PAGES:
        for mode in ("light", "dark"):
            made[f"{page}-{mode}"] = grab(qtbot, window, page, mode, (1440, 900), 1.0)
        made[f"{page}-small"] = grab(qtbot, window, page, "light", (1120, 700), 1.0)
        made[f"{page}-4k"] = grab(qtbot, window, page, "dark", (2880, 1800), 2.0)
    window.theme.choose("light", 1.0)
    for name, image in made.items():
        assert colors(image) > 20, f"{name} is blank"
        if not name.endswith(("-small", "-4k")) or OUT not in os.environ:
            assert image.save(str(out / f"{name}.png"))
    for page in PAGES:
        assert made[f"{page}-light"] != made[f"{page}-dark"]
    assert made["compare-light"] != made["setup-light"]
    window.close()
