"""Which trial the Monitor page shows: what runs, what was chosen, or what ended last. Main thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from engines.protocol.messages import QueueEntry, QueueState
from widgets.background.bridge import Bridge
from widgets.monitor.trials import Trials
from workbench.charts.series import TrialData
from workbench.store.operations import ListTrials, TrialRow


class CurrentTrial(QObject):
    """Knows the queue and one trial of it, or of the store; its records come from `Trials`."""

    chosen = Signal(str)
    """Another trial."""
    changed = Signal()
    """Another trial, or its records were read: `data`."""
    grew = Signal()
    """Its records have become more."""
    described = Signal()
    """Something about it is known that is not in its records."""
    reading = Signal(str)
    """Its records come from the store; the trial's title."""
    starting = Signal(str)
    """It runs and has said nothing yet; the trial's title."""
    unreadable = Signal(object)
    """The exception; no trial is shown now."""
    none = Signal()
    """The queue changed and no trial is shown."""

    def __init__(self, bridge: Bridge, is_seen: Callable[[], bool], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge, self._is_seen = bridge, is_seen
        self.id = ""
        """"" for none."""
        self._pinned = ""
        self.queue: QueueState | None = None
        """None until the runner has sent it."""
        self._asked_store = False
        self.trials = Trials(bridge, self)
        self.trials.grew.connect(self._grew)
        self.trials.loaded.connect(self._loaded)
        self.trials.failed.connect(self._not_loaded)
        self.trials.described.connect(self._described)
        bridge.records_arrived.connect(self.trials.take)

    # --- what is known of it ----------------------------------------------------------------------

    @property
    def data(self) -> TrialData | None:
        return self.trials.get(self.id) if self.id else None

    @property
    def entry(self) -> QueueEntry | None:
        """Its place in the queue; None for a trial of the store alone."""
        if self.queue is None:
            return None
        return next((e for e in self.queue.entries if e.trial == self.id), None)

    @property
    def running_entry(self) -> QueueEntry | None:
        """What runs: this trial if it does, else the first one."""
        running = () if self.queue is None else self.queue.in_state("running")
        return next((e for e in running if e.trial == self.id), running[0] if running else None)

    def runs(self) -> bool:
        entry = self.entry
        return entry is not None and entry.state == "running"

    def on_this_processor(self) -> bool:
        """Whether it uses the processor that would draw it."""
        entry = self.entry
        return entry is not None and entry.state == "running" and entry.device == "cpu"

    def has_ended(self) -> bool:
        """Whether it is a stored one that has ended."""
        data = self.data
        return data is not None and data.ended is not None

    # --- choosing ---------------------------------------------------------------------------------

    def show(self, trial: str) -> None:
        """One that runs, one of the queue, or one of the store."""
        running = self.running_entry
        self._pinned = "" if running is not None and running.trial == trial else trial
        self._put(trial)

    def show_running(self) -> None:
        """Back to what runs, from whatever was chosen."""
        self._pinned = ""
        running = self.running_entry
        if running is not None:
            self._put(running.trial)

    def _put(self, trial: str) -> None:
        if trial == self.id and self.data is not None:
            return
        self.id = trial
        self.chosen.emit(trial)
        self.trials.describe(trial)
        self.changed.emit()
        if self.data is None:
            entry = self.entry
            self.reading.emit(entry.title if entry is not None else "this trial")
            self.trials.load(trial)
        active = {e.trial for e in self.queue.in_state("running")} if self.queue is not None else set()
        self.trials.let_go(active | {trial})

    def seek_latest(self) -> bool:
        """While nothing runs or waits, the trial that ended last is what one comes to see. -> whether there is one"""
        workbench, state = self._bridge.workbench, self.queue
        if workbench is None or state is None or any(e.state != "ended" for e in state.entries):
            return False
        own = [e for e in state.entries if e.store == workbench.store_id and e.started_wall_ns]
        if own and self._is_seen():
            self._put(own[0].trial)
            return True
        if not own and self._is_seen() and not self._asked_store:
            self._asked_store = True
            self._bridge.run(ListTrials(state="ended", limit=1), self._found_latest)
        return False

    def _found_latest(self, rows: tuple[TrialRow, ...]) -> None:
        """The newest trial of the store, where the runner's queue has forgotten it."""
        if rows and not self.id:
            self._put(rows[0].trial)

    # --- what arrives -----------------------------------------------------------------------------

    def take_queue(self, state: QueueState) -> None:
        """What runs is shown, unless another trial was chosen."""
        self.queue = state
        for entry in state.entries:
            if entry.state == "running" or entry.trial == self.id:
                self.trials.name(entry.trial, entry.title, entry.color)
        running = self.running_entry
        if running is not None and not self._pinned and running.trial != self.id:
            self._put(running.trial)
        elif self.id:
            self.described.emit()
        else:
            self.none.emit()

    def read_again(self, trial: str) -> None:
        """Its stored records have become more."""
        if trial == self.id:
            self.trials.load(trial)

    def _grew(self, trial: str) -> None:
        if trial == self.id:
            self.grew.emit()

    def _loaded(self, trial: str) -> None:
        if trial == self.id:
            self.changed.emit()

    def _described(self, trial: str) -> None:
        if trial == self.id:
            self.described.emit()

    def _not_loaded(self, trial: str, error: BaseException) -> None:
        if trial != self.id:
            return
        entry = self.entry
        if entry is not None and entry.state != "ended":
            # it has only begun: its first records are on their way
            self.starting.emit(entry.title)
            return
        self.id = self._pinned = ""
        self.unreadable.emit(error)
