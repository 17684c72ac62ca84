"""The Setup page: models, techniques, workload and machine, the plan they make, and the button that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from widgets.shell.page import Page
    from widgets.shell.services import Services


def make_page(services: Services) -> Page:
    """The page; imported when it is first shown."""
    from widgets.setup.page import SetupPage
    from widgets.setup.page_actions import page_actions

    page = SetupPage(services)
    services.actions.add(*page_actions(page))
    return page
