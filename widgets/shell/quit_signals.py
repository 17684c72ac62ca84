"""SIGINT and SIGTERM close the window as its close button does. Main thread.

Python runs its handlers only when it gets to run at all, and Qt sleeps in C: the wake-up pipe makes a signal an event.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable
from types import FrameType

from PySide6.QtCore import QObject, QSocketNotifier

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class QuitSignals(QObject):
    """Calls `quit_` for the first signal; a SIGINT after it ends the process at once. `close` puts things back."""

    def __init__(self, quit_: Callable[[], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._quit = quit_
        self._inner, self._outer = socket.socketpair()
        for end in (self._inner, self._outer):
            end.setblocking(False)
        self._notifier = QSocketNotifier(self._outer.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._woken)
        self._before = {number: signal.signal(number, self._noted) for number in SIGNALS}
        self._fd_before = signal.set_wakeup_fd(self._inner.fileno(), warn_on_full_buffer=False)

    def _noted(self, number: int, frame: FrameType | None) -> None:
        """The handler itself does nothing: the byte in the pipe is what counts."""

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._outer.recv(64):
                pass
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        self._quit()

    def close(self) -> None:
        self._notifier.setEnabled(False)
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._inner.close()
        self._outer.close()
