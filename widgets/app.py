"""The start of the window: paint first, import later. Owns the QApplication. Called by `workbench.cli.gui`.

Nothing imported here may load DuckDB, pyqtgraph, matplotlib or scipy: the frame is painted before they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QSettings, QSocketNotifier, QTimer
from PySide6.QtWidgets import QApplication

from engines.protocol.places import Places, places
from widgets.background.collector import MainThreadCollector
from widgets.shell.crash import CrashGuard, left_behind, mark_seen
from widgets.shell.quit_signals import QuitSignals
from widgets.shell.window import Window
from widgets.shell.window_actions import window_actions
from widgets.theme.theme import Theme

if TYPE_CHECKING:
    from workbench.running.demo import DemoReport


def main(
    argv: Sequence[str] = (),
    database: Path | None = None,
    demo: bool = False,
    files: Sequence[Path] = (),
    on_demo_report: Callable[[DemoReport], None] | None = None,
    settings: Path | None = None,
    until_eof: bool = False,
) -> int:
    """Open the window and stay until it is closed. -> exit code

    `argv` are options for Qt; `demo` runs the demo on the Monitor page; `files` are opened as if dropped on the window;
    `on_demo_report` is called on the main thread when a demo has ended. `settings` is a file for the layout in place of
    the user's own; `until_eof` closes the window when standard input ends, for a program that opens one. Without a
    display Qt ends the process: the caller looks first.
    """
    # no accessibility bus, no warning: a container has none
    os.environ.setdefault("NO_AT_BRIDGE", "1")
    where = places()
    guard = CrashGuard(where.crashes)
    guard.install()
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication([sys.argv[0], *argv])
    app.setApplicationName("llm-workbench")
    app.setApplicationDisplayName("LLM Workbench")
    app.setDesktopFileName("llm-workbench")
    collector = MainThreadCollector()
    window = make_window(app, where, database, settings)
    if on_demo_report is not None:
        window.demo_reported.connect(on_demo_report)
    signals = QuitSignals(window.quit_, window)
    if until_eof:
        _close_at_eof(window)
    says = _Says(window)
    guard.tell(says.say)
    for path in files:
        window.when_usable(partial(window.file_opener.take, path))
    if demo:
        window.navigate("monitor", None)
        window.demo_messages.run()
    window.when_usable(partial(_offer_crashes, window, where.crashes))
    starter = _AfterPaint(window)
    window.show()
    try:
        return app.exec()
    finally:
        starter.deleteLater()
        collector.close()
        signals.close()
        guard.close()


def make_window(
    app: QApplication, where: Places, database: Path | None = None, settings_file: Path | None = None
) -> Window:
    """The styled application and its window, not yet shown."""
    settings = QSettings(str(settings_file or where.config / "window.ini"), QSettings.Format.IniFormat)
    mode, scale = settings.value("look/theme", "system"), settings.value("look/scale", 1.0)
    theme = Theme(where.cache / "style", str(mode), _number(scale), app)
    theme.apply(app)
    return Window(theme, where, settings, window_actions, database)


def _close_at_eof(window: Window) -> None:
    """Whoever opened this window holds the other end of standard input: gone with it, also when it was killed."""
    notifier = QSocketNotifier(sys.stdin.fileno(), QSocketNotifier.Type.Read, window)

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            notifier.setEnabled(False)
            window.quit_()

    notifier.activated.connect(read)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 1.0


class _AfterPaint(QObject):
    """Starts the window's work once its first frame is on the screen."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._window = window
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self._window.removeEventFilter(self)
            QTimer.singleShot(0, self, self._window.start)
        return False


class _Says(QObject):
    """Brings an uncaught exception of any thread to the toasts of the main one."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._window = window

    def say(self, message: str, advice: str) -> None:
        QTimer.singleShot(0, self, partial(self._window.toasts.show, "error", message, advice))


def _offer_crashes(window: Window, folder: Path) -> None:
    """Tell of windows that crashed before, once."""
    reports = left_behind(folder)
    if not reports:
        return
    kept = [mark_seen(path) for path in reports]
    window.toasts.show(
        "warning",
        "The window ended by a crash last time. Trials and stored data were not touched.",
        f"The report is in {kept[0]}",
        action="Open the folder",
        handler=window.open_crashes,
    )
