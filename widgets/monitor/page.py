"""The Monitor page: header, live charts and log at the left, sensors and queue at the right. Main thread.

Records come by the bridge's signal, go into `TrialData`, and mark the page as stale; charts repaint at their own rate,
the rest twice a second. While the page is hidden records are taken and nothing is drawn.
"""

from __future__ import annotations

import time

from PySide6.QtCore import QSettings, Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSplitter, QStackedWidget, QVBoxLayout, QWidget

from engines.protocol.messages import QueueEntry, QueueState
from engines.protocol.orders import TrialOrder
from widgets.charts.live import latest_time
from widgets.charts.stack import ChartStack
from widgets.charts.table_twin import TableTwin
from widgets.components import EmptyState
from widgets.monitor.header import TrialHeader
from widgets.monitor.header_view import header_view
from widgets.monitor.log_panel import LogPanel
from widgets.monitor.page_actions import page_actions
from widgets.monitor.queue_edits import QueueEdits
from widgets.monitor.queue_panel import QueuePanel
from widgets.monitor.queue_rows import entry_seconds_left
from widgets.monitor.sensor_panel import SensorPanel
from widgets.monitor.toolbar import ChartToolbar
from widgets.monitor.trials import Trials
from widgets.page import Page
from widgets.services import Services
from widgets.targets import ShowTrial
from widgets.wall_meter import WallMeterImport
from workbench.events import StoreChanged
from workbench.series import TrialData
from workbench.store.operations import ListTrials, TrialRow

NARROW = 1280
"""Under this window width the right column stands behind a button."""
_RAIL = 72
_TEXTS_MS = 500
_SLOW_HZ, _FAST_HZ = 2.0, 10.0


class MonitorPage(Page):
    name = "monitor"
    title = "Monitor"
    icon = "pulse"

    def __init__(self, services: Services, parent: QWidget | None = None) -> None:
        super().__init__(services, parent)
        theme = services.theme
        self.toolbar.hide()
        self.trials = Trials(services.bridge, self)
        self.edits = QueueEdits(services, self)
        self._shown = ""
        self._pinned = ""
        self._queue: QueueState | None = None
        self._narrow = False
        self._side_wanted: bool | None = None
        self._asked_store = False
        self.meter = WallMeterImport(services, self)
        self.header = TrialHeader(theme)
        self.charts = ChartStack(theme)
        self.tools = ChartToolbar(theme, self.charts)
        self.table = TableTwin(theme)
        self.log = LogPanel(theme, services.toasts, services.places.cache / "logs")
        self.sensors = SensorPanel(theme)
        self.queue = QueuePanel(theme)
        self.empty = EmptyState(theme, "", icon_name="pulse", action="Go to Setup", clicked=self._to_setup)
        self._build()
        self._connect()
        services.actions.add(*page_actions(self))
        self._texts = QTimer(self)
        self._texts.setSingleShot(True)
        self._texts.setInterval(_TEXTS_MS)
        self._texts.timeout.connect(self._update_texts)
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._tick)
        if services.bridge.queue is not None:
            self._queue_changed(services.bridge.queue)
        self._show_nothing()

    def _build(self) -> None:
        theme = self.services.theme
        self._drawing = QStackedWidget()
        self._drawing.addWidget(self.charts)
        self._drawing.addWidget(self.table)
        self._drawing.setMinimumHeight(theme.px(160))
        self._left = QSplitter(Qt.Orientation.Vertical)
        self._left.setObjectName("charts")
        self._left.addWidget(self._drawing)
        self._left.addWidget(self.log)
        self._left.setStretchFactor(0, 1)
        self._left.setSizes([560, 158])
        self._live = QStackedWidget()
        self._live.addWidget(self.empty)
        self._live.addWidget(self._left)
        working = QWidget()
        column = QVBoxLayout(working)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.tools)
        column.addWidget(self._live, 1)
        self._side = QSplitter(Qt.Orientation.Vertical)
        self._side.setObjectName("side")
        self._side.addWidget(self.sensors)
        self._side.addWidget(self.queue)
        self._side.setStretchFactor(1, 1)
        self._side.setSizes([248, 460])
        self._across = QSplitter(Qt.Orientation.Horizontal)
        self._across.setObjectName("across")
        self._across.addWidget(working)
        self._across.addWidget(self._side)
        self._across.setStretchFactor(0, 1)
        self._across.setSizes([968, theme.width("monitor_side")])
        for splitter in (self._left, self._side, self._across):
            splitter.setHandleWidth(1)
            splitter.setChildrenCollapsible(False)
        self.body.addWidget(self.header)
        self.body.addWidget(self._across, 1)

    def _connect(self) -> None:
        bridge = self.services.bridge
        bridge.records_arrived.connect(self.trials.take)
        bridge.queue_changed.connect(self._queue_changed)
        self.trials.grew.connect(self._grew)
        self.trials.loaded.connect(self._loaded)
        self.trials.failed.connect(self._not_loaded)
        self.trials.described.connect(self._described)
        self.header.pause_requested.connect(self.toggle_pause)
        self.header.stop_requested.connect(self.stop)
        self.header.kill_requested.connect(self.kill)
        self.tools.table_toggled.connect(self._toggle_table)
        self.tools.side_toggled.connect(self.show_side)
        self.sensors.closed.connect(self._close_side)
        self.queue.shown_wanted.connect(self.show_trial)
        self.queue.order_wanted.connect(self._reorder)
        self.queue.removal_wanted.connect(self._remove)
        self.queue.retry_wanted.connect(self.edits.retry)
        self.queue.stop_wanted.connect(self.edits.stop)
        self.queue.meter_wanted.connect(self.meter.ask)
        self.meter.done.connect(self._metered)
        self.edits.changed.connect(self.services.actions.update)

    # --- which trial ------------------------------------------------------------------------------

    @property
    def shown(self) -> str:
        """Id of the trial in the charts, "" for none."""
        return self._shown

    @property
    def shown_data(self) -> TrialData | None:
        return self.trials.get(self._shown) if self._shown else None

    def show_trial(self, trial: str) -> None:
        """Put a trial into the charts: one that runs, one of the queue, or one of the store."""
        running = self._running_entry()
        self._pinned = "" if running is not None and running.trial == trial else trial
        self._put(trial)

    def show_running(self) -> None:
        """Back to what runs, from whatever was chosen."""
        self._pinned = ""
        running = self._running_entry()
        if running is not None:
            self._put(running.trial)

    def _put(self, trial: str) -> None:
        if trial == self._shown and self.trials.get(trial) is not None:
            return
        self._shown = trial
        self.queue.choose(trial)
        self.trials.describe(trial)
        if self.trials.get(trial) is None:
            entry = self._entry()
            self._show_data(None)
            title = entry.title if entry is not None else "this trial"
            self.empty.set(f"Reading {title}", "Its records come from the database.")
            self.empty.button.hide()
            self._live.setCurrentIndex(0)
            self.trials.load(trial)
        else:
            self._show_data(self.trials.get(trial))
        active = {e.trial for e in self._queue.in_state("running")} if self._queue is not None else set()
        self.trials.let_go(active | {trial})

    def _show_data(self, data: TrialData | None) -> None:
        threads = 0 if data is None or data.started is None else data.started.threads
        self.charts.set_rate(_SLOW_HZ if self._on_this_processor() else _FAST_HZ)
        self.charts.set_trial(data, threads)
        self.log.set_trial(data)
        self.sensors.set_trial(data)
        self.tools.table.setChecked(False)
        self._drawing.setCurrentIndex(0)
        if data is not None:
            self._live.setCurrentIndex(1)
        self._update_header()

    def _show_nothing(self) -> None:
        """The page with no trial in it: what would stand here, and the one action that fills it."""
        if self._shown or self._show_latest():
            return
        waiting = 0 if self._queue is None else len(self._queue.in_state("waiting"))
        if waiting and self._queue is not None and self._queue.paused:
            text = self._queue.pause_reason or f"{waiting} waiting. Press Go on in the strip below to start them."
            self.empty.set("The queue is paused", text)
        elif self._queue is not None and self._queue.entries:
            self.empty.set("No trial is shown", "Choose one in the queue, or any stored one in Compare.")
        else:
            self.empty.set("Nothing is running", "What you run in Setup is drawn here while it is measured.")
        self.empty.button.setVisible(not waiting)
        self._live.setCurrentIndex(0)
        self.header.hide()

    def _show_latest(self) -> bool:
        """While nothing runs or waits, the trial that ended last is what one comes to see. -> whether there is one"""
        workbench, state = self.services.workbench, self._queue
        if workbench is None or state is None or any(e.state != "ended" for e in state.entries):
            return False
        own = [e for e in state.entries if e.store == workbench.store_id and e.started_wall_ns]
        if own and self.isVisible():
            self._put(own[0].trial)
            return True
        if not own and self.isVisible() and not self._asked_store:
            self._asked_store = True
            self.services.bridge.run(ListTrials(state="ended", limit=1), self._found_latest)
        return False

    def _found_latest(self, rows: tuple[TrialRow, ...]) -> None:
        """The newest trial of the store, where the runner's queue has forgotten it."""
        if rows and not self._shown:
            self._put(rows[0].trial)

    # --- what arrives -----------------------------------------------------------------------------

    def _queue_changed(self, state: QueueState) -> None:
        self._queue = state
        for entry in state.entries:
            if entry.state == "running" or entry.trial == self._shown:
                self.trials.name(entry.trial, entry.title, entry.color)
        self.queue.set_queue(state)
        running = self._running_entry()
        if running is not None and not self._pinned and running.trial != self._shown:
            self._put(running.trial)
        elif self._shown:
            self._update_header()
        else:
            self._show_nothing()
        self._keep_time()

    def _grew(self, trial: str) -> None:
        if trial != self._shown:
            return
        if self.charts.data is not self.trials.get(trial):
            self._show_data(self.trials.get(trial))
        self.charts.notify()
        if self.isVisible() and not self._texts.isActive():
            self._texts.start()

    def _loaded(self, trial: str) -> None:
        if trial == self._shown:
            self.empty.button.show()
            self._show_data(self.trials.get(trial))

    def _not_loaded(self, trial: str, error: BaseException) -> None:
        entry = self._entry()
        if trial != self._shown:
            return
        self.empty.button.show()
        if entry is not None and entry.state != "ended":
            # it has only begun: its first records are on their way
            self.empty.set(f"{entry.title} is starting", "Its first samples appear here in a moment.")
            self.empty.button.hide()
            return
        self._shown = self._pinned = ""
        self.services.toasts.error(error)
        self._show_nothing()

    def _described(self, trial: str) -> None:
        if trial == self._shown:
            self._update_header()

    def _update_texts(self) -> None:
        self.log.update_lines()
        self.sensors.update_values()
        self._update_header()

    def _tick(self) -> None:
        """A second has passed: times left, and a chart that nobody told of its last records."""
        self._update_header()
        self.queue.tick()

    def _keep_time(self) -> None:
        """The clock runs only while something runs and someone looks."""
        wanted = self._running_entry() is not None and self.isVisible()
        if wanted != self._clock.isActive():
            self._clock.start() if wanted else self._clock.stop()

    def _update_header(self) -> None:
        data, entry = self.shown_data, self._entry()
        self.header.setVisible(bool(self._shown) and (data is not None or entry is not None))
        if not self._shown:
            return
        now_wall = time.time()
        left = None
        now = 0.0 if data is None else latest_time(data)
        if entry is not None and entry.state == "running" and self._queue is not None:
            left = entry_seconds_left(self._queue, entry, now_wall)
            now = max(now, now_wall - entry.started_wall_ns / 1e9 if entry.started_wall_ns else 0.0)
        view = header_view(data, entry, left, now, self._where(entry))
        self.header.show_view(view, self._queue is not None and self._queue.paused)

    def _where(self, entry: QueueEntry | None) -> str:
        """ "GPU 0 · 128 in, 64 out, batch 1"."""
        order = self.trials.order_of(self._shown)
        device = order.device if order is not None else entry.device if entry is not None else ""
        probe = self.services.bridge.probe
        title = next((d.title for d in probe.devices if d.id == device), "") if probe is not None else ""
        return " · ".join(p for p in (title or device, workload_text(order)) if p)

    def _entry(self) -> QueueEntry | None:
        if self._queue is None:
            return None
        return next((e for e in self._queue.entries if e.trial == self._shown), None)

    def _running_entry(self) -> QueueEntry | None:
        running = () if self._queue is None else self._queue.in_state("running")
        return next((e for e in running if e.trial == self._shown), running[0] if running else None)

    def _on_this_processor(self) -> bool:
        """Whether the trial in the charts uses the processor that would draw them."""
        entry = self._entry()
        return entry is not None and entry.state == "running" and entry.device == "cpu"

    # --- what the user does -----------------------------------------------------------------------

    def runs(self) -> bool:
        entry = self._entry()
        return entry is not None and entry.state == "running"

    def stop(self) -> None:
        """End the trial in the charts, keeping what was measured."""
        if self.runs():
            self.edits.stop(self._shown)

    def has_ended(self) -> bool:
        """Whether the trial in the charts is a stored one that has ended."""
        data = self.shown_data
        return data is not None and data.ended is not None

    def import_meter(self) -> None:
        """A wall meter's readings for the trial in the charts."""
        if self.has_ended():
            self.meter.ask(self._shown)

    def _metered(self, trial: str) -> None:
        """Its readings are among the records now."""
        if trial == self._shown:
            self.trials.load(trial)

    def kill(self) -> None:
        if self.runs():
            self.edits.stop(self._shown, kill=True)

    def toggle_pause(self) -> None:
        """After this trial: stop starting others, or go on."""
        if self._queue is not None:
            self.edits.pause(not self._queue.paused)

    def _reorder(self, order: tuple[str, ...]) -> None:
        self.edits.reorder(self.queue.model.waiting, order)

    def _remove(self, trials: tuple[str, ...]) -> None:
        self.edits.remove(trials, self.queue.model.waiting)

    def retry_failed(self) -> None:
        self.queue.retry.click()

    def follows(self) -> bool:
        return self.charts.following

    def toggle_follow(self) -> None:
        self.charts.set_follow(not self.charts.following)

    def _toggle_table(self, shown: bool) -> None:
        if shown:
            start, end = self.charts.visible_range
            self.table.take(self.charts.plots, start, end, self.charts.columns)
        self._drawing.setCurrentIndex(1 if shown else 0)

    def _to_setup(self) -> None:
        self.services.navigate("setup", None)

    # --- page -------------------------------------------------------------------------------------

    def activated(self) -> None:
        if self._shown:
            self._update_texts()
        else:
            self._show_nothing()
        self._keep_time()

    def deactivated(self) -> None:
        self._texts.stop()
        self._clock.stop()

    def refresh(self, change: StoreChanged) -> None:
        """A stored trial that is shown and was deleted leaves the charts when another is chosen; nothing to do."""

    def show_target(self, target: object) -> None:
        if isinstance(target, ShowTrial):
            self.show_trial(target.trial)

    def undo(self) -> bool:
        return self.edits.undo()

    def undo_text(self) -> str:
        return self.edits.undo_text

    def zoom(self, step: int) -> None:
        self.charts.zoom(step)

    def shutdown(self) -> None:
        self.deactivated()
        self.charts.set_trial(None)

    # --- the right column -------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        narrow = self.width() < NARROW - self.services.theme.px(_RAIL)
        if narrow != self._narrow:
            self._narrow, self._side_wanted = narrow, None
        self._arrange_side()

    def side_shown(self) -> bool:
        return not self._narrow if self._side_wanted is None else self._side_wanted

    def _arrange_side(self) -> None:
        shown = self.side_shown()
        self._side.setVisible(shown)
        self.tools.side.setChecked(shown)
        self.tools.side.setVisible(self._narrow or not shown)

    def show_side(self, shown: bool) -> None:
        """Sensors and queue beside the charts, or not."""
        self._side_wanted = shown
        self._arrange_side()

    def _close_side(self) -> None:
        self.show_side(False)

    def toggle_side(self) -> None:
        self.show_side(not self.side_shown())

    def save_layout(self, settings: QSettings) -> None:
        super().save_layout(settings)
        settings.setValue("monitor/side", "" if self._side_wanted is None else str(self._side_wanted))

    def restore_layout(self, settings: QSettings) -> None:
        super().restore_layout(settings)
        kept = str(settings.value("monitor/side", ""))
        self._side_wanted = None if kept == "" else kept == "True"
        self._arrange_side()

    def reset_layout(self) -> None:
        super().reset_layout()
        self._side_wanted = None
        self._arrange_side()


def workload_text(order: TrialOrder | None) -> str:
    """ "128 in, 64 out, batch 1"."""
    if order is None:
        return ""
    work = order.workload
    return f"{work.prompt_tokens} in, {work.new_tokens} out, batch {work.batch_size}"
