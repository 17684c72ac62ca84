"""The Compare page: what was learned. Main thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from widgets.shell.page import Page
    from widgets.shell.services import Services


def make_page(services: Services) -> Page:
    """The page, for `widgets.shell.page_stack`; everything it needs is imported here, late."""
    from widgets.compare.page import ComparePage
    from widgets.compare.page_actions import page_actions

    page = ComparePage(services)
    services.actions.add(*page_actions(page))
    return page
