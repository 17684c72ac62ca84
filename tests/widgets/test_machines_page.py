"""The Machines page with several machines: chosen, connected, lost, tried again, added, changed and removed by mouse
and keyboard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QAbstractItemModelTester, QTest
from PySide6.QtWidgets import QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from engines.protocol.client import RunnerError
from tests.widgets.machines_kit import LAB, FarWorkbench, added, connected, lost
from widgets.machines import known
from widgets.machines.page import MachinesPage
from widgets.machines.setup import run as setting_up
from widgets.machines.trying import run as trying
from widgets.machines.words import countdown
from widgets.shell.services import Services
from widgets.shell.status_line import link_words
from workbench.machines.host_keys import HostKey
from workbench.machines.machine import THIS, Machine, Slurm, Ssh, machines
from workbench.machines.setup.link import Looked
from workbench.machines.setup.plan import Choice, SetUpPlan, Step
from workbench.machines.setup.run import Output, StepStarted
from workbench.machines.setup.sizes import Folder, Sizes
from workbench.machines.ssh_config import CONFIG_VARIABLE
from workbench.machines.trying import Tried
from workbench.running.events import RunnerLink


@pytest.fixture
def far(services: Services) -> FarWorkbench:
    added(services.places, LAB)
    return FarWorkbench(services.places)


@pytest.fixture
def page(qtbot: QtBot, services: Services, far: FarWorkbench) -> Iterator[MachinesPage]:
    made = MachinesPage(services)
    qtbot.addWidget(made)
    QAbstractItemModelTester(made.list.model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    made.resize(1200, 800)
    made.show()
    qtbot.waitExposed(made)
    services.bridge.attach(far)  # type: ignore[arg-type]
    qtbot.waitUntil(lambda: THIS in services.bridge.probes)
    yield made
    made.shutdown()


def click_row(page: MachinesPage, machine: str) -> None:
    place = next(i for i, row in enumerate(page.list.model.rows) if row.id == machine)
    view = page.list.view
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(page.list.model.index(place)).center()
    )


def words(page: MachinesPage) -> str:
    """All that is written on the right side."""
    parts = (page.head, page._right)
    return "\n".join(w.text() for part in parts for w in part.findChildren(QLabel) if w.isVisible())


def state(page: MachinesPage, machine: str) -> str:
    return next(row.link.state for row in page.list.model.rows if row.id == machine)


def test_that_a_machine_is_connected_when_it_is_chosen_and_not_before(
    qtbot: QtBot, page: MachinesPage, far: FarWorkbench
) -> None:
    assert [row.title for row in page.list.model.rows] == ["This computer", "gpu-box"]
    assert state(page, "lab") == "not connected"
    assert ("follow", "lab") not in far.did
    click_row(page, "lab")
    qtbot.waitUntil(lambda: ("follow", "lab") in far.did)
    assert state(page, "lab") == "connecting"
    assert "SSH, bench@gpu-box" in words(page)
    far.say(connected("lab"))
    qtbot.waitUntil(lambda: "NVIDIA H200" in words(page))
    assert state(page, "lab") == "connected"
    assert page.list.model.rows[1].about.startswith("16 cores")
    assert far.did.count(("probe", "lab")) == 1
    click_row(page, THIS)
    assert "NVIDIA H200" not in words(page)
    click_row(page, "lab")
    assert "NVIDIA H200" in words(page), "what is known is shown at once"


def test_that_arrow_keys_choose_and_a_machine_that_is_only_passed_is_not_connected(
    qtbot: QtBot, services: Services, page: MachinesPage, far: FarWorkbench
) -> None:
    added(services.places, Machine(id="last", title="last", reach=Ssh(host="last")))
    page.activated()
    click_row(page, THIS)
    QTest.keyClick(page.list.view, Qt.Key.Key_Down)
    QTest.keyClick(page.list.view, Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: ("follow", "last") in far.did)
    assert ("follow", "lab") not in far.did
    assert page.list.view.currentIndex().data(Qt.ItemDataRole.AccessibleTextRole) == "last, SSH, last, connecting"


def test_that_a_lost_link_says_when_it_is_tried_again_and_keeps_the_last_values(
    qtbot: QtBot, services: Services, page: MachinesPage, far: FarWorkbench
) -> None:
    click_row(page, "lab")
    far.say(connected("lab"))
    qtbot.waitUntil(lambda: "NVIDIA H200" in words(page))
    far.say(lost("lab"))
    qtbot.waitUntil(lambda: state(page, "lab") == "no answer")
    assert "gpu-box does not answer" in words(page)
    assert "Trying again in" in words(page)
    assert "NVIDIA H200" in words(page)
    assert "2, as of " in words(page), "values of a machine that does not answer have their time"
    QTest.mouseClick(page.head.retry, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: ("retry", "lab") in far.did)
    assert state(page, "lab") == "connecting"
    assert "does not answer" not in words(page)
    far.say(connected("lab"))
    qtbot.waitUntil(lambda: state(page, "lab") == "connected")
    assert "as of" not in words(page)


@pytest.mark.parametrize(
    ("code", "word", "title"),
    [
        ("login", "login refused", "gpu-box refuses the login"),
        ("setup", "not set up", "gpu-box is not set up"),
        ("name", "no answer", "gpu-box does not answer"),
    ],
)
def test_that_each_reason_has_its_own_words(
    qtbot: QtBot, page: MachinesPage, far: FarWorkbench, code: str, word: str, title: str
) -> None:
    click_row(page, "lab")
    far.say(lost("lab", code))
    qtbot.waitUntil(lambda: state(page, "lab") == word)
    assert title in words(page)


UNKNOWN = HostKey("unknown", "gpu-box", "ssh-ed25519", "SHA256:offered", line="ssh-ed25519 AAAA")
CHANGED = HostKey("changed", "gate", "ssh-ed25519", "SHA256:other", ("SHA256:before",), "ssh-ed25519 BBBB")


@pytest.mark.parametrize(
    ("key", "title", "button"),
    [
        (UNKNOWN, "The host key of gpu-box is not known yet", "Trust this key"),
        (CHANGED, "The host key of gpu-box (gate) has changed", "Replace the known key"),
    ],
)
def test_that_a_host_key_is_shown_and_trusted_by_a_click_alone(
    qtbot: QtBot,
    page: MachinesPage,
    far: FarWorkbench,
    monkeypatch: pytest.MonkeyPatch,
    key: HostKey,
    title: str,
    button: str,
) -> None:
    accepted: list[HostKey] = []

    def take(_reach: Ssh, taken: HostKey) -> HostKey:
        accepted.append(taken)
        return HostKey("known")

    monkeypatch.setattr(known, "host_key", lambda _reach: HostKey("known") if accepted else key)
    monkeypatch.setattr(known, "accept", take)
    click_row(page, "lab")
    far.say(lost("lab", "host_key"))
    qtbot.waitUntil(lambda: title in words(page))
    assert key.fingerprint in words(page)
    assert ("SHA256:before" in words(page)) is (key is CHANGED)
    assert page.head.trust.text() == button
    far.say(lost("lab", "host_key"))
    assert not accepted
    QTest.mouseClick(page.head.trust, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: ("retry", "lab") in far.did)
    assert accepted == [key]
    qtbot.waitUntil(lambda: not page.head.trust.isVisible())


def test_that_a_test_shows_its_steps_as_they_end_and_what_things_take_there(
    qtbot: QtBot, page: MachinesPage, far: FarWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def steps(_machine: Machine, _places: object, tell: Callable[[Tried], None]) -> tuple[Tried, ...]:
        tell(Tried("login", "ok", "in 0.2 s"))
        assert go_on.wait(60)
        tell(Tried("clock", "note", "3 s ahead", "Times are its own."))
        return (Tried("login", "ok", "in 0.2 s"), Tried("clock", "note", "3 s ahead"))

    room = Sizes(5 << 30, (Folder("engines", "~/engines", 3 << 30), Folder("models", "~/models", None)))
    monkeypatch.setattr(trying, "try_machine", steps)
    monkeypatch.setattr(trying, "sizes", lambda _shell, _home: room)
    click_row(page, "lab")
    qtbot.waitUntil(lambda: ("follow", "lab") in far.did)
    far.say(connected("lab"))
    qtbot.waitUntil(lambda: "NVIDIA H200" in words(page))
    QTest.mouseClick(page.head.test, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "in 0.2 s" in words(page))
    assert not page.head.test.isEnabled()
    assert "3 s ahead" not in words(page)
    go_on.set()
    qtbot.waitUntil(lambda: "2 passed" in words(page))
    assert page.head.test.isEnabled()
    for text in ("3 s ahead", "Times are its own.", "3.00 GiB", "none yet", "5.00 GiB free"):
        assert text in words(page)
    assert ("retry", "lab") not in far.did, "it is connected"
    click_row(page, THIS)
    assert "2 passed" not in words(page)


def test_that_a_test_that_fails_says_where_and_shows_a_key_to_decide_on(
    qtbot: QtBot, page: MachinesPage, far: FarWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Tried("host_key", "failed", "unknown: SHA256:offered", "Compare it.", UNKNOWN)

    def steps(_machine: Machine, _places: object, tell: Callable[[Tried], None]) -> tuple[Tried, ...]:
        tell(failed)
        return (failed,)

    monkeypatch.setattr(trying, "try_machine", steps)
    click_row(page, "lab")
    QTest.mouseClick(page.head.test, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "1 failed" in words(page))
    assert page.head.trust.isVisible()
    assert "SHA256:offered" in words(page)


class FakeRun:
    """As `SetUpRun`: one step, whose end the test gives."""

    go_on = threading.Event()
    fails = False
    stopped = False

    def __init__(self, _shell: object, plan: SetUpPlan, tell: Callable[[object], None], _python: str) -> None:
        self._plan, self._tell = plan, tell

    def run(self) -> str:
        self._tell(StepStarted(1, self._plan.steps[0]))
        self._tell(Output("Collecting torch"))
        assert FakeRun.go_on.wait(60)
        if FakeRun.fails:
            raise RunnerError("Install the packages: The disk is full.", "Free some space.", code="setup")
        return "/opt/new/bin/python"

    def stop(self) -> None:
        FakeRun.fails = True
        FakeRun.go_on.set()


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch) -> list[Choice]:
    """Setting up as the page sees it; -> what was asked for."""
    asked: list[Choice] = []
    looked = Looked(
        base="/home/me/engines", system="Linux", machine="x86_64", free_bytes=1 << 40, writable=True, uv="",
        nvidia=True, pythons=(), environments={},
    )  # fmt: skip

    def look(_shell: object, choice: Choice) -> SetUpPlan:
        asked.append(choice)
        step = Step("packages", "Install the packages", ("pip", "install", "-r", "lock.txt"))
        return SetUpPlan((step,), (), ("pip takes several GB.",), "/opt/new/bin/python", "e", None, looked)

    FakeRun.go_on, FakeRun.fails = threading.Event(), False
    monkeypatch.setattr(setting_up, "look", look)
    monkeypatch.setattr("widgets.machines.known.renew_runner", lambda _machine, _places: "")
    monkeypatch.setattr(setting_up, "SetUpRun", FakeRun)
    return asked


def test_that_setting_up_shows_every_command_first_and_then_its_output(
    qtbot: QtBot, services: Services, page: MachinesPage, far: FarWorkbench, set_up: list[Choice]
) -> None:
    click_row(page, "lab")
    QTest.mouseClick(page.head.set_up, Qt.MouseButton.LeftButton)
    sheet = page.setup_sheet
    qtbot.waitUntil(lambda: "$ pip install -r lock.txt" in sheet.log.toPlainText())
    assert sheet.start.isVisible()
    assert "pip takes several GB." in sheet.notes.text()
    assert page.setups.state == "ready", "nothing runs by itself"
    QTest.mouseClick(sheet.engines["transformers"], Qt.MouseButton.LeftButton, pos=QPoint(6, 8))
    qtbot.waitUntil(lambda: len(set_up) == 2 and page.setups.state == "ready")
    assert ("transformers" in set_up[1].engines) is not ("transformers" in set_up[0].engines)
    QTest.keyClicks(sheet.index, "https://example.org/whl")
    QTest.keyClick(sheet.index, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: len(set_up) == 3 and page.setups.state == "ready")
    assert set_up[2].index == "https://example.org/whl"
    assert set_up[2].engines == set_up[1].engines
    QTest.mouseClick(sheet.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "Collecting torch" in sheet.log.toPlainText())
    assert "1 of 1: Install the packages" in sheet.said.text()
    QTest.keyClick(sheet, Qt.Key.Key_Escape)
    assert not sheet.isVisible()
    FakeRun.go_on.set()
    qtbot.waitUntil(lambda: page.setups.state == "done")
    assert machines(services.places)[-1].reach == Ssh(host="bench@gpu-box", python="/opt/new/bin/python")
    qtbot.waitUntil(lambda: ("forget", "lab") in far.did)


def test_that_setting_up_can_be_stopped_and_tried_again(
    qtbot: QtBot, services: Services, page: MachinesPage, set_up: list[Choice]
) -> None:
    click_row(page, "lab")
    QTest.mouseClick(page.head.set_up, Qt.MouseButton.LeftButton)
    sheet = page.setup_sheet
    qtbot.waitUntil(lambda: sheet.start.isVisible())
    QTest.mouseClick(sheet.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: sheet.stop.isVisible())
    QTest.mouseClick(sheet.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.setups.state == "failed")
    assert "Free some space." in sheet.said.text()
    assert sheet.start.text() == "Try again"
    assert machines(services.places)[-1] == LAB


def test_that_a_machine_that_cannot_even_be_tried_says_why(qtbot: QtBot, page: MachinesPage, far: FarWorkbench) -> None:
    far.refuses = RunnerError("There is no ssh here.", "Install it.", code="no_ssh")
    click_row(page, "lab")
    qtbot.waitUntil(lambda: state(page, "lab") == "no answer")
    assert "There is no ssh here. Install it." in words(page)
    assert "Trying again" not in words(page)


def test_that_text_of_a_far_machine_stays_plain(qtbot: QtBot, page: MachinesPage, far: FarWorkbench) -> None:
    click_row(page, "lab")
    far.say(RunnerLink("lost", "<b>pwned</b><img src='http://x/y'>", "lab"))
    qtbot.waitUntil(lambda: "<b>pwned</b>" in words(page))
    assert page.head.text.textFormat() is Qt.TextFormat.PlainText


def test_that_a_machine_is_added_by_keyboard_with_its_id_from_the_host(
    qtbot: QtBot, services: Services, page: MachinesPage, far: FarWorkbench
) -> None:
    QTest.mouseClick(page.list.add, Qt.MouseButton.LeftButton)
    sheet = page.add_sheet
    assert sheet.isVisible()
    assert sheet.fields["host"].hasFocus()
    QTest.keyClick(sheet.fields["host"], Qt.Key.Key_Return)
    assert sheet.isVisible()
    assert "Where is it?" in sheet.wrong.text()
    QTest.keyClicks(sheet.fields["host"], "bench@Lab.example.org")
    assert sheet.fields["id"].text() == "lab-2", "lab is taken"
    assert sheet.fields["title"].text() == "Lab.example.org"
    QTest.keyClick(sheet.fields["host"], Qt.Key.Key_Return)
    assert not sheet.isVisible()
    wanted = Machine(id="lab-2", title="Lab.example.org", reach=Ssh(host="bench@Lab.example.org"))
    assert machines(services.places)[-1] == wanted
    assert page.chosen == "lab-2"
    qtbot.waitUntil(lambda: ("follow", "lab-2") in far.did)


def test_that_hosts_of_the_ssh_configuration_are_offered(
    page: MachinesPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("Host gpu-box *.lab\nHost other\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    page.add()
    sheet = page.add_sheet
    assert [sheet.hosts.itemText(i) for i in range(sheet.hosts.count())] == ["gpu-box", "other"]
    assert sheet.fields["host"].text() == "", "offered, not chosen"
    QTest.keyClick(sheet.hosts, Qt.Key.Key_Down)
    assert sheet.fields["host"].text() == "gpu-box"
    assert sheet.fields["id"].text() == "gpu-box"


def test_that_a_slurm_cluster_is_added_with_what_an_allocation_has(services: Services, page: MachinesPage) -> None:
    page.add()
    sheet = page.add_sheet
    sheet.kinds.choose(1)
    assert sheet.hosts.accessibleName() == "Login node"
    for key, text in (("id", "cluster"), ("partition", "gpu"), ("gpus", "2"), ("memory", "64")):
        sheet.fields[key].clear()
        QTest.keyClicks(sheet.fields[key], text)
    QTest.mouseClick(sheet.save, Qt.MouseButton.LeftButton)
    made = machines(services.places)[-1]
    assert made == Machine(id="cluster", title="cluster", reach=Slurm(partition="gpu", gpus=2, memory_bytes=64 << 30))


def test_that_a_machine_is_changed_under_the_same_id_and_linked_anew(
    qtbot: QtBot, services: Services, page: MachinesPage, far: FarWorkbench
) -> None:
    click_row(page, "lab")
    qtbot.waitUntil(lambda: ("follow", "lab") in far.did)
    far.say(connected("lab"))
    qtbot.waitUntil(lambda: "NVIDIA H200" in words(page))
    QTest.mouseClick(page.head.edit, Qt.MouseButton.LeftButton)
    assert page.add_sheet.fields["id"].isReadOnly()
    page.add_sheet.fields["host"].setText("other")
    QTest.mouseClick(page.add_sheet.save, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: far.did.count(("follow", "lab")) == 2)
    assert far.did.index(("forget", "lab")) > far.did.index(("follow", "lab"))
    assert machines(services.places)[-1].reach == Ssh(host="other", python="/opt/engines/bin/python")
    assert "NVIDIA H200" not in words(page), "what another computer has is not shown"


def test_that_a_machine_is_removed_after_a_question(
    qtbot: QtBot, services: Services, page: MachinesPage, far: FarWorkbench
) -> None:
    assert not page.head.remove.isVisible(), "this computer stays"
    click_row(page, "lab")
    QTest.mouseClick(page.head.remove, Qt.MouseButton.LeftButton)
    assert "Its stored trials stay" in page.head.question.text()
    assert page.head.no.hasFocus()
    QTest.keyClick(page.head.no, Qt.Key.Key_Space)
    assert len(machines(services.places)) == 2
    QTest.mouseClick(page.head.remove, Qt.MouseButton.LeftButton)
    QTest.mouseClick(page.head.yes, Qt.MouseButton.LeftButton)
    assert [m.id for m in machines(services.places)] == [THIS]
    qtbot.waitUntil(lambda: ("forget", "lab") in far.did)
    assert page.chosen == THIS
    assert not page.head.remove.isVisible()


def test_that_every_control_has_a_name_for_a_screen_reader(page: MachinesPage) -> None:
    click_row(page, "lab")
    for button in page.findChildren(QPushButton):
        assert button.accessibleName() or button.text(), button
    assert page.head.remove.accessibleName() == "Remove gpu-box"
    for edit in page.add_sheet.fields.values():
        assert edit.accessibleName()


def test_that_the_countdown_ends_with_a_try() -> None:
    assert [countdown(s) for s in (8.2, 1.0, 0.4, 0.0, -3.0)] == [
        "Trying again in 8 s.",
        "Trying again in 1 s.",
        *["Trying again now."] * 3,
    ]


def test_that_the_status_line_says_the_worst_link_first() -> None:
    titles = {"lab": "gpu-box", "cluster": "Cluster", THIS: "This computer"}.__getitem__
    here, lab, slow = connected(THIS), lost("lab"), RunnerLink("connecting", machine="cluster")
    said = "gpu-box: no answer. The link to gpu-box broke. Stored figures are safe."
    assert link_words({}, titles) == ""
    assert link_words({THIS: here}, titles) == "Runner: connected"
    assert link_words({"lab": lab}, titles) == said
    assert link_words({THIS: here, "lab": connected("lab")}, titles) == "2 machines connected"
    assert link_words({"lab": lost("lab", "setup")}, titles).startswith("gpu-box: not set up. ")
    three = {THIS: here, "cluster": slow, "lab": lab}
    assert link_words(three, titles) == f"{said} · Cluster: connecting · 1 of 3 machines connected"


@pytest.mark.parametrize("width", [1200, 560, 420])
def test_that_no_button_of_the_head_is_cut_in_a_narrow_window(page: MachinesPage, width: int) -> None:
    click_row(page, "lab")
    head = page.head
    head.setParent(None)
    head.resize(width, 300)
    head.show()
    try:
        for button in head.buttons:
            assert button.width() >= button.sizeHint().width()
            assert head.rect().contains(button.geometry())
    finally:
        head.setParent(page)


def inside(widget: QWidget, around: QWidget) -> bool:
    """Whether all of its width is seen."""
    left = widget.mapTo(around, QPoint(0, 0)).x()
    return left >= 0 and left + widget.width() <= around.width()


def test_that_at_double_text_size_the_head_and_a_fingerprint_are_seen_whole(
    qtbot: QtBot, services: Services, page: MachinesPage, far: FarWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = f"SHA256:{'abcdefghij' * 4}xyz"
    key = HostKey("unknown", "gpu-box", "ssh-ed25519", fingerprint, line="ssh-ed25519 AAAA")
    monkeypatch.setattr(known, "host_key", lambda _reach: key)
    services.theme.choose("light", 2.0)
    page.resize(1040, 560)
    click_row(page, "lab")
    far.say(connected("lab"))
    qtbot.waitUntil(lambda: "What can be measured" in words(page))
    far.say(lost("lab", "host_key"))
    qtbot.waitUntil(page.head.trust.isVisible)
    seen = page._right.viewport()
    qtbot.waitUntil(lambda: page.head.width() <= seen.width())
    for widget in (*page.head.buttons, page.head.trust, page.head.retry, page.head.card_title, page.head.offered):
        assert inside(widget, seen), widget
    lines = page.head.offered.text().split("\n")
    assert "".join(lines) == f"ssh-ed25519 {fingerprint}"
    advance = page.head.offered.fontMetrics().horizontalAdvance
    assert max(advance(line) for line in lines) <= page.head.offered.width()


def test_that_at_double_text_size_the_fields_of_set_up_are_seen_whole(
    qtbot: QtBot, services: Services, page: MachinesPage, set_up: list[Choice]
) -> None:
    services.theme.choose("light", 2.0)
    page.resize(1040, 560)
    click_row(page, "lab")
    QTest.mouseClick(page.head.set_up, Qt.MouseButton.LeftButton)
    sheet = page.setup_sheet
    qtbot.waitUntil(sheet.start.isVisible)
    for field in (sheet.python, sheet.index):
        assert inside(field, sheet)
        assert field.width() > services.theme.px(120)
    ticks = tuple(sheet.engines.values())
    before = [tick.isChecked() for tick in ticks]
    for tick in ticks:  # without waiting for the machine to be looked at
        QTest.mouseClick(tick, Qt.MouseButton.LeftButton, pos=QPoint(8, tick.height() // 2))
    assert [tick.isChecked() for tick in ticks] == [not checked for checked in before]


def test_that_the_chosen_machines_runner_is_restarted_and_a_refusal_is_shown(
    qtbot: QtBot, page: MachinesPage, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def restart(machine: Machine, _places: object) -> int:
        asked.append(machine.id)
        if machine.id == THIS:
            raise RunnerError("A trial is running on This computer. The runner was not restarted.", "Wait.")
        return 1

    monkeypatch.setattr("widgets.machines.known.restart_runner", restart)
    services.actions.set_page(page.name)
    page.choose("lab")
    assert services.actions.invoke("machines.restart-runner")
    qtbot.waitUntil(lambda: any("was restarted" in toast.message for toast in services.toasts.history))
    page.choose(THIS)
    services.actions.invoke("machines.restart-runner")
    qtbot.waitUntil(lambda: "was not restarted" in services.toasts.history[-1].message)
    assert asked == ["lab", THIS]
