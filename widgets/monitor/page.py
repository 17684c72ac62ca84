"""The Monitor page: header, live charts and log at the left, sensors and queue at the right. Main thread.

Records come by the bridge's signal, go into `TrialData`, and mark the page as stale; charts repaint at their own rate,
the rest twice a second. While the page is hidden records are taken and nothing is drawn.
"""

from __future__ import annotations

import time

from PySide6.QtCore import QSettings, Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from engines.protocol.messages import QueueEntry, QueueState
from widgets.background.wall_meter import WallMeterImport
from widgets.charts.stack import ChartStack
from widgets.charts.table_twin import TableTwin
from widgets.monitor.current import CurrentTrial
from widgets.monitor.exporting import Exporting
from widgets.monitor.header import TrialHeader
from widgets.monitor.header_now import header_now, where_it_runs
from widgets.monitor.log_panel import LogPanel
from widgets.monitor.no_trial import no_trial
from widgets.monitor.sensor_panel import SensorPanel
from widgets.monitor.side_column import SideColumn
from widgets.monitor.toolbar import ChartToolbar
from widgets.parts.components import EmptyState
from widgets.parts.layout import flush_column, splitter, stacked
from widgets.queue.edits import QueueEdits
from widgets.queue.lanes import lanes
from widgets.queue.panel import QueuePanel
from widgets.shell.page import Page
from widgets.shell.services import Services
from widgets.shell.targets import ShowTrial
from workbench.machines.machine import THIS
from workbench.running.events import StoreChanged

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
        self.current = CurrentTrial(services.bridge, self.isVisible, self)
        self.edits = QueueEdits(services, self.undo_stack, self)
        self.meter = WallMeterImport(services, self)
        self.header = TrialHeader(theme)
        self.charts = ChartStack(theme)
        self.exporting = Exporting(services, self, self.charts)
        self.tools = ChartToolbar(theme, self.charts)
        self.table = TableTwin(theme)
        self.log = LogPanel(theme, services.toasts, services.places.cache / "logs")
        self.sensors = SensorPanel(theme)
        self.queue = QueuePanel(theme)
        self.side = SideColumn(theme, self.sensors, self.queue)
        self.empty = EmptyState(theme, "", icon_name="pulse", action="Go to Setup", clicked=self._to_setup)
        self._build()
        self._texts = QTimer(self, interval=_TEXTS_MS, singleShot=True)
        self._clock = QTimer(self, interval=1000)
        self._connect_trial()
        self._connect_parts()
        if services.bridge.queue is not None:
            self._queue_changed(services.bridge.queue)
        self._show_nothing()

    def _build(self) -> None:
        theme = self.services.theme
        self._drawing = stacked(self.charts, self.table)
        self._drawing.setMinimumHeight(theme.px(160))
        self._left = splitter(Qt.Orientation.Vertical, "charts", self._drawing, self.log)
        self._left.setStretchFactor(0, 1)
        self._left.setSizes([560, 158])
        self._live = stacked(self.empty, self._left)
        working = QWidget()
        column = flush_column(working)
        column.addWidget(self.tools)
        column.addWidget(self._live, 1)
        self._across = splitter(Qt.Orientation.Horizontal, "across", working, self.side)
        self._across.setStretchFactor(0, 1)
        self._across.setSizes([968, theme.width("monitor_side")])
        self.body.addWidget(self.header)
        self.body.addWidget(self._across, 1)

    def _connect_trial(self) -> None:
        current = self.current
        self.services.bridge.queue_changed.connect(self._queue_changed)
        self.services.bridge.link_changed.connect(self._show_lanes)
        self.queue.pause_wanted.connect(self._pause)
        current.chosen.connect(self.queue.choose)
        current.changed.connect(self._show_trial)
        current.grew.connect(self._grew)
        current.described.connect(self._update_header)
        current.reading.connect(self._show_reading)
        current.starting.connect(self._show_starting)
        current.unreadable.connect(self._show_unreadable)
        current.none.connect(self._show_nothing)
        self.meter.done.connect(current.read_again)
        self._texts.timeout.connect(self._update_texts)
        self._clock.timeout.connect(self._tick)

    def _connect_parts(self) -> None:
        self.header.pause_requested.connect(self.toggle_pause)
        self.header.stop_requested.connect(self.stop)
        self.header.kill_requested.connect(self.kill)
        self.tools.table_toggled.connect(self._toggle_table)
        self.tools.export_wanted.connect(self.exporting.charts)
        self.tools.side_toggled.connect(self.side.set_shown)
        self.side.arranged.connect(self.tools.set_side)
        self.sensors.closed.connect(self.side.close_)
        self.queue.shown_wanted.connect(self.current.show)
        self.queue.order_wanted.connect(self._reorder)
        self.queue.removal_wanted.connect(self._remove)
        self.queue.retry_wanted.connect(self.edits.retry)
        self.queue.resume_wanted.connect(self.edits.resume)
        self.queue.can_resume = self.edits.can_resume
        self.queue.stop_wanted.connect(self.edits.stop)
        self.queue.meter_wanted.connect(self.meter.ask)

    # --- what is shown ----------------------------------------------------------------------------

    def _show_trial(self) -> None:
        data = self.current.data
        self.charts.set_rate(_SLOW_HZ if self.current.on_this_processor() else _FAST_HZ)
        self.charts.set_trial(data)
        self.log.set_trial(data)
        self.sensors.set_trial(data)
        self.tools.table.setChecked(False)
        self._drawing.setCurrentIndex(0)
        if data is not None:
            self._live.setCurrentIndex(1)
        self.services.actions.update()
        self._update_header()

    def _say(self, title: str, text: str, *, action: bool = False) -> None:
        self.empty.set(title, text)
        self.empty.button.setVisible(action)
        self._live.setCurrentIndex(0)

    def _show_reading(self, title: str) -> None:
        self._say(f"Reading {title}", "Its records come from the database.")

    def _show_starting(self, title: str) -> None:
        self._say(f"{title} is starting", "Its first samples appear here in a moment.")

    def _show_unreadable(self, error: BaseException) -> None:
        self.services.toasts.error(error)
        self._show_nothing()

    def _show_nothing(self) -> None:
        """The page with no trial in it: what it will show, and the one action that fills it."""
        if self.current.id or self.current.seek_latest():
            return
        said = no_trial(self.current.queue)
        self._say(said.title, said.text, action=said.action)
        self.header.hide()

    # --- what arrives -----------------------------------------------------------------------------

    def _queue_changed(self, state: QueueState) -> None:
        self.queue.set_queue(state)
        self._show_lanes()
        self.current.take_queue(state)
        self._keep_time()

    def _show_lanes(self) -> None:
        bridge = self.services.bridge
        self.queue.lanes.show_lanes(lanes(bridge.queues, bridge.links, bridge.title_of, time.time()))

    def _grew(self) -> None:
        if self.charts.data is not self.current.data:
            self._show_trial()
        self.charts.notify()
        if self.isVisible() and not self._texts.isActive():
            self._texts.start()

    def _update_texts(self) -> None:
        self.log.update_lines()
        self.sensors.update_values()
        self._update_header()

    def _tick(self) -> None:
        """A second has passed: times left, and the last records of charts that have not been redrawn."""
        self._update_header()
        self.queue.tick()

    def _keep_time(self) -> None:
        """The clock runs only while something runs and someone looks."""
        wanted = self.current.running_entry is not None and self.isVisible()
        if wanted != self._clock.isActive():
            self._clock.start() if wanted else self._clock.stop()

    def _update_header(self) -> None:
        current = self.current
        data, entry, queue = current.data, current.entry, current.queue
        self.header.setVisible(bool(current.id) and (data is not None or entry is not None))
        if current.id:
            order, bridge = current.trials.order_of(current.id), self.services.bridge
            machine = order.machine if order is not None else entry.machine if entry is not None else THIS
            name = "" if machine == THIS else bridge.title_of(machine)
            where = where_it_runs(data, order, entry, bridge.probes.get(machine), name)
            link = bridge.links.get(machine)
            lost = link is not None and link.state == "lost"
            view = header_now(data, entry, queue, where, time.time(), lost=lost)
            self.header.show_view(view, self._paused(entry))

    # --- what the user does -----------------------------------------------------------------------

    def stop(self) -> None:
        """End the trial in the charts, keeping what was measured."""
        if self.current.runs():
            self.edits.stop(self.current.id)

    def kill(self) -> None:
        if self.current.runs():
            self.edits.stop(self.current.id, kill=True)

    def import_meter(self) -> None:
        """A wall meter's readings for the trial in the charts."""
        if self.current.has_ended():
            self.meter.ask(self.current.id)

    def toggle_pause(self) -> None:
        """After this trial: stop starting others, or continue."""
        if self.current.queue is not None:
            entry = self.current.entry
            self.edits.pause(not self._paused(entry), entry.machine if entry is not None else THIS)

    def _pause(self, machine: str, paused: bool) -> None:
        self.edits.pause(paused, machine)

    def _paused(self, entry: QueueEntry | None) -> bool:
        """Whether the queue of the machine that the trial is on is paused."""
        known = self.services.bridge.queues.get(entry.machine) if entry is not None else None
        queue = known or self.current.queue
        return queue is not None and queue.paused

    def _reorder(self, order: tuple[str, ...]) -> None:
        self.edits.reorder(self.queue.model.waiting, order)

    def _remove(self, trials: tuple[str, ...]) -> None:
        self.edits.remove(trials, self.queue.model.waiting)

    def toggle_follow(self) -> None:
        self.charts.set_follow(not self.charts.following)

    def _toggle_table(self, shown: bool) -> None:
        if shown:
            start, end = self.charts.visible_range
            self.table.take(self.charts.plots, self.charts.x_axis, start, end, self.charts.columns)
        self._drawing.setCurrentIndex(1 if shown else 0)

    def _to_setup(self) -> None:
        self.services.navigate("setup", None)

    # --- hooks of the window ----------------------------------------------------------------------

    def activated(self) -> None:
        if self.current.id:
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
            self.current.show(target.trial)

    def zoom(self, step: int) -> None:
        self.charts.zoom(step)

    def shutdown(self) -> None:
        self.deactivated()
        self.charts.set_trial(None)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.side.set_room(self.width())

    def save_layout(self, settings: QSettings) -> None:
        super().save_layout(settings)
        self.side.save(settings)

    def restore_layout(self, settings: QSettings) -> None:
        super().restore_layout(settings)
        self.side.restore(settings)

    def reset_layout(self) -> None:
        super().reset_layout()
        self.side.reset()
