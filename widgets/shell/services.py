"""What every page is given: the application's parts, by name. Built by `widgets.shell.window`. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QSettings

from engines.protocol.places import Places
from widgets.background.bridge import Bridge
from widgets.messages.toasts import Toasts
from widgets.shell.actions import Actions
from widgets.theme.theme import Theme

if TYPE_CHECKING:
    from workbench.running.workbench import Workbench


@dataclass(frozen=True)
class Services:
    """Parts shared by the pages."""

    bridge: Bridge
    theme: Theme
    actions: Actions
    settings: QSettings
    """An ini file under `places.config`. Pages keep their own group: "setup/...", "compare/..."."""
    toasts: Toasts
    places: Places
    navigate: Callable[[str, object], None]
    """Show a page ("setup", "monitor", "compare", "machines") and hand it a target of `widgets.shell.page`, or None."""

    @property
    def workbench(self) -> Workbench | None:
        """The open workbench; None until it is opened and after it is closed."""
        return self.bridge.workbench
