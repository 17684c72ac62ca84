"""What Monitor offers in menus and palette; `page_actions` says what each does. Main thread."""

from __future__ import annotations

from widgets.shell.entries import Entry


def _run(id: str, text: str, shortcut: str = "", icon: str = "", words: str = "", *, anywhere: bool = True) -> Entry:
    return Entry(f"monitor.{id}", text, "Run", "trial", shortcut, icon, words, anywhere)


def _view(id: str, text: str, shortcut: str, icon: str = "") -> Entry:
    return Entry(f"monitor.{id}", text, "View", "monitor", shortcut, icon)


ENTRIES = (
    _run("stop", "Stop and keep", shortcut="Ctrl+.", icon="stop", words="end trial"),
    _run("kill", "Kill the trial", icon="kill"),
    _run("retry-failed", "Retry failed trials", icon="refresh"),
    _run("wall-meter", "Import wall meter readings…", words="csv power plug energy", anywhere=False),
    _view("running", "Show what runs", "Ctrl+R", "pulse"),
    _view("follow", "Follow the newest samples", "Ctrl+L"),
    _view("table", "Charts as table", "Ctrl+T", "table"),
    _view("export", "Export the charts of this trial", "Ctrl+E", "export"),
    _view("side", "Sensors and queue", "Ctrl+B", "panel-right"),
)
