"""What one can do on the Monitor page, for menus, shortcuts and the palette. Main thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from widgets.actions import Action

if TYPE_CHECKING:
    from widgets.monitor.page import MonitorPage


def page_actions(page: MonitorPage) -> tuple[Action, ...]:
    """The page's actions; their handlers are its methods."""
    running = "no trial is running in the charts"
    return (
        Action(
            id="monitor.stop",
            text="Stop and keep",
            handler=page.stop,
            shortcut="Ctrl+.",
            icon="stop",
            menu="Run",
            group="trial",
            enabled=page.runs,
            reason=running,
            words="end trial",
        ),
        Action(
            id="monitor.kill",
            text="Kill the trial",
            handler=page.kill,
            icon="kill",
            menu="Run",
            group="trial",
            enabled=page.runs,
            reason=running,
        ),
        Action(
            id="monitor.retry-failed",
            text="Retry failed trials",
            handler=page.retry_failed,
            icon="refresh",
            menu="Run",
            group="trial",
        ),
        Action(
            id="monitor.wall-meter",
            text="Import wall meter readings…",
            handler=page.import_meter,
            menu="Run",
            group="trial",
            page="monitor",
            enabled=page.has_ended,
            reason="no trial that has ended is in the charts",
            words="csv power plug energy",
        ),
        Action(
            id="monitor.running",
            text="Show what runs",
            handler=page.show_running,
            shortcut="Ctrl+R",
            icon="pulse",
            menu="View",
            group="monitor",
            page="monitor",
        ),
        Action(
            id="monitor.follow",
            text="Follow the newest samples",
            handler=page.toggle_follow,
            shortcut="Ctrl+L",
            menu="View",
            group="monitor",
            page="monitor",
            checked=page.follows,
        ),
        Action(
            id="monitor.table",
            text="Charts as table",
            handler=page.tools.table.click,
            shortcut="Ctrl+T",
            icon="table",
            menu="View",
            group="monitor",
            page="monitor",
        ),
        Action(
            id="monitor.side",
            text="Sensors and queue",
            handler=page.toggle_side,
            shortcut="Ctrl+B",
            icon="panel-right",
            menu="View",
            group="monitor",
            page="monitor",
            checked=page.side_shown,
        ),
    )
