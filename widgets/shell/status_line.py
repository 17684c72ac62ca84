"""The status bar's words: the store, who owns it, the runner. Main thread."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QStatusBar, QWidget

from widgets.parts.components import ElidedLabel, label
from widgets.theme.theme import Theme
from workbench.running.events import RunnerLink
from workbench.store.operations import Counts

LINKS = {"connected": "Runner: connected", "connecting": "Runner: connecting", "lost": "Runner: no answer"}


class StatusLine(QStatusBar):
    """24 px: what is stored, the link to the runner, the database's name."""

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
        trials = "empty" if not counts.trials else f"{counts.trials:,} trial{'' if counts.trials == 1 else 's'}"
        shared = "" if is_owner else ", opened by another window or command; this one works through it"
        self.store.setText(f"Store: {trials}{shared}")

    def set_uncounted(self, error: BaseException) -> None:
        self.store.setText(f"Store: {error}")

    def set_closed(self) -> None:
        self.store.setText("Store: not open")

    def set_link(self, link: RunnerLink) -> None:
        text = LINKS.get(link.state, link.state)
        self.link.setText(f"{text}. {link.message}" if link.message and link.state != "connected" else text)

    def set_work(self, text: str) -> None:
        """What long work in the background is at; "" for none."""
        self.work.setText(text)
        self.work.setVisible(bool(text))

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.height("status_bar"))
        self.setContentsMargins(self._theme.px(8), 0, self._theme.px(8), 0)
