"""The Machines page: what this computer has, what its sensors can measure, which engines are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from widgets.shell.page import Page
    from widgets.shell.services import Services


def make_page(services: Services) -> Page:
    """The page; imported when it is first shown."""
    from widgets.machines.page import MachinesPage

    return MachinesPage(services)
