"""A damaged database in the window: what happened, what is safe, read-only, Repair and what it found. Real files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

import workbench.store.salvage
from engines.protocol.places import Places
from engines.runner.spools.spool import SpoolWriter
from tests.workbench.store_kit import add_experiment, ended, lines, log, order, started
from widgets.shell.page import Page
from widgets.shell.rail import PAGES
from widgets.shell.window import Window
from widgets.shell.window_actions import window_actions
from widgets.theme.theme import Theme
from workbench.running.intake import judge_leftovers
from workbench.running.workbench import Workbench
from workbench.store.local import LocalStore
from workbench.store.operations import GetStoreId, Ingest, Query, SetNote, StoreError

TRIALS = ("t-0", "t-1", "t-2")
HEADER, BLOCK = 12_288, 262_144
EVERYTHING = Query(sql="SELECT sum(length(COLUMNS(*)::VARCHAR)) FROM records")


@pytest.fixture
def database(home: Places) -> Path:
    """A store of three trials that runners still keep, closed; the window opens it by itself."""
    path = home.database
    path.parent.mkdir(parents=True)
    store = LocalStore(path)
    id = store.execute(GetStoreId())
    add_experiment(store, *TRIALS)
    for position, trial in enumerate(TRIALS):
        noise = [log(seq, os.urandom(400).hex()) for seq in range(2, 600)]
        records = [started(), *noise, ended(600)]
        store.execute(Ingest(trial=trial, lines=lines(records)))
        made = order(trial, store=id, configuration=f"c-{position % 2}", position=position)
        writer = SpoolWriter.create(home.spools / trial, made)
        writer.append(records)
        writer.clear()
        writer.close()
    judge_leftovers(store)
    store.close()
    return path


@pytest.fixture
def window(
    qtbot: QtBot, theme: Theme, home: Places, database: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Window]:
    """Not started. No runner, and four empty pages: both have tests of their own."""
    monkeypatch.setattr(Workbench, "follow", lambda *_: None)
    made = Window(theme, home, QSettings(str(home.config / "window.ini"), QSettings.Format.IniFormat), window_actions)
    for name, *_ in PAGES[:4]:
        made.stack._makers[name] = lambda name=name: _page(made, name)
    made.show()
    yield made
    made.close()
    made.deleteLater()


def _page(window: Window, name: str) -> Page:
    page = Page(window.services)
    page.name = name
    return page


def damage(path: Path, kind: str) -> None:
    size = path.stat().st_size
    if kind == "header":
        path.write_bytes(os.urandom(50_000))
    elif kind == "zeros":
        path.write_bytes(bytes(size))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        os.truncate(path, size - BLOCK)
    else:
        assert any(shows_late(path, HEADER + BLOCK * number) for number in range((size - HEADER) // BLOCK))


def shows_late(path: Path, at: int) -> bool:
    """Damage a block; whether the file can be opened and cannot be read then. Else it is as it was."""
    with path.open("rb+") as file:
        file.seek(at)
        before = file.read(4096)
        file.seek(at)
        file.write(os.urandom(4096))
    try:
        store = LocalStore(path)
    except StoreError:
        late = False
    else:
        try:
            store.execute(EVERYTHING)
            late = False
        except StoreError as error:
            late = error.code == "damaged"
        store.close()
    if not late:
        with path.open("rb+") as file:
            file.seek(at)
            file.write(before)
    return late


def click(button: QAbstractButton) -> None:
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def said(widget: QWidget) -> str:
    return "\n".join(found.text() for found in widget.findChildren(QLabel) if found.isVisible())


def until_damaged(qtbot: QtBot, window: Window) -> None:
    window.start()
    qtbot.waitUntil(window.opening.repair.repair.isVisible)


@pytest.mark.parametrize("kind", ["header", "zeros", "empty", "cut"])
def test_that_a_damaged_file_leads_to_its_repair(qtbot: QtBot, window: Window, database: Path, kind: str) -> None:
    damage(database, kind)
    before = hashlib.sha256(database.read_bytes()).digest()
    until_damaged(qtbot, window)
    card = window.opening.repair
    assert "The database is damaged" in said(card)
    assert "What is safe" in said(card)
    assert "--database" not in said(card), "the window names its own buttons"
    assert card.repair.hasFocus()
    click(card.repair)
    qtbot.waitUntil(card.open.isVisible)
    assert "The database is repaired" in said(card)
    assert "Trials\n3" in said(card)
    (kept,) = database.parent.glob("*.damaged-*")
    assert str(kept) in said(card)
    assert hashlib.sha256(kept.read_bytes()).digest() == before
    if kind != "cut":
        assert "From spools\n3" in said(card)
    with qtbot.waitSignal(window.usable):
        click(card.open)
    assert window.status.store.text() == "Store: 3 trials"
    assert not window.read_only_bar.isVisible()


def test_that_it_can_be_read_first_and_nothing_is_written(qtbot: QtBot, window: Window, database: Path) -> None:
    damage(database, "cut")
    before = database.read_bytes()
    until_damaged(qtbot, window)
    with qtbot.waitSignal(window.usable):
        click(window.opening.repair.read)
    assert window.status.store.text() == "Store: 3 trials"
    assert "open read-only" in said(window.read_only_bar)
    with qtbot.waitSignal(window.bridge.notice) as refused:
        window.bridge.run(SetNote(experiment="e-1", note="no"))
    assert refused.args[0].code == "read_only"
    assert database.read_bytes() == before
    click(window.read_only_bar.repair)
    qtbot.waitUntil(window.opening.repair.open.isVisible)
    assert "Trials\n3" in said(window.opening.repair)
    assert not window.read_only_bar.isVisible()


def test_that_a_file_nobody_can_read_says_so_and_still_offers_its_repair(
    qtbot: QtBot, window: Window, database: Path
) -> None:
    damage(database, "header")
    until_damaged(qtbot, window)
    card = window.opening.repair
    click(card.read)
    qtbot.waitUntil(lambda: card.isVisible() and not card.read.isVisible())
    assert "not even to read it" in said(card)
    assert card.repair.isVisible()


def test_that_damage_found_while_it_is_open_leads_there_too(qtbot: QtBot, window: Window, database: Path) -> None:
    damage(database, "block")
    with qtbot.waitSignal(window.usable):
        window.start()
    failures: list[BaseException] = []
    window.bridge.run(EVERYTHING, None, failures.append)
    qtbot.waitUntil(lambda: bool(failures))
    assert isinstance(failures[0], StoreError)
    assert failures[0].code == "damaged"
    qtbot.waitUntil(lambda: any(b.text() == "Repair…" and b.isVisible() for b in window.findChildren(QPushButton)))
    toasts = [toast for toast in window.toasts.history if "is damaged" in toast.message]
    assert len(toasts) == 1
    click(next(b for b in window.findChildren(QPushButton) if b.text() == "Repair…"))
    qtbot.waitUntil(window.opening.repair.repair.isVisible)
    click(window.opening.repair.repair)
    qtbot.waitUntil(window.opening.repair.open.isVisible)
    assert "The database is repaired" in said(window.opening.repair)


@pytest.mark.parametrize("how", ["stop", "close"])
def test_that_a_repair_can_be_stopped_and_changes_nothing_then(
    qtbot: QtBot, window: Window, database: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def endless(_path: Path, _spools: Path, report: Callable[[float | None, str], None]) -> None:
        while True:
            report(0.25, "Reading records")

    monkeypatch.setattr(workbench.store.salvage, "salvage", endless)
    damage(database, "header")
    before = database.read_bytes()
    until_damaged(qtbot, window)
    card = window.opening.repair
    click(card.repair)
    qtbot.waitUntil(lambda: "Reading records" in said(card))
    assert card.bar.value() == 250
    if how == "stop":
        click(card.stop)
        qtbot.waitUntil(card.repair.isVisible)
        assert "The database is damaged" in said(card)
    else:
        window.close()
    assert database.read_bytes() == before


def test_that_a_repair_which_finds_nothing_says_what_to_do(
    qtbot: QtBot, window: Window, home: Places, database: Path
) -> None:
    damage(database, "header")
    for file in home.spools.rglob("*"):
        if file.is_file():
            file.unlink()
    until_damaged(qtbot, window)
    card = window.opening.repair
    click(card.repair)
    qtbot.waitUntil(lambda: "could not be repaired" in said(card))
    assert "Nothing of" in said(card)
    assert card.other.isVisible()
