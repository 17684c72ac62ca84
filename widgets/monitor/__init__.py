"""The Monitor page: what runs now, what waits, and any trial of the past in the same charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from widgets.shell.page import Page
    from widgets.shell.services import Services


def make_page(services: Services) -> Page:
    """The page; called by the window when it is first shown."""
    from widgets.monitor.page import MonitorPage
    from widgets.monitor.page_actions import page_actions

    page = MonitorPage(services)
    services.actions.add(*page_actions(page))
    return page
