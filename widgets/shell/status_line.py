"""The status bar's words: the store, who owns it, the runners. Main thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from PySide6.QtWidgets import QStatusBar, QWidget

from widgets.parts.components import ElidedLabel, label
from widgets.parts.link_state import LOST, NO_ANSWER
from widgets.theme.theme import Theme
from workbench.machines.machine import THIS
from workbench.running.events import RunnerLink
from workbench.store.operations import Counts
from workbench.units import counted

_WORST_FIRST = ("lost", "connecting", "connected")


def link_words(links: Mapping[str, RunnerLink], title_of: Callable[[str], str]) -> str:
    """Of one machine its state; of several what is wrong, the worst first, and how many are connected."""
    if not links:
        return ""
    if len(links) == 1:
        (link,) = links.values()
        return _one("Runner" if link.machine == THIS else title_of(link.machine), link)
    others = sorted(
        (link for link in links.values() if link.state != "connected"), key=lambda link: _WORST_FIRST.index(link.state)
    )
    if not others:
        return f"{len(links)} machines connected"
    counted = f"{len(links) - len(others)} of {len(links)} machines connected"
    return " · ".join((*(_one(title_of(link.machine), link) for link in others), counted))


def _one(name: str, link: RunnerLink) -> str:
    state = link.state if link.state != "lost" else LOST.get(link.code, NO_ANSWER)[0]
    text = f"{name}: {state}"
    return f"{text}. {link.message}" if link.message and link.state != "connected" else text


class StatusLine(QStatusBar):
    """24 px: what is stored, the links to runners, the database's name."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setSizeGripEnabled(False)
        self.store = label("Store: opening", role="caption", tone="muted")
        self.link = ElidedLabel(role="caption", tone="muted")
        self.work = label(role="caption", tone="secondary")
        self.work.hide()
        self.database = label(role="caption", tone="muted")
        self.addWidget(self.store)
        self.addWidget(self.link, 1)
        self.addPermanentWidget(self.work)
        self.addPermanentWidget(self.database)
        theme.follow(self._restyle)

    def set_database(self, path: Path) -> None:
        self.database.setText(path.name)
        self.database.setToolTip(str(path))

    def set_counts(self, counts: Counts, *, is_owner: bool) -> None:
        trials = "empty" if not counts.trials else f"{counted(counts.trials, 'trials')}"
        shared = "" if is_owner else ", opened by another window or command; this one works through it"
        self.store.setText(f"Store: {trials}{shared}")

    def set_uncounted(self, error: BaseException) -> None:
        self.store.setText(f"Store: {error}")

    def set_closed(self) -> None:
        self.store.setText("Store: not open")

    def set_links(self, links: Mapping[str, RunnerLink], title_of: Callable[[str], str]) -> None:
        self.link.setText(link_words(links, title_of))

    def set_work(self, text: str) -> None:
        """What long work in the background is at; "" for none."""
        self.work.setText(text)
        self.work.setVisible(bool(text))

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.height("status_bar"))
        self.setContentsMargins(self._theme.px(8), 0, self._theme.px(8), 0)
