"""What the tests of the Setup page share: a workbench that plans for real, and the page driven as a person would."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from engines.models.identity import Digests
from engines.models.lookup.local_model import LocalModel
from engines.models.lookup.resolve import resolve
from engines.protocol.messages import Package, ProbeResult
from engines.protocol.places import Places
from engines.protocol.problems import Problem
from tests import builders
from tests.builders import experiment_row, probe_result, processor
from widgets.parts.check_tree import CheckTree
from widgets.setup import make_page
from widgets.setup.page import SetupPage
from widgets.shell.services import Services
from workbench.experiment.experiment import Experiment
from workbench.machines.machine import find
from workbench.models.identity import Identities
from workbench.plan.plan import Plan, Site, plan_sites
from workbench.running.events import Event
from workbench.store.operations import (
    ExperimentDetail,
    GetExperiment,
    GetTrial,
    ListTrials,
    Operation,
    StoreError,
    TrialRow,
)

GIB = 2**30
PROCESSOR = processor(title="Test processor", details={"cores": "4", "threads_default": "3"})
PACKAGES = tuple(Package(name=n, version="1") for n in ("torch", "transformers", "torchao"))

QWEN, SMOL, LLAMA = "random:qwen2.5-0.5b-instruct", "random:smollm2-135m-instruct", "random:llama-3.1-8b-instruct"


class NoTrials:
    """A store in which nothing has run."""

    def execute(self, _operation: Operation[object]) -> object:
        return {}


class FakeWorkbench:
    """Plans for real on a machine of 16 GiB, keeps what was run, answers from memory."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.store = NoTrials()
        self.runs: list[Plan] = []
        self.planned: list[Experiment] = []
        self.threads: set[str] = set()
        self.plan_error: Exception | None = None
        self.unreached: dict[str, Problem] = {}
        self.run_error: Exception | None = None
        self.gate: threading.Event | None = None
        self.definition = ""
        self.identities = Identities(Digests(self.places.digests))

    def title_of(self, machine: str) -> str:
        return find(self.places, machine).title

    def models_on(self, _machine: str) -> tuple[LocalModel, ...]:
        return ()

    def listen(self, _listener: Callable[[Event], None]) -> Callable[[], None]:
        return lambda: None

    def probe(self, *, refresh: bool = False) -> ProbeResult:
        return probe_result(PROCESSOR, machine="host", packages=PACKAGES)

    def plan(self, experiment: Experiment, base: Path | None = None, *, wait: bool = True) -> Plan:
        self.threads.add(threading.current_thread().name)
        if self.gate is not None:
            assert self.gate.wait(60)
        if self.plan_error is not None:
            raise self.plan_error
        self.planned.append(experiment)
        models = {ref: resolve(ref, self.places, base or Path.cwd()) for ref in experiment.models}
        assert not wait, "the window never waits for files to be read"
        models = self.identities.glance(models)
        return plan_sites(experiment, [Site(self.probe(), models)], self.unreached)

    def run(self, plan: Plan) -> str:
        self.threads.add(threading.current_thread().name)
        if self.run_error is not None:
            raise self.run_error
        self.runs.append(plan)
        return "e-1"

    def submit_operation(self, operation: Operation[object]) -> Future[object]:
        future: Future[object] = Future()
        if isinstance(operation, ListTrials):
            future.set_result((trial_row("t-2", 1), trial_row("t-1", 0)))
        elif isinstance(operation, GetTrial) and operation.trial == "t-1":
            future.set_result(trial_row("t-1", 0))
        elif isinstance(operation, GetExperiment):
            future.set_result(self._detail())
        else:
            future.set_exception(StoreError("There is no such trial."))
        return future

    def _detail(self) -> ExperimentDetail:
        row = experiment_row(1, name="stored", definition=self.definition)
        return ExperimentDetail(experiment=row, configurations=(), trials=(), metrics=(), reasons=(), environments={})


def trial_row(trial: str, position: int) -> TrialRow:
    return builders.trial_row(
        trial,
        number=118,
        experiment_name="stored",
        configuration="c",
        title="t",
        position=position,
        state="waiting",
        outcome=None,
        verdict=None,
        last_seq=0,
        duration_s=None,
    )


def open_page(qtbot: QtBot, services: Services) -> SetupPage:
    made = make_page(services)
    assert isinstance(made, SetupPage)
    qtbot.addWidget(made)
    made.resize(1368, 800)
    made.show()
    services.actions.set_page("setup")
    made.activated()
    qtbot.waitUntil(lambda: made.planned is not None and made.model_search.library.scanned)
    return made


def settle(qtbot: QtBot, page: SetupPage) -> None:
    """Until the plan is of what stands in the form."""
    qtbot.waitUntil(lambda: page.planner.is_current and page.session.is_planned)


def click_row(qtbot: QtBot, tree: CheckTree, key: str, x: int = 20) -> None:
    """Click a row of a tree where its tick is."""
    index = tree.model_.index_of(key)
    assert index.isValid(), key
    tree.scrollTo(index)
    rect = tree.visualRect(index)
    qtbot.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(rect.left() + x, rect.center().y()))


def type_into(qtbot: QtBot, page: SetupPage, key: str, text: str) -> None:
    field = page.workload.fields[key].line
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, text)
