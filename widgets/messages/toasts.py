"""Messages from background work: shown for a while at the bottom right, kept in a history under the bell.

`Toasts` is the list and knows nothing of how it is drawn; `ToastLayer` (widgets.messages.toast_layer) draws it. Main
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from PySide6.QtCore import QObject, Signal

from engines.protocol.problems import advice_of

HISTORY = 200
"""Messages kept; older ones go."""


@dataclass(frozen=True)
class Toast:
    """What happened, what to do, and at most one action."""

    severity: str
    """"info", "good", "warning", "error"."""
    message: str
    advice: str = ""
    action: str = ""
    """Label of the action's button, "" for none."""
    handler: Callable[[], None] | None = field(default=None, compare=False)
    at: float = 0.0
    """Wall clock, seconds since 1970."""

    @property
    def stays(self) -> bool:
        """Errors stay until they are closed."""
        return self.severity == "error"


class Toasts(QObject):
    """The messages of this session, newest last."""

    added = Signal(object)
    """A `Toast`."""
    read = Signal()
    """The history was looked at; nothing is unread."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._history: list[Toast] = []
        self.unread = 0

    @property
    def history(self) -> tuple[Toast, ...]:
        return tuple(self._history)

    def show(
        self,
        severity: str,
        message: str,
        advice: str = "",
        *,
        action: str = "",
        handler: Callable[[], None] | None = None,
    ) -> None:
        """Tell the person something. Never steals the focus."""
        toast = Toast(severity, message, advice, action, handler, time.time())
        self._history.append(toast)
        del self._history[:-HISTORY]
        self.unread += 1
        self.added.emit(toast)

    def error(self, error: BaseException) -> None:
        """An exception of background work in words; `advice` is taken from it where it has one. Fits `Bridge.run`'s
        `failure`."""
        self.show("error", str(error) or type(error).__name__, advice_of(error))

    def mark_read(self) -> None:
        self.unread = 0
        self.read.emit()

    def clear(self) -> None:
        self._history.clear()
        self.mark_read()
