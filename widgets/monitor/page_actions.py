"""What the Monitor page's entries in the registry of actions do, and when they can. Main thread."""

from __future__ import annotations

from widgets.monitor.entries import ENTRIES
from widgets.monitor.page import MonitorPage
from widgets.queue.rows import failed_trials
from widgets.shell.actions import Action
from widgets.shell.entries import Does, fulfilled


def page_actions(page: MonitorPage) -> tuple[Action, ...]:
    """The page's actions, one of each of `ENTRIES`; their handlers are methods of its parts."""
    current, side = page.current, page.side
    not_running = "no trial is running in the charts"
    does = {
        "stop": Does(page.stop, current.runs, not_running),
        "kill": Does(page.kill, current.runs, not_running),
        "retry-failed": Does(page.queue.retry.click, lambda: _has_failed(page), "no trial of the queue has failed"),
        "wall-meter": Does(page.import_meter, current.has_ended, "no trial that has ended is in the charts"),
        "running": Does(current.show_running),
        "follow": Does(page.toggle_follow, on=lambda: page.charts.following),
        "table": Does(page.tools.table.click),
        "export": Does(page.tools.open_export, lambda: current.data is not None, "no trial is in the charts"),
        "side": Does(side.toggle, on=side.shown),
    }
    return fulfilled(ENTRIES, {f"monitor.{id}": made for id, made in does.items()})


def _has_failed(page: MonitorPage) -> bool:
    state = page.services.bridge.queue
    return state is not None and bool(failed_trials(state))
