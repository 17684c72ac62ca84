"""What this is and what it runs on, to copy into a report. A child of the window; Esc closes it. Main thread."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import PySide6
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from widgets.messages.overlay import Overlay
from widgets.parts.components import PanelHeader, label, push_button, tool_button
from widgets.theme.theme import Theme

LIBRARIES = ("duckdb", "numpy", "matplotlib", "pyqtgraph", "torch", "transformers")


def versions() -> str:
    """One line a library, read from what is installed without importing it."""
    lines = [
        f"LLM Workbench {_version('llm-workbench')}",
        f"Python {platform.python_version()}, {platform.system()} {platform.release()} {platform.machine()}",
        f"PySide6 {PySide6.__version__}",
    ]
    return "\n".join(lines + [f"{name} {_version(name)}" for name in LIBRARIES])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


class AboutCard(Overlay):
    """Versions and licence."""

    def __init__(self, theme: Theme, host: QWidget) -> None:
        super().__init__(theme, host, "About LLM Workbench")
        column = self.inner_column()
        header = PanelHeader(theme, "About")
        header.add_tool(tool_button(theme, "close", tip="Close", clicked=self.leave, compact=True))
        column.addWidget(header)
        body = QVBoxLayout()
        pad = theme.px(16)
        body.setContentsMargins(pad, pad, pad, pad)
        body.setSpacing(theme.px(12))
        body.addWidget(label("Which model and which technique, on this hardware, and how do I know?", wrap=True))
        self.text = label("", role="mono", tone="secondary", selectable=True)
        body.addWidget(self.text)
        row = QHBoxLayout()
        row.addWidget(push_button("Copy", self._copy))
        row.addWidget(label("Apache-2.0", tone="muted"))
        row.addStretch(1)
        body.addLayout(row)
        column.addLayout(body)

    def open(self) -> None:
        self.text.setText(versions())
        self.place()
        self.appear()

    def place(self) -> None:
        self.setFixedWidth(self.theme.px(440))
        self.adjustSize()
        self.centre()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text.text())
