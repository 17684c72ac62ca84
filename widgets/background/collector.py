"""Python's cycle collector, on the main thread only.

Python collects on whichever thread happens to allocate. A page that was closed is a cycle of Qt's objects: when a
thread of the bridge finds it while Qt draws, the process dies. So automatic collection is off, and a timer collects.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

INTERVAL_MS = 1000
_OLDEST = 2


class MainThreadCollector(QObject):
    """Collects by Python's thresholds, at most once a second, on the thread that made it, until `close`."""

    def __init__(self, parent: QObject | None = None, *, interval_ms: int = INTERVAL_MS) -> None:
        super().__init__(parent)
        self._settled = False
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(interval_ms)
        gc.disable()

    def look(self) -> None:
        """Collect the oldest generation that is due; the younger ones go with it."""
        counts = zip(gc.get_count(), gc.get_threshold(), strict=True)
        due = [generation for generation, (count, threshold) in enumerate(counts) if count > threshold]
        if not due:
            return
        gc.collect(due[-1])
        if due[-1] == _OLDEST and not self._settled:
            self._settled = True
            gc.freeze()  # modules and the frame: later collections need not look at them while the window draws

    def close(self) -> None:
        """Python collects by itself again."""
        self._timer.stop()
        gc.unfreeze()
        gc.enable()
