"""The Texts view of Compare: what each configuration wrote for the same prompts, side by side. Main thread."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPlainTextEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.compare.texts.column import TextColumnView
from widgets.compare.texts.rows import NOTHING_KNOWN, Standing, as_text, columns, prompt_rows, shown_columns
from widgets.compare.toolbar import StayOpenMenu, calling
from widgets.parts.components import EmptyState, Panel, PanelHeader, ToolButton, label, tool_button
from widgets.parts.layout import flush_column, scroll_area, set_ground, splitter, stacked
from widgets.parts.search_field import SearchField
from widgets.parts.strokes import draw_focus, draw_ground, draw_text
from widgets.theme.theme import Theme
from workbench.comparison.texts import PromptTexts

_LIST = 216
SUMMARY_ROLE = int(Qt.ItemDataRole.UserRole) + 1
HOW = "Set Texts in Setup's Workload, under Quality: every configuration then writes the built-in prompts once."


class PromptDelegate(QStyledItemDelegate):
    """A prompt's title over how many configurations left the baseline's text."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(0, self._theme.px(44))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        theme, px = self._theme, self._theme.px
        painter.save()
        draw_ground(painter, theme, option)
        box = option.rect.adjusted(px(12), px(4), -px(8), -px(4))
        half = box.height() // 2
        upper = QRect(box.left(), box.top(), box.width(), half)
        lower = QRect(box.left(), box.top() + half, box.width(), half)
        draw_text(painter, theme.font("body", 500), theme.color("text.primary"), upper, str(index.data()))
        summary = str(index.data(SUMMARY_ROLE) or "")
        draw_text(painter, theme.font("dense"), theme.color("text.muted"), lower, summary)
        if option.state & QStyle.StateFlag.State_HasFocus:
            draw_focus(painter, theme, option.rect)
        painter.restore()


class TextsView(QWidget):
    """`show_texts` fills it; which prompt and which columns are the user's choice and stay over a refresh."""

    copied = Signal(str)
    """What was copied."""
    setup_asked = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._prompts: tuple[PromptTexts, ...] = ()
        self._titles: Mapping[str, str] = {}
        self._known = NOTHING_KNOWN
        self._chosen: tuple[str, ...] | None = None
        self._prompt = ""
        self._scrolling = False
        self.views: list[TextColumnView] = []
        self._build()
        theme.follow(self._restyle)
        self._show_empty("Reading the texts", "")

    def _build(self) -> None:
        theme = self._theme
        self.prompts = QListWidget()
        self.prompts.setAccessibleName("Prompts")
        self.prompts.setItemDelegate(PromptDelegate(theme, self.prompts))
        self.prompts.currentItemChanged.connect(self._prompt_chosen)
        left = Panel(theme, "Prompts")
        left.body.addWidget(self.prompts, 1)
        self._left = left
        self.header = PanelHeader(theme, "Texts")
        self.search = SearchField(theme)
        self.search.setProperty("compact", "true")
        self.search.setPlaceholderText("Find in the texts")
        self.search.setAccessibleName("Find in the texts")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._show_columns)
        self.which = ToolButton(
            theme, "columns", "Configurations", "Which configurations stand side by side", compact=True
        )
        self.which.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._menu: QMenu = StayOpenMenu(self.which)
        self._menu.aboutToShow.connect(self._fill_menu)
        self.which.setMenu(self._menu)
        self.header.add_tool(self.search)
        self.header.add_tool(self.which)
        self.header.add_tool(
            tool_button(theme, "copy", "Copy all", "Copy the prompt and the shown texts", self.copy, compact=True)
        )
        self.prompt = QPlainTextEdit()
        self.prompt.setReadOnly(True)
        self.prompt.setTabChangesFocus(True)
        self.prompt.document().setDocumentMargin(0)
        self.prompt.setAccessibleName("Prompt")
        self.prompt_note = label("", role="dense", tone="muted", wrap=True)
        self._columns_row = QHBoxLayout()
        self._columns_row.setContentsMargins(0, 0, 0, 0)
        self._columns_row.setSpacing(0)
        inner = QWidget()
        inner.setLayout(self._columns_row)
        self._scroll = scroll_area(inner, across=True)
        above = QFrame()
        set_ground(above, "panel", "bottom")
        self._above = QVBoxLayout(above)
        self._above.addWidget(self.prompt)
        self._above.addWidget(self.prompt_note)
        right = QWidget()
        column = flush_column(right)
        column.addWidget(self.header)
        column.addWidget(above)
        column.addWidget(self._scroll, 1)
        self._split = splitter(Qt.Orientation.Horizontal, "texts", left, right)
        self._split.setStretchFactor(1, 1)
        self.empty = EmptyState(theme, "", icon_name="file", action="Go to Setup", clicked=self.setup_asked.emit)
        self._pages = stacked(self.empty, self._split)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)

    def _restyle(self) -> None:
        px = self._theme.px
        self._left.setMinimumWidth(px(160))
        self._split.setSizes([px(_LIST), max(px(600), self.width() - px(_LIST))])
        self.search.setFixedWidth(px(180))
        self._above.setContentsMargins(px(12), px(8), px(12), px(8))
        self._above.setSpacing(px(4))
        self.prompt.setFont(self._theme.font("body", 500))
        self.prompt.setStyleSheet("QPlainTextEdit { border: none; background: transparent; padding: 0; }")
        self._fit_prompt()

    # --- content ----------------------------------------------------------------------------------

    def show_texts(
        self,
        prompts: tuple[PromptTexts, ...],
        titles: Mapping[str, str],
        unfinished: int,
        standings: Mapping[str, Standing] = NOTHING_KNOWN,
    ) -> None:
        """Texts of an experiment; `titles` are short names of its configurations, `unfinished` trials still to run,
        `standings` what the columns that nobody has chosen are spread over."""
        self._prompts, self._titles, self._known = prompts, titles, standings
        if not prompts:
            later = "Its first trials have not ended yet. " if unfinished else ""
            self._show_empty("No text was written in this experiment", f"{later}{HOW}", action=True)
            return
        self._pages.setCurrentIndex(1)
        rows = prompt_rows(prompts)
        known = [r.id for r in rows]
        wanted = self._prompt if self._prompt in known else known[0]
        self.prompts.blockSignals(True)
        self.prompts.clear()
        for row in rows:
            item = QListWidgetItem(row.title)
            item.setData(Qt.ItemDataRole.UserRole, row.id)
            item.setData(SUMMARY_ROLE, row.summary)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{row.title}: {row.summary}")
            self.prompts.addItem(item)
            if row.id == wanted:
                self.prompts.setCurrentItem(item)
        self.prompts.blockSignals(False)
        self._left.header.set_count(str(len(rows)))
        self._show_prompt(wanted)

    def show_failure(self, error: BaseException) -> None:
        self._show_empty("The texts could not be read", str(error))

    def _show_empty(self, title: str, text: str, *, action: bool = False) -> None:
        self.empty.set(title, text)
        self.empty.button.setVisible(action)
        self._pages.setCurrentIndex(0)

    @property
    def current(self) -> PromptTexts | None:
        return next((p for p in self._prompts if p.prompt_id == self._prompt), None)

    @property
    def shown(self) -> tuple[str, ...]:
        """Configurations in columns now."""
        return shown_columns(self._prompts, self._chosen, self._known)

    def _prompt_chosen(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self._show_prompt(str(item.data(Qt.ItemDataRole.UserRole)))

    def _show_prompt(self, id: str) -> None:
        self._prompt = id
        found = self.current
        if found is None:
            return
        self.prompt.setPlainText(found.prompt)
        notes = ["Put into the model's chat template."] if any(t.templated for t in found.texts) else []
        notes += [f"Begin token before it: {begin}." for begin in dict.fromkeys(t.begin for t in found.texts) if begin]
        self.prompt_note.setText(" ".join(notes))
        self.prompt_note.setVisible(bool(notes))
        self._fit_prompt()
        self._show_columns()

    def _show_columns(self, _text: str = "") -> None:
        found = self.current
        if found is None:
            return
        made = columns(found, self.shown, self._titles)
        while len(self.views) < len(made):
            view = TextColumnView(self._theme)
            view.area.step_asked.connect(self._step)
            view.area.verticalScrollBar().valueChanged.connect(self._scrolled)
            view.copy_asked.connect(self._copy_one)
            self.views.append(view)
            self._columns_row.addWidget(view, 1)
        for place, view in enumerate(self.views):
            view.setVisible(place < len(made))
            if place < len(made):
                view.show_column(made[place], self.search.text())
        total = len(found.texts)
        self.header.set_count(f"{len(made)} of {total} configurations" if len(made) < total else "")
        self.which.setEnabled(total > 1)

    def _fit_prompt(self) -> None:
        """Up to four lines of the prompt; a longer one scrolls."""
        metrics = self.prompt.fontMetrics()
        width = max(self.prompt.viewport().width(), self._theme.px(200))
        box = metrics.boundingRect(0, 0, width, 10_000, int(Qt.TextFlag.TextWordWrap), self.prompt.toPlainText() or " ")
        lines = min(4, max(1, round(box.height() / metrics.lineSpacing())))
        self.prompt.setFixedHeight(lines * metrics.lineSpacing() + self._theme.px(4))

    # --- what a person does -----------------------------------------------------------------------

    def _fill_menu(self) -> None:
        self._menu.clear()
        if not self._prompts:
            return
        for text in self._prompts[0].texts:
            title = self._titles.get(text.configuration) or text.title
            action = self._menu.addAction(f"{title} (baseline)" if text.is_baseline else title)
            action.setCheckable(True)
            action.setChecked(text.configuration in self.shown)
            action.setEnabled(not text.is_baseline)
            action.triggered.connect(calling(self._toggle, text.configuration))

    def _toggle(self, configuration: str) -> None:
        shown = self.shown
        self.choose(
            tuple(c for c in shown if c != configuration) if configuration in shown else (*shown, configuration)
        )

    def choose(self, configurations: tuple[str, ...]) -> None:
        """Which configurations stand beside the baseline."""
        self._chosen = configurations
        self._show_columns()

    def forget_choice(self) -> None:
        """Another experiment: its columns are not those of the last one."""
        self._chosen = None
        self._prompt = ""
        self.search.clear()

    def _step(self, step: int) -> None:
        """From a column to its neighbour; left of the first are the prompts."""
        shown = [v for v in self.views if not v.isHidden()]
        at = next((i for i, v in enumerate(shown) if v.area.hasFocus()), -1) + step
        if at < 0:
            self.prompts.setFocus(Qt.FocusReason.TabFocusReason)
        elif at < len(shown):
            shown[at].area.setFocus(Qt.FocusReason.TabFocusReason)
            self._scroll.ensureWidgetVisible(shown[at])

    def _scrolled(self, value: int) -> None:
        """Columns scroll together, as far as each goes."""
        if self._scrolling:
            return
        self._scrolling = True
        for view in self.views:
            view.area.verticalScrollBar().setValue(value)
        self._scrolling = False

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Right and self.prompts.hasFocus() and self.views:
            self.views[0].area.setFocus(Qt.FocusReason.TabFocusReason)
        elif event.key() == Qt.Key.Key_Escape and self.search.text():
            self.search.clear()
        else:
            super().keyPressEvent(event)

    def focus_search(self) -> None:
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def copy(self) -> None:
        """The prompt and the shown texts, to the clipboard."""
        found = self.current
        if found is not None:
            QGuiApplication.clipboard().setText(as_text(found, columns(found, self.shown, self._titles)))
            self.copied.emit("The texts")

    def _copy_one(self, configuration: str) -> None:
        view = next((v for v in self.views if v.column.configuration == configuration), None)
        if view is not None:
            QGuiApplication.clipboard().setText(view.column.text)
            self.copied.emit(f"The text of {view.column.title}")
