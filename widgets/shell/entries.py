"""What a page offers in menus and palette, as data: there from the start, before the page and its libraries are made.

Each page has its `ENTRIES`; the page says what each does. Until it is made the window announces them.
Main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from widgets.shell.actions import Action


class Entry(NamedTuple):
    """How an action is named, where it appears and how it is found."""

    id: str
    """ "compare.filter": the page, then the thing."""
    text: str
    menu: str
    group: str = ""
    shortcut: str = ""
    icon: str = ""
    words: str = ""
    anywhere: bool = False
    """Whether it can run while another page is shown."""

    @property
    def page(self) -> str:
        return self.id.partition(".")[0]


class Does(NamedTuple):
    """What an entry does on its page; `can` says whether it can now, `reason` why not, `on` whether it is checked."""

    handler: Callable[[], None]
    can: Callable[[], bool] | None = None
    reason: str = ""
    on: Callable[[], bool] | None = None


def fulfilled(entries: Iterable[Entry], does: Mapping[str, Does]) -> tuple[Action, ...]:
    """The entries with what they do. KeyError for one that does nothing."""
    return tuple(_action(entry, does[entry.id]) for entry in entries)


def announced(entries: Iterable[Entry]) -> tuple[Action, ...]:
    """The entries before their page was made: none can run, and each says why."""
    return tuple(_action(e, Does(_nothing, _never, f"show the {e.page.capitalize()} page first")) for e in entries)


def _action(entry: Entry, does: Does) -> Action:
    return Action(
        id=entry.id,
        text=entry.text,
        handler=does.handler,
        menu=entry.menu,
        group=entry.group,
        page="" if entry.anywhere else entry.page,
        enabled=does.can,
        reason=does.reason,
        checked=does.on,
        shortcut=entry.shortcut,
        icon=entry.icon,
        words=entry.words,
    )


def _nothing() -> None:
    """There is no page yet."""


def _never() -> bool:
    return False
