"""Going from page to page: rail, page area and what it shows before the database is open. Main thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject

from widgets.opening.database import Database
from widgets.opening.state import OpeningPage
from widgets.shell.actions import Actions
from widgets.shell.page_stack import PageStack
from widgets.shell.rail import Rail
from widgets.shell.targets import NewExperiment


class Navigation(QObject):
    """`wanted` is the page of the rail that is shown, or will be once the database is open."""

    def __init__(
        self, rail: Rail, stack: PageStack, opening: OpeningPage, database: Database, actions: Actions, wanted: str
    ) -> None:
        super().__init__(stack)
        self._rail, self._stack, self._opening = rail, stack, opening
        self._database, self._actions = database, actions
        self.wanted = wanted
        self._set_up_anyway = False
        """Whether something is to be set up although nothing was measured yet."""
        rail.choose(wanted)
        rail.asked.connect(self.go)
        opening.again.connect(database.open)
        opening.other.connect(database.ask)
        card, repairs = opening.repair, database.repairs
        card.repair_wanted.connect(database.repair)
        card.stop_wanted.connect(repairs.stop)
        card.read_wanted.connect(database.open_read_only)
        repairs.progressed.connect(card.show_progress)
        repairs.repaired.connect(card.show_result)
        repairs.failed.connect(card.show_failure)
        database.repairing.connect(self._show_repairing)
        database.opening.connect(self._show_waiting)
        database.failed.connect(self._show_error)

    def go(self, name: str, target: object = None) -> None:
        """Show a page and hand it a target. Before the database is open the page waits, Settings does not."""
        if isinstance(target, NewExperiment) or (target is not None and name == "setup"):
            self._set_up_anyway = True
        self.wanted = name
        self._rail.choose(name)
        if not self._database.is_ready and name != "settings":
            if target is not None:
                self._database.when_ready(partial(self.go, name, target))
            self._stack.show_other(self._opening)
            self._actions.set_page("")
            return
        page = self._stack.show_page(self._page_behind(name))
        self._actions.set_page(name)
        if target is not None:
            page.show_target(target)

    def go_where_wanted(self) -> None:
        """The database is open now."""
        self.go(self.wanted or "setup")

    def go_to_queue(self) -> None:
        self.go("monitor")

    def _page_behind(self, name: str) -> str:
        """Setup is the first start's page as long as nothing was measured and nothing is to be set up."""
        return "first_start" if name == "setup" and self._database.is_empty and not self._set_up_anyway else name

    def _show_waiting(self, _path: object) -> None:
        self._opening.show_waiting(self._database.path)
        self._stack.show_other(self._opening)

    def _show_repairing(self, path: Path) -> None:
        self._opening.show_repairing(path)
        self._stack.show_other(self._opening)

    def _show_error(self, error: BaseException) -> None:
        self._opening.show_error(error, self._database.path, readable=not self._database.read_only)
        self._stack.show_other(self._opening)
