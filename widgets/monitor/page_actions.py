"""What one can do on the Monitor page, for menus, shortcuts and the palette. Main thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from widgets.actions import Action

if TYPE_CHECKING:
    from widgets.monitor.page import MonitorPage


def page_actions(page: MonitorPage) -> tuple[Action, ...]:
    """The page's actions; their handlers are methods of its parts."""
    current, side = page.current, page.side
    run = partial(Action, menu="Run", group="trial")
    running = partial(run, enabled=current.runs, reason="no trial is running in the charts")
    view = partial(Action, menu="View", group="monitor", page="monitor")
    return (
        running(
            id="monitor.stop",
            text="Stop and keep",
            handler=page.stop,
            shortcut="Ctrl+.",
            icon="stop",
            words="end trial",
        ),
        running(id="monitor.kill", text="Kill the trial", handler=page.kill, icon="kill"),
        run(id="monitor.retry-failed", text="Retry failed trials", handler=page.queue.retry.click, icon="refresh"),
        run(
            id="monitor.wall-meter",
            text="Import wall meter readings…",
            handler=page.import_meter,
            page="monitor",
            enabled=current.has_ended,
            reason="no trial that has ended is in the charts",
            words="csv power plug energy",
        ),
        view(
            id="monitor.running",
            text="Show what runs",
            handler=current.show_running,
            shortcut="Ctrl+R",
            icon="pulse",
        ),
        view(
            id="monitor.follow",
            text="Follow the newest samples",
            handler=page.toggle_follow,
            shortcut="Ctrl+L",
            checked=lambda: page.charts.following,
        ),
        view(
            id="monitor.table",
            text="Charts as table",
            handler=page.tools.table.click,
            shortcut="Ctrl+T",
            icon="table",
        ),
        view(
            id="monitor.side",
            text="Sensors and queue",
            handler=side.toggle,
            shortcut="Ctrl+B",
            icon="panel-right",
            checked=side.shown,
        ),
    )
