"""Installing an engine from the window: nothing without a click, output as it comes, stop, failure, a new look."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QPushButton
from pytestqt.qtbot import QtBot

from engines.protocol.messages import Package, ProbeResult
from engines.protocol.tasks import LOCAL_TASKS, QUESTIONS
from tests.builders import probe_result
from tests.widgets.queue_kit import entry, queue
from widgets.machines.page import MachinesPage
from widgets.shell.services import Services
from widgets.shell.targets import InstallPackages
from workbench.running.events import Event

GIVES = "the llama.cpp engine"


class FakeWorkbench:
    """A machine whose packages a file decides: one that stands in `installed` is there."""

    def __init__(self, python: Path, installed: Path) -> None:
        self.python, self.installed = python, installed
        self.probes = 0
        self.kept = ""

    def listen(self, _listener: Callable[[Event], None]) -> Callable[[], None]:
        return lambda: None

    def submit_operation(self, _operation: object) -> Future[object]:
        done: Future[object] = Future()
        done.set_result(())
        return done

    def probe(self, _machine: str = "this", *, refresh: bool = False) -> ProbeResult:
        self.probes += refresh
        there = self.installed.read_text().split() if self.installed.exists() else []
        others = (self._package(name, there) for name in ("llama-cpp-python", "gguf", "torchao"))
        return probe_result(packages=(Package(name="torch", version="2.13.0", gives="tensors"), *others))

    def _package(self, name: str, there: list[str]) -> Package:
        if name in there:
            return Package(name=name, version="9.9", gives=GIVES)
        own = name == "llama-cpp-python"
        how = "engines.llama.install" if own else f'pip install "{name}>=1"'
        return Package(name=name, gives=GIVES, install=f"{self.python} -m {how}", kept=self.kept if own else "")


PIP = """#!/bin/sh
echo "Collecting $6"
echo "[12/240] Building CXX object ggml.cpp.o"
while [ ! -e {go} ]; do sleep 0.02; done
echo "[240/240] Linking"
if [ -e {fail} ]; then echo "error: no room" >&2; exit 2; fi
echo "llama-cpp-python gguf torchao" > {installed}
"""


class Machine:
    """Where the fake pip waits, fails and puts things."""

    def __init__(self, folder: Path) -> None:
        self.go, self.fail, self.installed = folder / "go", folder / "fail", folder / "installed"
        self.python = folder / "python"
        self.python.write_text(PIP.format(go=self.go, fail=self.fail, installed=self.installed))
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)
        self.workbench = FakeWorkbench(self.python, self.installed)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("g++", "cmake", "apt-get"):
        tool = tools / name
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return Machine(tmp_path)


@pytest.fixture
def page(qtbot: QtBot, services: Services, machine: Machine) -> Iterator[MachinesPage]:
    made = MachinesPage(services)
    qtbot.addWidget(made)
    made.resize(1208, 700)
    made.show()
    services.bridge.attach(machine.workbench)  # type: ignore[arg-type]
    qtbot.waitUntil(lambda: services.bridge.probe is not None)
    yield made
    machine.go.touch()
    made.shutdown()
    made.close()


def click(qtbot: QtBot, button: QPushButton) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def row_button(page: MachinesPage, package: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.accessibleName() == f"Install {package}")


def start(qtbot: QtBot, page: MachinesPage) -> None:
    click(qtbot, row_button(page, "llama-cpp-python"))
    click(qtbot, page.sheet.start)
    qtbot.waitUntil(lambda: "ggml.cpp.o" in page.sheet.log.toPlainText())


def test_that_a_missing_package_offers_its_command_and_nothing_starts_by_itself(
    qtbot: QtBot, page: MachinesPage, machine: Machine
) -> None:
    click(qtbot, row_button(page, "llama-cpp-python"))
    sheet = page.sheet
    assert sheet.isVisible()
    assert sheet.command.text() == f'{machine.python} -m engines.llama.install "gguf>=1"'
    assert sheet.header.title.text() == "Install llama-cpp-python and gguf"
    qtbot.wait(150)
    assert page.installs.state == "idle"
    assert not machine.installed.exists()


def test_that_a_click_installs_shows_the_output_and_looks_again(
    qtbot: QtBot, page: MachinesPage, machine: Machine
) -> None:
    start(qtbot, page)
    sheet = page.sheet
    assert sheet.stop.isVisible()
    assert not sheet.start.isVisible()
    assert page.installs.progress == pytest.approx(0.05)
    before = machine.workbench.probes
    machine.go.touch()
    qtbot.waitUntil(lambda: page.installs.state == "installed")
    assert "[240/240] Linking" in sheet.log.toPlainText()
    assert machine.workbench.probes == before + 1
    assert "llama-cpp-python 9.9" in sheet.said.text()
    assert not sheet.start.isVisible()


def test_that_closing_the_sheet_leaves_the_run_and_opening_shows_all_of_its_output(
    qtbot: QtBot, page: MachinesPage, machine: Machine
) -> None:
    start(qtbot, page)
    qtbot.keyClick(page.sheet, Qt.Key.Key_Escape)
    assert not page.sheet.isVisible()
    page.hide()  # another page is shown
    machine.go.touch()
    qtbot.waitUntil(lambda: not page.installs.busy)
    page.show()
    assert page.installs.state == "installed"
    assert page.installs.lines[-1] == "[240/240] Linking"


def test_that_stop_ends_it_and_says_that_nothing_changed(qtbot: QtBot, page: MachinesPage, machine: Machine) -> None:
    start(qtbot, page)
    click(qtbot, page.sheet.stop)
    qtbot.waitUntil(lambda: page.installs.state == "stopped")
    assert "untouched" in page.sheet.said.text()
    assert page.sheet.start.text() == "Try again"
    assert not machine.installed.exists()


def test_that_a_failure_keeps_the_last_lines_and_copies_them(
    qtbot: QtBot, page: MachinesPage, machine: Machine
) -> None:
    machine.fail.touch()
    machine.go.touch()
    click(qtbot, row_button(page, "llama-cpp-python"))
    click(qtbot, page.sheet.start)
    qtbot.waitUntil(lambda: page.installs.state == "failed")
    assert "code 2" in page.sheet.said.text()
    assert "error: no room" in page.sheet.log.toPlainText()
    click(qtbot, page.sheet.copy_log)
    copied = QGuiApplication.clipboard().text()
    assert copied.startswith("$ ")
    assert "error: no room" in copied
    machine.fail.unlink()
    click(qtbot, page.sheet.start)
    qtbot.waitUntil(lambda: page.installs.state == "installed")


def test_that_without_a_compiler_the_button_is_grey_and_the_system_s_command_stands_there(
    qtbot: QtBot, page: MachinesPage, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    click(qtbot, row_button(page, "llama-cpp-python"))
    assert not page.sheet.start.isEnabled()
    assert page.installs.plan.problems[0].hint == "sudo apt-get install g++ cmake"


def test_that_without_a_compiler_a_build_that_is_kept_is_installed(
    qtbot: QtBot, page: MachinesPage, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.workbench.kept = "/home/me/.cache/wheels/llama_cpp_python-1-py3-none-any.whl"
    page.look()
    qtbot.waitUntil(lambda: any(p.kept for p in page.services.bridge.probe.packages))
    monkeypatch.setenv("PATH", f"/nowhere{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr("workbench.machines.installing.COMPILERS", ("no-such-compiler",))
    click(qtbot, row_button(page, "llama-cpp-python"))
    assert not page.installs.plan.problems
    assert any("nothing is compiled" in text.text() for text in page.sheet.findChildren(QLabel))
    page._queue_changed(queue(entry("t", "running", title="M")))
    assert "Unpacking" in page.sheet.queue.text()
    machine.go.touch()
    click(qtbot, page.sheet.start)
    qtbot.waitUntil(lambda: page.installs.state == "installed")


def test_that_setup_can_ask_for_it_before_the_machine_was_looked_at(
    qtbot: QtBot, services: Services, machine: Machine
) -> None:
    made = MachinesPage(services)
    qtbot.addWidget(made)
    made.resize(1208, 700)
    made.show()
    made.show_target(InstallPackages(("torchao",)))
    assert not made.sheet.isVisible()
    services.bridge.attach(machine.workbench)  # type: ignore[arg-type]
    qtbot.waitUntil(made.sheet.isVisible)
    assert made.installs.plan.packages == ("torchao",)
    made.shutdown()
    made.close()


def test_that_a_package_that_is_there_is_said_and_opens_nothing(
    qtbot: QtBot, page: MachinesPage, services: Services
) -> None:
    page.show_target(InstallPackages(("torch",)))
    assert not page.sheet.isVisible()
    assert "installed already" in services.toasts.history[-1].message


def fetch_with(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    """The fake in place of the Python that fetches, and a probe that knows what it fetched."""
    monkeypatch.setattr("workbench.machines.installing.sys.executable", str(machine.python))
    probe = machine.workbench.probe

    def looked(*, refresh: bool = False) -> ProbeResult:
        found = probe(refresh=refresh)
        ready = tuple(task.id for task in LOCAL_TASKS) if machine.installed.exists() else ()
        return msgspec.structs.replace(found, task_data=ready)

    monkeypatch.setattr(machine.workbench, "probe", looked)


def test_that_the_questions_of_tasks_are_fetched_with_the_output_in_view(
    qtbot: QtBot, page: MachinesPage, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_with(monkeypatch, machine)
    page.show_target(InstallPackages((QUESTIONS,)))
    sheet = page.sheet
    qtbot.waitUntil(sheet.isVisible)
    assert sheet.header.title.text() == "Fetch sample questions"
    assert sheet.command.text() == f"{machine.python} -m engines.data.task_data"
    assert sheet.start.text() == "Fetch"
    assert not machine.installed.exists()  # nothing by itself
    click(qtbot, sheet.start)
    qtbot.waitUntil(lambda: "Building" in sheet.log.toPlainText())
    machine.go.touch()
    qtbot.waitUntil(lambda: page.installs.state == "installed")
    assert sheet.said.text() == "Fetched: sample questions of GSM8K, HellaSwag, TruthfulQA."


def test_that_a_fetch_that_fails_keeps_its_last_lines_and_can_be_tried_again(
    qtbot: QtBot, page: MachinesPage, machine: Machine, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_with(monkeypatch, machine)
    machine.fail.touch()
    machine.go.touch()
    page.show_target(InstallPackages((QUESTIONS,)))
    click(qtbot, page.sheet.start)
    qtbot.waitUntil(lambda: page.installs.state == "failed")
    assert page.sheet.said.text().startswith("The command ended with code 2; nothing was fetched.")
    assert services.toasts.history[-1].message == "Sample questions could not be fetched."
    machine.fail.unlink()
    assert page.sheet.start.text() == "Try again"
    click(qtbot, page.sheet.start)
    qtbot.waitUntil(lambda: page.installs.state == "installed")


def test_that_running_trials_are_named_because_their_figures_would_suffer(qtbot: QtBot, page: MachinesPage) -> None:
    click(qtbot, row_button(page, "torchao"))
    page._queue_changed(queue(entry("t", "running", title="M")))
    assert page.sheet.queue.isVisible()
    assert "Pause the queue" in page.sheet.queue.text()


def test_that_closing_the_window_ends_the_run(qtbot: QtBot, page: MachinesPage, machine: Machine) -> None:
    start(qtbot, page)
    page.shutdown()
    assert page.installs._run is not None
    assert page.installs._run.wait(60) is not None
    assert not machine.installed.exists()
