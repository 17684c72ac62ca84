"""The tools of the page toolbar: kind of work, name, presets, recent, open, save; origin and Start over at the right.
Main thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QSizePolicy, QToolButton

from engines.protocol.settings import settings_of
from widgets.parts.components import ElidedLabel, SegmentedControl, ToolButton, UnitLineEdit, tool_button
from widgets.setup.fields.values import problem_of
from widgets.shell.page import PageToolbar
from widgets.theme.theme import Theme
from workbench.experiment.experiment import KINDS, Experiment
from workbench.experiment.presets import Preset

KIND_TITLES = {kind: {"training": "Fine-tuning"}.get(kind, kind.capitalize()) for kind in KINDS}
"""Kinds of work, in the order of the segments."""
_NAME = next(s for s in settings_of(Experiment) if s.name == "name")


class SetupTools(QObject):
    """Puts its widgets into the toolbar and says what is wanted."""

    kind_changed = Signal(str)
    name_changed = Signal(str)
    name_broke = Signal(str)
    preset_wanted = Signal(object)
    recent_wanted = Signal(object)
    open_wanted = Signal()
    save_wanted = Signal()
    start_over_wanted = Signal()
    menu_opened = Signal()
    """Recent is about to be shown: its entries are asked for anew."""

    def __init__(self, theme: Theme, toolbar: PageToolbar) -> None:
        super().__init__(toolbar)
        self._theme = theme
        self.kind = SegmentedControl(theme, list(KIND_TITLES.values()), "Kind of work")
        self.kind.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.kind.chosen.connect(self._kind_chosen)
        self.name = UnitLineEdit(theme)
        self.name.setAccessibleName("Name of the experiment")
        self.name.textEdited.connect(self._name_edited)
        self.presets = self._menu_button("Presets", "Experiments that come with the application")
        self.recent = self._menu_button("Recent", "Experiment files opened or saved lately")
        self.recent.menu().aboutToShow.connect(self.menu_opened)
        self.open = tool_button(theme, "folder", "Open", "Open an experiment file (Ctrl+O)", self.open_wanted.emit)
        self.save = tool_button(theme, "save", "Save", "Save the experiment file (Ctrl+S)", self.save_wanted.emit)
        self.origin = ElidedLabel("", role="dense", tone="muted")
        self.start_over = tool_button(
            theme, "refresh", "Start over", "A new experiment; Ctrl+Z brings this one back", self.start_over_wanted.emit
        )
        toolbar.add(self.kind)
        toolbar.add_separator()
        toolbar.add(self.name, 1)
        toolbar.add(self.presets)
        toolbar.add(self.recent)
        toolbar.add_separator()
        toolbar.add(self.open)
        toolbar.add(self.save)
        toolbar.add_right(self.origin)
        toolbar.add_right(self.start_over)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.name.setMinimumWidth(self._theme.px(216))
        self.name.setMaximumWidth(self._theme.px(440))

    def _menu_button(self, title: str, tip: str) -> ToolButton:
        button = ToolButton(self._theme, text=title, tip=tip, kind="box")
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        menu.setToolTipsVisible(True)
        button.setMenu(menu)
        return button

    # --- what is shown ----------------------------------------------------------------------------

    def show_draft(self, kind: str, name: str, *, edited: bool, origin: str, force: bool = False) -> None:
        """`force`: also over a name that is being mended."""
        self.kind.blockSignals(True)
        self.kind.choose(list(KIND_TITLES).index(kind))
        self.kind.blockSignals(False)
        broken = self.name.property("invalid") == "true"
        if (force or not broken) and self.name.text() != name:
            self.name.setText(name)
            self.name.setCursorPosition(0)
        if force or not broken:
            self.name.set_invalid("")
            self.name.setToolTip(name)
        self.name.set_suffix("edited" if edited else "")
        self.name.setAccessibleDescription("edited, not saved" if edited else "")
        self.origin.setText(origin)
        self.origin.setVisible(bool(origin))

    def fill_presets(self, presets: Sequence[Preset]) -> None:
        menu = self.presets.menu()
        menu.clear()
        kind = ""
        for preset in presets:
            if kind not in ("", preset.experiment.workload.kind):
                menu.addSeparator()
            kind = preset.experiment.workload.kind
            action = QAction(preset.title, menu)
            action.setToolTip(preset.sentence)
            action.setStatusTip(preset.sentence)
            action.triggered.connect(partial(self._preset, preset))
            menu.addAction(action)

    def fill_recent(self, paths: Sequence[Path]) -> None:
        menu = self.recent.menu()
        menu.clear()
        for path in paths:
            action = QAction(f"{path.name}   {_folder(path)}", menu)
            action.setToolTip(str(path))
            action.triggered.connect(partial(self._recent, path))
            menu.addAction(action)
        if not paths:
            none = QAction("No file was opened or saved yet", menu)
            none.setEnabled(False)
            menu.addAction(none)

    def focus_name(self) -> None:
        self.name.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.name.selectAll()

    def _preset(self, preset: Preset, _checked: bool = False) -> None:
        self.preset_wanted.emit(preset)

    def _recent(self, path: Path, _checked: bool = False) -> None:
        self.recent_wanted.emit(path)

    def _kind_chosen(self, index: int) -> None:
        self.kind_changed.emit(list(KIND_TITLES)[index])

    def _name_edited(self, text: str) -> None:
        message = problem_of(_NAME, text)
        self.name.set_invalid(message)
        if message:
            self.name_broke.emit(message)
        else:
            self.name_broke.emit("")
            self.name_changed.emit(text)


def _folder(path: Path) -> str:
    home = str(Path.home())
    text = str(path.parent)
    return f"~{text.removeprefix(home)}" if text.startswith(home) else text
