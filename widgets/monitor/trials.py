"""The trials the Monitor page knows: those that run, fed by records, and stored ones, loaded when asked for.

Live, finished and remote trials are all `TrialData`. A trial first seen in its middle (the window was opened while it
ran) is read from the store, then grows with what arrives. Main thread.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from engines.protocol.orders import TrialOrder
from engines.protocol.records import Record
from widgets.background.bridge import Bridge
from workbench.charts.series import TrialData
from workbench.store.operations import GetOrder

KEPT = 6
"""Trials held in memory; the one shown and the ones that run are never let go."""


class Trials(QObject):
    """`TrialData` by trial id."""

    grew = Signal(str)
    """A trial has taken records."""
    loaded = Signal(str)
    """A trial was read from the store."""
    failed = Signal(str, object)
    """A trial could not be read: id and exception."""
    described = Signal(str)
    """A trial's order is known: `order_of`."""

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._known: dict[str, TrialData] = {}
        self._loading: dict[str, list[Record]] = {}
        self._titles: dict[str, tuple[str, int]] = {}
        self._orders: dict[str, TrialOrder] = {}

    def get(self, trial: str) -> TrialData | None:
        """A trial that is in memory."""
        return self._known.get(trial)

    def order_of(self, trial: str) -> TrialOrder | None:
        """What was asked of a trial; None until the store has said."""
        return self._orders.get(trial)

    def describe(self, trial: str) -> None:
        """Ask the store what was asked of a trial; `described` follows where it knows."""
        if trial in self._orders:
            return

        def arrived(order: TrialOrder) -> None:
            self._orders[trial] = order
            data = self._known.get(trial)
            if data is not None:
                data.take_order(order.workload)
            self.described.emit(trial)

        # a trial the store does not know has no line about its workload; nothing else depends on it
        self._bridge.run(GetOrder(trial=trial), arrived, lambda _: None, receiver=self)

    def name(self, trial: str, title: str, color: int) -> None:
        """What the queue calls a trial, before or after its records come."""
        self._titles[trial] = (title, color)
        data = self._known.get(trial)
        if data is not None:
            data.title, data.color = title, color

    def take(self, trial: str, records: tuple[Record, ...]) -> None:
        """Records that arrived, in order."""
        if not records:
            return
        if trial in self._loading:
            self._loading[trial].extend(records)
            return
        data = self._known.get(trial)
        if data is None:
            if records[0].seq > 1:
                self.load(trial)
                self._loading[trial].extend(records)
                return
            title, color = self._titles.get(trial, (trial, 0))
            data = self._known[trial] = TrialData(trial=trial, title=title, color=color)
            self.describe(trial)
        for record in records:
            data.take(record)
        self.grew.emit(trial)

    def load(self, trial: str) -> None:
        """Read a trial from the store; `loaded` or `failed` follows. Does nothing while it is being read."""
        if trial in self._loading:
            return
        self._loading[trial] = []
        workbench = self._bridge.workbench

        def work() -> TrialData:
            from workbench.store.records import load_trial

            if workbench is None:
                raise RuntimeError("The database is not open yet. Choose the trial again in a moment.")
            return load_trial(workbench.store, trial)

        def arrived(data: TrialData) -> None:
            self._arrived(trial, data)

        def gone(error: BaseException) -> None:
            waiting = self._loading.pop(trial, [])
            if waiting and waiting[0].seq <= 1:
                # the store had nothing of it yet, but all of it has arrived meanwhile
                self.take(trial, tuple(waiting))
            else:
                self.failed.emit(trial, error)

        self._bridge.run(work, arrived, gone, receiver=self)

    def _arrived(self, trial: str, data: TrialData) -> None:
        self._known[trial] = data
        for record in self._loading.pop(trial, []):
            data.take(record)
        self.loaded.emit(trial)

    def let_go(self, keep: set[str]) -> None:
        """Forget the oldest trials beyond a handful; those of `keep` stay."""
        for trial in [t for t in self._known if t not in keep][: max(0, len(self._known) - KEPT)]:
            del self._known[trial]
            self._orders.pop(trial, None)
            self._titles.pop(trial, None)
