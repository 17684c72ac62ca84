"""What can be done with the selected rows, as a menu: nothing that cannot. Main thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtWidgets import QMenu, QWidget

from widgets.compare.environment.sections import MOST_SIDES
from widgets.compare.table.views import Loaded, RowView
from widgets.compare.toolbar import calling
from widgets.theme.icons import icon
from widgets.theme.theme import Theme
from workbench.experiment import MORE_BLOCKS


@dataclass(frozen=True)
class Selected:
    """The selection in the terms of what can be done with it."""

    rows: tuple[RowView, ...] = ()
    trials: tuple[str, ...] = ()
    """All, those of selected configurations included."""
    ended: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    resumable: tuple[str, ...] = ()
    """Trials that did not complete and left a checkpoint."""
    kept: tuple[Path, ...] = ()
    """Models and adapters that the trials have kept here."""

    @property
    def one(self) -> RowView | None:
        return self.rows[0] if len(self.rows) == 1 else None

    @property
    def configurations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.configuration for r in self.rows))


def select(
    loaded: Loaded | None,
    rows: tuple[RowView, ...],
    trials: tuple[str, ...],
    can_resume: Callable[[str], bool] = lambda _trial: False,
    kept: Callable[[str], Path | None] = lambda _trial: None,
) -> Selected:
    """Sorts the selected trials by what became of them."""
    if loaded is None:
        return Selected()
    found = [t for t in loaded.detail.trials if t.trial in set(trials)]
    ended = tuple(t.trial for t in found if t.state == "ended")
    failed = tuple(t.trial for t in found if t.state == "ended" and t.outcome in ("failed", "lost"))
    incomplete = (t.trial for t in found if t.state == "ended" and t.outcome != "completed")
    folders = tuple(folder for trial in ended if (folder := kept(trial)) is not None)
    return Selected(rows, tuple(t.trial for t in found), ended, failed, tuple(filter(can_resume, incomplete)), folders)


def row_menu(
    parent: QWidget, theme: Theme, selected: Selected, on_figure: bool, do: Mapping[str, Callable[[], None]]
) -> QMenu:
    """`do` has a handler for every entry: "card", "open", "baseline", "eye", "retry", "again", "edit", ..."""
    menu = QMenu(parent)

    def add(id: str, text: str, icon_name: str = "") -> None:
        action = menu.addAction(text, calling(do[id]))
        if icon_name:
            action.setIcon(icon(theme, icon_name))

    one = selected.one
    if one is not None and on_figure:
        add("card", "Show how this number was made\tEnter", "info")
    if selected.trials:
        add("open", "Open in Monitor", "pulse")
    if 1 <= len(selected.rows) <= MOST_SIDES:
        several = one is None or (not one.trial and len(selected.trials) > 1)
        add("environments", f"{'Compare environments' if several else 'Show the environment'}\tCtrl+D", "server")
    menu.addSeparator()
    if one is not None and not one.trial and not one.baseline:
        add("baseline", "Set as baseline", "pin")
    if selected.rows:
        hidden = all(r.hidden for r in selected.rows)
        add("eye", f"{'Show in' if hidden else 'Hide from'} the charts\tSpace", "eye" if hidden else "eye-off")
    menu.addSeparator()
    if selected.resumable:
        count = len(selected.resumable)
        add("resume", f"Resume {'the trial' if count == 1 else f'{count} trials'} from the last checkpoint", "play")
    if selected.failed:
        count = len(selected.failed)
        add("retry", "Retry the failed trial" if count == 1 else f"Retry {count} failed trials", "refresh")
    if selected.ended:
        count = len(selected.ended)
        add("again", "Run the trial again" if count == 1 else f"Run {count} trials again", "play")
    if selected.ended:
        add("more", f"Run {MORE_BLOCKS} more blocks of the experiment")
    if selected.kept:
        count = len(selected.kept)
        add("use", "Use what was trained as a model" if count == 1 else f"Use what was trained as {count} models")
    if one is not None and selected.trials:
        add("edit", "Edit as new experiment", "edit")
    if len(selected.ended) == 1:
        add("wall-meter", "Import wall meter readings…")
    menu.addSeparator()
    if selected.rows:
        add("copy", "Copy rows", "copy")
    add("rename", "Rename the experiment", "")
    if selected.trials:
        count = len(selected.trials)
        add("delete", "Delete the trial\tDel" if count == 1 else f"Delete {count} trials\tDel", "trash")
    return menu
