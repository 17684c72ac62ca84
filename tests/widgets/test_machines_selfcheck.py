"""The Self-check panel of the Machines page: a child process is followed, stopped and outlived; figures are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from engines.protocol.instruments import ClockFigures, Instruments, QuantityRate, SourceRate
from engines.protocol.messages import Package, ProbeResult
from engines.protocol.records import Sensor
from tests.builders import probe_result
from widgets.machines.page import MachinesPage
from widgets.machines.selfcheck import SelfChecks
from widgets.machines.selfcheck_panel import SelfCheckPanel
from widgets.machines.selfcheck_rows import measured_rates, panel_facts, text_report
from widgets.machines.selfcheck_run import SelfCheckRun
from widgets.parts.labels import ElidedLabel
from widgets.shell.services import Services
from widgets.shell.targets import ShowExperiment
from workbench.selfcheck.result import Effect, SelfCheck, Share
from workbench.store.operations import ListSelfChecks, Operation

PROBE = probe_result(
    sensors=(
        Sensor(source="proc.tree", quantity="rss_bytes", title="Resident memory", method="/proc", rate_hz=10),
        Sensor(source="proc.tree", quantity="swap_bytes", title="Memory in swap", method="/proc", rate_hz=1),
    ),
    packages=(Package(name="torch", version="2.13.0"),),
)
INSTRUMENTS = Instruments(
    clock=ClockFigures(name="tsc", resolution_ns=1.0, step_ns=30, read_ns=51.0, stamp_ns=157.0),
    sources=(
        SourceRate(
            source="proc.tree",
            period_s=0.1,
            reads=900,
            span_s=1.0,
            read_us=40.0,
            read_us_most=90.0,
            quantities=(
                QuantityRate(quantity="rss_bytes", title="Resident memory", changes=700, updates_hz=704.0),
                QuantityRate(quantity="swap_bytes", title="Memory in swap", changes=0, updates_hz=None),
            ),
        ),
    ),
)
RESULT = SelfCheck(
    id="c-1",
    machine="here",
    device="cpu",
    started_at="2026-03-01T14:02:00+00:00",
    duration_s=1080.0,
    quick=False,
    ended="answered",
    blocks=31,
    trials=248,
    experiment="e-7",
    instruments=INSTRUMENTS,
    telemetry=Effect(ratio=0.998, low=0.994, high=1.002, blocks=31),
    again=Effect(ratio=1.001, low=0.996, high=1.006, blocks=31),
    runner=Share(mean=0.0092, low=0.0069, high=0.0115, trials=62),
    foreign_cores=0.9,
)
PROGRESS = '{"progress": {"fraction": 0.25, "text": "Block 3: telemetry", "left_s": 90.0}}'
SAY = "import sys, time\nsys.stderr.write({said!r} + '\\n'); sys.stderr.flush()\n"


class FakeWorkbench:
    """As much of `Workbench` as the page asks for."""

    def __init__(self, database: Path, stored: tuple[SelfCheck, ...] = ()) -> None:
        self.database = database
        self._stored = stored
        self.asked: list[Operation[Any]] = []

    def listen(self, _listener: Callable[[object], None]) -> Callable[[], None]:
        return lambda: None

    def probe(self, _machine: str = "this", *, refresh: bool = False) -> ProbeResult:
        return PROBE

    def submit_operation(self, operation: Operation[Any]) -> Future[Any]:
        self.asked.append(operation)
        answer: Future[Any] = Future()
        answer.set_result(self._stored if isinstance(operation, ListSelfChecks) else ())
        return answer


def probed(services: Services) -> None:
    """The runner of this computer has answered."""
    services.bridge.probes["this"] = PROBE
    services.bridge.machine_probed.emit("this", PROBE)


def child(tmp_path: Path, code: str) -> tuple[str, ...]:
    """A program in place of the command."""
    file = tmp_path / "child.py"
    file.write_text(code)
    return (sys.executable, str(file))


def ending(result: SelfCheck) -> str:
    return SAY.format(said=PROGRESS) + f"print({msgspec.json.encode(result).decode()!r})\n"


STANDING = SAY.format(said=PROGRESS) + "time.sleep(60)\n"


@pytest.fixture
def make_checks(services: Services, tmp_path: Path) -> Iterator[Callable[..., SelfChecks]]:
    made: list[SelfChecks] = []

    def make(code: str = STANDING, stored: tuple[SelfCheck, ...] = ()) -> SelfChecks:
        services.bridge.attach(FakeWorkbench(tmp_path / "a.duckdb", stored))  # type: ignore[arg-type]
        run = SelfCheckRun(services.places, services.bridge, child(tmp_path, code))
        made.append(SelfChecks(services, services.bridge, run))
        return made[-1]

    yield make
    for checks in made:
        checks.shutdown()


def words(panel: SelfCheckPanel) -> str:
    return "\n".join(
        found.text() for kind in (QLabel, ElidedLabel) for found in panel.findChildren(kind) if not found.isHidden()
    )


def test_that_a_computer_never_checked_says_what_the_button_does_and_how_long_it_takes(
    services: Services, qtbot: QtBot, make_checks: Callable[..., SelfChecks]
) -> None:
    panel = SelfCheckPanel(services.theme, make_checks())
    qtbot.addWidget(panel)
    assert panel.header.count.text() == "never run"
    assert "20 minutes" in words(panel)
    assert panel.run_button.text() == "Run self-check"
    assert panel.progress.isHidden()


def test_that_a_click_runs_it_progress_is_shown_and_the_result_is_kept_and_told(
    services: Services, qtbot: QtBot, make_checks: Callable[..., SelfChecks]
) -> None:
    checks = make_checks(ending(RESULT))
    panel = SelfCheckPanel(services.theme, checks)
    qtbot.addWidget(panel)
    panel.show()
    seen: list[tuple[bool, bool]] = []
    checks.run.progressed.connect(lambda *_: seen.append((panel.progress.isHidden(), panel.buttons.isHidden())))
    with qtbot.waitSignal(checks.run.progressed), qtbot.waitSignal(checks.changed):
        qtbot.mouseClick(panel.run_button, Qt.MouseButton.LeftButton)
    assert seen[0] == (False, True)
    assert panel.doing.text() == "Block 3: telemetry"
    assert panel.bar.value() == 250
    assert "1 min 30 s left" in panel.left.text()
    assert checks.result == RESULT
    assert not checks.run.running
    toast = services.toasts.history[-1]
    assert toast.severity == "good"
    assert "3 passed" in toast.message


def test_that_figures_stand_with_interval_meaning_and_verdict(
    services: Services, qtbot: QtBot, make_checks: Callable[..., SelfChecks]
) -> None:
    checks = make_checks()
    checks.result = RESULT
    panel = SelfCheckPanel(services.theme, checks)
    qtbot.addWidget(panel)
    said = words(panel)
    for part in ("−0.20 % (−0.60 to +0.20)", "0.92 % (0.69 to 1.15)", "others used 0.9 cores", "not measured"):
        assert part in said
    qtbot.mouseClick(panel.trials_button, Qt.MouseButton.LeftButton)
    assert services.navigate.asked == [("compare", ShowExperiment("e-7"))]  # type: ignore[attr-defined]


def test_that_it_can_be_stopped_and_one_runs_at_a_time(
    services: Services, qtbot: QtBot, make_checks: Callable[..., SelfChecks]
) -> None:
    checks = make_checks(STANDING)
    panel = SelfCheckPanel(services.theme, checks)
    qtbot.addWidget(panel)
    panel.show()
    assert services.actions.is_enabled("machines.self-check")
    assert not services.actions.is_enabled("machines.stop-self-check")
    with qtbot.waitSignal(checks.run.progressed):
        assert services.actions.invoke("machines.quick-self-check")
    assert not services.actions.is_enabled("machines.self-check")
    checks.start()
    seen: list[tuple[str, bool]] = []
    checks.run.progressed.connect(lambda *_: seen.append((panel.doing.text(), panel.stop_button.isEnabled())))
    with qtbot.waitSignal(checks.run.failed):
        qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    assert seen == [("Stopping", False)]
    assert not checks.run.running
    assert checks.result is None
    assert services.toasts.history[-1].severity == "info"
    assert services.actions.is_enabled("machines.self-check")


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        (
            SAY.format(said='{"error": "2 trials run here.", "advice": "Wait."}') + "sys.exit(1)\n",
            "2 trials run here.",
            "Wait.",
        ),
        ("import sys\nsys.exit('it broke')\n", "it broke", "terminal"),
        ("print('not a result')\n", "without a result", "terminal"),
        ("import os\nos.kill(os.getpid(), 9)\n", "without a result", "terminal"),
        ("print('{}')\n", "without a result", "terminal"),
    ],
)
def test_that_a_failure_is_a_toast_in_words(
    services: Services, qtbot: QtBot, make_checks: Callable[..., SelfChecks], code: str, message: str, advice: str
) -> None:
    checks = make_checks(code)
    with qtbot.waitSignal(checks.run.failed):
        checks.start()
    toast = services.toasts.history[-1]
    assert toast.severity == "error"
    assert message in toast.message
    assert advice in toast.advice
    assert not checks.run.running


def test_that_a_program_that_is_not_there_is_a_failure_too(services: Services, qtbot: QtBot) -> None:
    run = SelfCheckRun(services.places, services.bridge, ("/nowhere/python",))
    with qtbot.waitSignal(run.failed) as failed:
        run.start(Path("/tmp/a.duckdb"), quick=False)
    assert "could not be started" in failed.args[0]
    assert not run.running


def test_that_lines_cut_anywhere_and_lines_of_strangers_are_understood(services: Services) -> None:
    run = SelfCheckRun(services.places, services.bridge)
    told: list[tuple[float, str, object]] = []
    run.progressed.connect(lambda *values: told.append(values))
    for line in (
        b"",
        b"   ",
        b"\xff\xfe",
        b"[1, 2]",
        b"Qt: hello",
        PROGRESS.encode(),
        b'{"progress": {"fraction": 2}}',
    ):
        run._take(line)
    assert told == [(0.25, "Block 3: telemetry", 90.0)]


def test_that_closing_the_window_ends_the_child(
    services: Services, qtbot: QtBot, make_checks: Callable[..., SelfChecks]
) -> None:
    checks = make_checks(STANDING)
    with qtbot.waitSignal(checks.run.progressed):
        checks.start()
    checks.shutdown()
    assert not checks.run.running


def test_that_the_page_shows_the_stored_one_and_how_fast_sensors_change(
    services: Services, qtbot: QtBot, tmp_path: Path
) -> None:
    workbench = FakeWorkbench(tmp_path / "a.duckdb", (RESULT,))
    services.bridge.attach(workbench)  # type: ignore[arg-type]
    page = MachinesPage(services)
    qtbot.addWidget(page)
    page.show()
    qtbot.waitUntil(lambda: page.checks.result is not None)
    panel = page.findChild(SelfCheckPanel)
    assert panel is not None
    assert "−0.20 %" in words(panel)
    texts = [made.text() for made in page.findChildren(QLabel)]
    assert "Changes at" in texts
    assert "704 Hz" in texts
    probed(services)
    probed(services)
    asked = [one for one in workbench.asked if isinstance(one, ListSelfChecks)]
    assert asked == [ListSelfChecks(machine="here", limit=1)], "asked for once"
    page.shutdown()


def test_that_the_run_outlives_a_new_look_at_the_computer(services: Services, qtbot: QtBot, tmp_path: Path) -> None:
    services.bridge.attach(FakeWorkbench(tmp_path / "a.duckdb"))  # type: ignore[arg-type]
    page = MachinesPage(services)
    qtbot.addWidget(page)
    page.checks.run._command = child(tmp_path, STANDING)
    qtbot.waitUntil(lambda: page.findChild(SelfCheckPanel) is not None)
    with qtbot.waitSignal(page.checks.run.progressed):
        page.checks.start()
    page.deactivated()
    probed(services)
    qtbot.wait(50)
    (panel,) = page.findChildren(SelfCheckPanel)
    assert not panel.progress.isHidden()
    assert panel.doing.text() == "Block 3: telemetry"
    page.shutdown()
    assert not page.checks.run.running


def test_that_rows_and_report_say_the_same() -> None:
    facts = panel_facts(RESULT)
    assert facts.chip == ("3 passed", "good")
    missed = msgspec.structs.replace(RESULT, runner=Share(mean=0.03, low=0.025, high=0.035, trials=9))
    assert panel_facts(missed).chip == ("1 missed", "bad")
    unknown = msgspec.structs.replace(RESULT, telemetry=Effect(ratio=0.99, low=0.97, high=1.01, blocks=3))
    assert panel_facts(unknown).chip == ("1 inconclusive", "warn")
    assert all(row.value in text_report(RESULT) for row in facts.rows)
    assert measured_rates(RESULT) == {("proc.tree", "rss_bytes"): "704 Hz"}
    assert measured_rates(None) == {}


def test_that_the_panels_words_hold_together() -> None:
    facts = panel_facts(RESULT)
    assert facts.extent.endswith("on CPU.")
    told = [r.meaning for r in facts.rows if "%" in r.meaning]
    assert told
    assert not any(" %" in meaning for meaning in told)


def test_that_the_list_of_machines_follows_the_text_size(qtbot: QtBot, services: Services) -> None:
    page = MachinesPage(services)
    qtbot.addWidget(page)
    page.show()
    view = page.list.view
    small = view.visualRect(page.list.model.index(0)).height()
    services.theme.choose("light", 2.0)
    assert view.visualRect(page.list.model.index(0)).height() == services.theme.height("machine_row") > small
    page.shutdown()
