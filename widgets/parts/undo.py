"""An edit on a page's undo stack (`Page.undo_stack`). Main thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QUndoCommand


class Edit(QUndoCommand):
    """An edit that was made, and how to take it back. `text` completes "Undo ...": "removing 2 trials". Edits in a row
    with the same `merge` are taken back together (typing)."""

    def __init__(self, text: str, undo: Callable[[], None], merge: str = "") -> None:
        super().__init__(text)
        self._undo = undo
        self._merge = merge

    def undo(self) -> None:
        self._undo()

    def id(self) -> int:
        return 1  # an edit may be asked to merge with any other

    def mergeWith(self, other: QUndoCommand) -> bool:
        return isinstance(other, Edit) and bool(self._merge) and other._merge == self._merge
