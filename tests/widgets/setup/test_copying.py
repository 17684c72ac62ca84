"""A model that another machine lacks, copied from the plan of the Setup page."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from engines.protocol.problems import COPY, Fix, Problem
from tests.widgets.setup.kit import SMOL, FakeWorkbench, settle
from widgets.setup.page import SetupPage
from widgets.shell.services import Services
from workbench.experiment.experiment import Experiment
from workbench.machines.copying import CopyError
from workbench.models.fetching import Report
from workbench.plan.plan import Plan
from workbench.running.copies import Copies

OFFERED = Problem(
    severity="error",
    place=SMOL,
    message="On Lab: tiny is not there.",
    fixes=(Fix("Copy it there, 4.0 MiB", COPY, ("lab", "model", SMOL)),),
)


class Copying:
    """A machine to which a model is copied once `go` is set; `fails`: it does not arrive."""

    def __init__(self, fake: FakeWorkbench) -> None:
        self._plan = fake.plan
        self.copies = Copies(fake.places)
        self.go = threading.Event()
        self.fails = False
        self.state = "not there"
        self.asked: list[tuple[str, str]] = []
        fake.plan = self.plan  # type: ignore[method-assign]
        fake.copies = self.copies  # type: ignore[attr-defined]
        fake.copy_model = self.copy_model  # type: ignore[attr-defined]

    def plan(self, experiment: Experiment, base: Path | None = None, *, wait: bool = True) -> Plan:
        made = self._plan(experiment, base, wait=wait)
        if self.state == "there" or SMOL not in experiment.models:
            return made
        note = Problem(severity="note", place=SMOL, message="On Lab: Copying tiny to Lab: 1 of 4 MiB.")
        shown = OFFERED if self.state == "not there" else note
        return msgspec.structs.replace(
            made, problems=(*made.problems, shown), order=(), identified=self.state != "on its way"
        )

    def copy_model(self, ref: str, machine: str, base: Path, *, report: Report) -> str:
        self.asked.append((ref, machine))
        self.state = "on its way"
        report(0.25, "Copying tiny to Lab")
        report(0.5, "Copying tiny to Lab")
        assert self.go.wait(60)
        self.state = "not there" if self.fails else "there"
        if self.fails:
            raise CopyError("tiny was not copied to Lab: the link was lost.", "What has arrived is kept.")
        return "/far/tiny"


@pytest.fixture
def copying(qtbot: QtBot, page: SetupPage, fake: FakeWorkbench) -> Copying:
    made = Copying(fake)
    page.editor.model(SMOL, True, ())
    settle(qtbot, page)
    return made


def press(qtbot: QtBot, page: SetupPage) -> None:
    (button,) = [b for b in page.plan.problems.findChildren(QPushButton) if b.text() == "Copy it there, 4.0 MiB"]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def messages(page: SetupPage) -> str:
    return " ".join(problem.message for problem in page.plan.problems.problems)


def test_that_the_plan_offers_a_copy_shows_it_and_goes_on(
    qtbot: QtBot, page: SetupPage, copying: Copying, services: Services
) -> None:
    before = page.draft.experiment
    press(qtbot, page)
    qtbot.waitUntil(lambda: "1 of 4 MiB" in messages(page))
    assert copying.asked == [(SMOL, "lab")]
    assert page.draft.experiment == before, "a copy is no edit"
    stop = services.toasts.history[-1]
    assert (stop.message, stop.action) == (f"Copying {SMOL} to lab.", "Stop")
    copying.go.set()
    qtbot.waitUntil(lambda: "Lab" not in messages(page))


def test_that_a_copy_that_fails_says_why_and_is_offered_again(
    qtbot: QtBot, page: SetupPage, copying: Copying, services: Services
) -> None:
    copying.fails = True
    press(qtbot, page)
    copying.go.set()
    qtbot.waitUntil(lambda: services.toasts.history[-1].severity == "error")
    assert services.toasts.history[-1].message == "tiny was not copied to Lab: the link was lost."
    qtbot.waitUntil(lambda: OFFERED.message in messages(page))
