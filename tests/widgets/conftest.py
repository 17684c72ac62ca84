"""Every test of the window fails when it leaves a top-level widget, a thread or a child process behind, or when Qt logs
a warning that nobody expects."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QSettings
from PySide6.QtWidgets import QApplication, QMainWindow, QWidget
from pytestqt.qtbot import QtBot

from engines.protocol.places import Places
from widgets.background.bridge import Bridge
from widgets.messages.toasts import Toasts
from widgets.shell.actions import Actions
from widgets.shell.services import Services
from widgets.theme.theme import Theme

EXPECTED = (
    "This plugin does not support propagateSizeHints",
    "This plugin does not support raise",
    "This plugin does not support grabbing the keyboard",
    "QStandardPaths: ",
)
"""What the offscreen platform says of itself."""

PATIENCE_MS = 60_000
"""How long a test waits for what takes milliseconds: pytest-qt's 5 s pass while a busy machine stands still."""


class Patient(QtBot):
    """pytest-qt's robot with patience; tests give no times of their own."""

    def waitUntil(self, callback: Callable[[], bool | None], *, timeout: int = PATIENCE_MS) -> None:
        super().waitUntil(callback, timeout=timeout)

    def waitSignal(self, signal: object, *, timeout: int = PATIENCE_MS, **options: Any) -> Any:
        return super().waitSignal(signal, timeout=timeout, **options)

    def waitExposed(self, widget: QWidget, *, timeout: int = PATIENCE_MS) -> Any:
        return super().waitExposed(widget, timeout=timeout)

    def waitActive(self, widget: QWidget, *, timeout: int = PATIENCE_MS) -> Any:
        return super().waitActive(widget, timeout=timeout)


@pytest.fixture
def qtbot(qapp: QApplication, request: pytest.FixtureRequest) -> QtBot:
    """pytest-qt's fixture of that name, with more patience."""
    return Patient(request)


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Threads, child processes and top-level widgets of a test end with it; Qt logs nothing unexpected."""
    threads = set(threading.enumerate())
    children = {p.pid for p in psutil.Process().children(recursive=True)}
    app = QApplication.instance()
    windows = set(app.topLevelWidgets()) if isinstance(app, QApplication) else set()
    gc.disable()  # as in the application (widgets.background.collector): a thread that collects Qt's objects crashes Qt
    yield
    qtlog = request.node.funcargs.get("qtlog")
    _settle()
    gc.enable()
    app = QApplication.instance()
    if isinstance(app, QApplication):
        left = [w for w in app.topLevelWidgets() if w not in windows and not _is_passing(w)]
        assert not left, f"top-level widgets outlived the test: {left}"
    _wait(lambda: not _new_threads(threads))
    assert not _new_threads(threads), f"threads outlived the test: {_new_threads(threads)}"
    _wait(lambda: not _new_children(children))
    assert not _new_children(children), f"processes outlived the test: {_new_children(children)}"
    if qtlog is not None:
        said = [r.message for r in qtlog.records if not any(text in r.message for text in EXPECTED)]
        assert not said, f"Qt logged: {said}"


@pytest.fixture(autouse=True)
def _qt_log(qtlog: object) -> object:
    """Makes pytest-qt record what Qt logs in every test."""
    return qtlog


def _is_passing(widget: QWidget) -> bool:
    """Menus and tooltips that Qt keeps for itself."""
    return widget.metaObject().className() in ("QTipLabel", "QComboBoxPrivateContainer", "QMenu", "QFrame")


def _settle() -> None:
    gc.collect()
    app = QCoreApplication.instance()
    if app is not None:
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        QCoreApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def _wait(done: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.02)


def _new_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t not in before and t.is_alive()]


def _new_children(before: set[int]) -> list[str]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.pid not in before and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()) or process.name())
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture
def theme(qapp: QApplication, tmp_path: Path) -> Iterator[Theme]:
    """The light theme at 100 %, applied to the application."""
    made = Theme(tmp_path / "style", "light")
    made.apply(qapp)
    yield made
    made.deleteLater()


@pytest.fixture
def window(qtbot: QtBot) -> QMainWindow:
    """An empty one, not shown."""
    made = QMainWindow()
    qtbot.addWidget(made)
    made.resize(900, 600)
    return made


@pytest.fixture
def services(qtbot: QtBot, theme: Theme, home: Places) -> Iterator[Services]:
    """Services without a workbench, in a window that is never shown. `services.bridge.attach(fake)` gives it one;
    what is asked of `navigate` is kept in `services.navigate.asked`."""
    window = QMainWindow()
    qtbot.addWidget(window)
    bridge = Bridge(window)
    made = Services(
        bridge=bridge,
        theme=theme,
        actions=Actions(window, theme),
        settings=QSettings(str(home.config / "window.ini"), QSettings.Format.IniFormat),
        toasts=Toasts(window),
        places=home,
        navigate=Navigator(),
    )
    yield made
    bridge.close()
    window.close()


class Navigator:
    """Remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []

    def __call__(self, page: str, target: object) -> None:
        self.asked.append((page, target))
