"""The folder that was last chosen for something, and the way to look into it. Main thread."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSettings, QUrl
from PySide6.QtGui import QDesktopServices


class LastFolder:
    """Kept in the window's settings under a key of its own."""

    def __init__(self, settings: QSettings, key: str) -> None:
        self._settings = settings
        self._key = key

    @property
    def path(self) -> Path:
        """Home where none was chosen yet, or where it is gone."""
        saved = self._settings.value(self._key)
        found = Path(saved) if isinstance(saved, str) and saved else Path.home()
        return found if found.is_dir() else Path.home()

    def remember(self, folder: Path) -> None:
        self._settings.setValue(self._key, str(folder))


def open_folder(folder: Path) -> None:
    """In the desktop's file manager."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
