"""What a window remembers from one session to the next: geometry, page, database; pages keep their own. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings
from PySide6.QtWidgets import QWidget

from engines.protocol.places import Places
from widgets.shell.page import Page
from widgets.shell.rail import PAGES
from widgets.theme.theme import Theme

HEIGHT = 900
"""Of a window that was never opened before; the width is a token."""


def remembered_database(settings: QSettings, places: Places) -> Path:
    """The database of the last session if it is still there, otherwise the user's own."""
    saved = settings.value("window/database")
    return Path(saved) if isinstance(saved, str) and saved and Path(saved).exists() else places.database


def restore(window: QWidget, settings: QSettings, theme: Theme) -> str:
    """Size and place of the window. -> name of the page that was shown"""
    window.resize(theme.tokens["width"]["window_design"], HEIGHT)
    geometry = settings.value("window/geometry")
    if isinstance(geometry, QByteArray):
        window.restoreGeometry(geometry)
    page = settings.value("window/page")
    return page if isinstance(page, str) and page in {name for name, *_ in PAGES} else "setup"


def save(window: QWidget, settings: QSettings, page: str, pages: Sequence[Page]) -> None:
    """Write it all to the disk; a disk that refuses costs the memory only."""
    settings.setValue("window/geometry", window.saveGeometry())
    settings.setValue("window/page", page)
    for made in pages:
        made.save_layout(settings)
    settings.sync()
