"""The list of models where other machines are ticked: what is there, what would be copied, what is only there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from engines.models.lookup.local_model import LocalModel
from engines.protocol.client import RunnerError
from engines.protocol.places import Places
from engines.protocol.problems import COPY, Fix, Problem
from tests.tiny_model import make_tiny_model
from tests.widgets.machines_kit import LAB, THERE, added, connected
from tests.widgets.setup.kit import FakeWorkbench, click_row, open_page, settle
from widgets.setup.models.rows import ModelRow
from widgets.setup.models.there import Elsewhere, There
from widgets.setup.page import SetupPage
from widgets.shell.services import Services
from workbench.plan.plan import Plan

HUB = "acme/tiny-1b"


def model(ref: str, size_bytes: int = 1 << 20, **more: str) -> LocalModel:
    kind = "gguf" if ref.endswith(".gguf") else "folder"
    return LocalModel(
        ref=ref, title=ref.rpartition("/")[2], source="LM Studio", kind=kind, path=ref, size_bytes=size_bytes, **more
    )


def says(
    ref: str, *models: LocalModel, plan: Plan | None = None, is_hub: bool = False, size_bytes: int = 3 << 30
) -> str:
    there = There("lab", "gpu-box", models)
    return Elsewhere((there,), plan).says_of((ref,), size_bytes, is_hub=is_hub)


def test_that_a_model_is_there_under_its_name_or_is_copied_or_downloaded() -> None:
    assert says("/m/a", model("/m/a")) == "on gpu-box"
    assert says("/m/a", model("/m/b")) == "to copy to gpu-box, 3.00 GiB"
    assert says(HUB, is_hub=True) == "downloaded on gpu-box when it runs"
    assert says(HUB, model(HUB), is_hub=True) == "on gpu-box"
    assert says("/m/a", model("/there/x", 3 << 30)) == "perhaps on gpu-box (same size)"


def test_that_nothing_is_said_before_a_machine_has_answered() -> None:
    assert Elsewhere((There("lab", "gpu-box"),)).says_of(("/m/a",), 1, is_hub=False) == ""
    assert Elsewhere((There("lab", "gpu-box", error="Gone."),)).says_of(("/m/a",), 1, is_hub=False) == ""
    both = Elsewhere((There("lab", "gpu-box", (model("/m/a"),)), There("two", "box-2", ())))
    assert both.says_of(("/m/a",), 1 << 30, is_hub=False) == "on gpu-box; to copy to box-2, 1.00 GiB"


class Far:
    """The fake with one machine besides, which answers when `answers` is set."""

    def __init__(self, fake: FakeWorkbench) -> None:
        self.models: tuple[LocalModel, ...] = ()
        self.error: RunnerError | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0
        self.offered: tuple[Problem, ...] = ()
        fake.models_on = self.models_on  # type: ignore[attr-defined]
        self._plan = fake.plan
        fake.plan = self.plan  # type: ignore[method-assign]

    def models_on(self, machine: str) -> tuple[LocalModel, ...]:
        assert machine == "lab"
        assert self.answers.wait(60)
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.models

    def plan(self, experiment: object, base: Path | None = None, *, wait: bool = True) -> Plan:
        made = self._plan(experiment, base, wait=wait)  # type: ignore[arg-type]
        return Plan(
            **{f: getattr(made, f) for f in made.__struct_fields__} | {"problems": (*made.problems, *self.offered)}
        )


@pytest.fixture
def far(fake: FakeWorkbench) -> Far:
    return Far(fake)


@pytest.fixture
def page(qtbot: QtBot, services: Services, home: Places, far: Far) -> Iterator[SetupPage]:
    """With one model of this computer, and the machine ticked."""
    make_tiny_model(Path.home() / ".lmstudio" / "models" / "somebody" / "mine")
    added(services.places, LAB)
    services.bridge.probes["lab"] = THERE
    made = open_page(qtbot, services)
    yield made
    made.shutdown()


def row_of(page: SetupPage, title: str) -> ModelRow | None:
    rows = (row for group in page.models.tree.model_.groups for row in group.rows)
    return next((row for row in rows if isinstance(row, ModelRow) and row.title == title), None)


def tick_lab(qtbot: QtBot, page: SetupPage) -> None:
    qtbot.waitUntil(lambda: "lab/cuda:GPU-1" in page.machine.checks)
    page.machine.checks["lab/cuda:GPU-1"].click()


def groups(page: SetupPage) -> list[str]:
    return [group.title for group in page.models.tree.model_.groups]


def test_that_the_list_asks_a_ticked_machine_and_says_what_it_has(qtbot: QtBot, page: SetupPage, far: Far) -> None:
    far.models = (model("/there/only.gguf", 5 << 30),)
    far.answers.clear()
    before = row_of(page, "mine")
    assert "gpu-box" not in before.text
    tick_lab(qtbot, page)
    qtbot.waitUntil(lambda: row_of(page, "Asking gpu-box for its models") is not None)
    far.answers.set()
    qtbot.waitUntil(lambda: "Only on gpu-box" in groups(page))
    mine = row_of(page, "mine")
    assert mine.detail.startswith("to copy to gpu-box, ")
    only = row_of(page, "only.gguf")
    assert (only.size, only.detail) == ("5.00 GiB", "on gpu-box")
    assert far.asked == 1
    click_row(qtbot, page.models.tree, "/there/only.gguf")
    settle(qtbot, page)
    assert page.draft.experiment.models == ("/there/only.gguf",)
    shown = row_of(page, "only.gguf")
    assert shown.checked
    page.machine.checks["lab/cuda:GPU-1"].click()
    qtbot.waitUntil(lambda: "Only on gpu-box" not in groups(page))


def test_that_the_plan_knows_a_chosen_model_by_its_contents(qtbot: QtBot, page: SetupPage, far: Far) -> None:
    mine = str(Path.home() / ".lmstudio" / "models" / "somebody" / "mine")
    fix = Fix("Copy it there, 4.0 MiB", COPY, ("lab", "model", mine))
    far.offered = (Problem(severity="error", place=mine, message="On gpu-box: mine is not there.", fixes=(fix,)),)
    row = row_of(page, "mine")
    assert row is not None
    size = next(m.size_bytes for m in page.model_search.library.models if m.ref == mine)
    far.models = (model("/there/of-the-same-size", size),)
    tick_lab(qtbot, page)
    qtbot.waitUntil(lambda: "(same size)" in getattr(row_of(page, "mine"), "detail", ""))
    click_row(qtbot, page.models.tree, mine)
    qtbot.waitUntil(lambda: "to copy to gpu-box" in getattr(row_of(page, "mine"), "detail", ""))


def test_that_a_machine_that_does_not_say_is_asked_again_when_it_answers(
    qtbot: QtBot, page: SetupPage, far: Far
) -> None:
    far.error = RunnerError("gpu-box does not answer.", "Try again.")
    tick_lab(qtbot, page)
    qtbot.waitUntil(lambda: row_of(page, "gpu-box does not say what models it has") is not None)
    far.error = None
    far.models = (model("/there/only.gguf"),)
    page.services.bridge.say_link(connected("lab"))
    qtbot.waitUntil(lambda: "Only on gpu-box" in groups(page))
    assert far.asked == 2
