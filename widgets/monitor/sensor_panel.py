"""Sensors and environment of the trial that is shown, behind two tabs. Main thread."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFontMetrics, QGuiApplication, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from widgets.monitor.sensor_rows import SensorRow, sensor_rows
from widgets.parts.components import EmptyState, ToolButton, label, line, tool_button
from widgets.parts.layout import flush_column, plain_table, set_ground, stacked
from widgets.theme.theme import Theme
from workbench.charts.series import TrialData
from workbench.machines.environment_facts import GROUPS, fact_kind, fact_text

Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 1
_ELIDE = Qt.TextElideMode.ElideRight
_WITH_RATES = 340
"""Width (px) from which a row has room for how often its sensor is read."""


class SensorModel(QAbstractTableModel):
    """One row a quantity; the text of a row is a whole sentence, the parts come by `ROW_ROLE`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[SensorRow, ...] = ()

    def show_rows(self, rows: tuple[SensorRow, ...]) -> None:
        """New values change rows in place; another set of sensors resets the model."""
        same = [r.title for r in rows] == [r.title for r in self._rows]
        if not same or [r.available for r in rows] != [r.available for r in self._rows]:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()
            return
        changed = [i for i, (a, b) in enumerate(zip(self._rows, rows, strict=True)) if a != b]
        self._rows = rows
        if changed:
            self.dataChanged.emit(self.index(changed[0], 0), self.index(changed[-1], 0))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else 1

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return " · ".join(p for p in (row.title, row.source, row.rate, row.value, row.reason) if p)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.reason or f"{row.title}: {row.method or row.source}"
        if role == ROW_ROLE:
            return row
        return None


class SensorDelegate(QStyledItemDelegate):
    """Title, method, rate, value in four columns; a missing quantity has its reason below, as many lines as needed."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        row = index.data(ROW_ROLE)
        height = self._theme.height("sensor_row")
        if isinstance(row, SensorRow) and row.reason:
            height += self._reason_height(row, option.rect.width()) + self._theme.px(6)
        return QSize(0, height)

    def _reason_height(self, row: SensorRow, width: int) -> int:
        room = max(width - self._theme.px(24), self._theme.px(200))
        metrics = QFontMetrics(self._theme.font("caption"))
        box = metrics.boundingRect(QRect(0, 0, room, 10_000), int(Qt.TextFlag.TextWordWrap), row.reason)
        return box.height()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row = index.data(ROW_ROLE)
        if not isinstance(row, SensorRow):
            return
        theme, rect = self._theme, option.rect
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.color("bg.selected"))
        pad, high = theme.px(12), theme.height("sensor_row")
        inner = QRect(rect.left() + pad, rect.top(), rect.width() - 2 * pad, high)
        middle = Qt.AlignmentFlag.AlignVCenter
        right = middle | Qt.AlignmentFlag.AlignRight
        painter.setFont(theme.font("dense", 500))
        value_width = painter.fontMetrics().horizontalAdvance(row.value) + theme.px(8)
        painter.setPen(theme.color("text.primary" if row.available else "text.muted"))
        painter.drawText(inner, right, row.value)
        painter.setFont(theme.font("dense"))
        metrics = painter.fontMetrics()
        # a narrow column has names and values; the rates are in Machines
        rates = inner.width() >= theme.px(_WITH_RATES)
        title_width = int(inner.width() * (0.5 if rates else 0.6)) if row.available else inner.width() - value_width
        painter.setPen(theme.color("text.primary"))
        painter.drawText(inner, middle, metrics.elidedText(row.title, _ELIDE, title_width - 4))
        painter.setPen(theme.color("text.muted"))
        if row.available:
            rate_at = inner.left() + int(inner.width() * 0.71) if rates else inner.right() - value_width
            method = QRect(inner.left() + title_width, inner.top(), rate_at - inner.left() - title_width, high)
            painter.drawText(method, middle, metrics.elidedText(row.source, _ELIDE, method.width() - 4))
            room = inner.right() - value_width - rate_at
            if rates and metrics.horizontalAdvance(row.rate) <= room:
                painter.drawText(QRect(rate_at, inner.top(), room, high), middle, row.rate)
        else:
            painter.setFont(theme.font("caption"))
            below = QRect(inner.left(), rect.top() + high - theme.px(2), inner.width(), rect.height() - high)
            painter.drawText(below, int(Qt.TextFlag.TextWordWrap), row.reason)
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), theme.color("border.subtle"))
        painter.restore()


class EnvironmentModel(QAbstractTableModel):
    """Facts about where the trial runs, in groups, as people read them; the tooltip has name and value as stored."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._facts: list[tuple[str, str]] = []

    def show_facts(self, facts: dict[str, str]) -> None:
        rows = sorted(facts.items(), key=_place)
        if rows != self._facts:
            self.beginResetModel()
            self._facts = rows
            self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._facts)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else 2

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        name, value = self._facts[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return fact_kind(name).title if index.column() == 0 else fact_text(name, value)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{name} ({fact_kind(name).group})" if index.column() == 0 else value
        return None

    def as_tsv(self) -> str:
        return "".join(f"{name}\t{value}\n" for name, value in self._facts)


def _place(fact: tuple[str, str]) -> tuple[int, str]:
    kind = fact_kind(fact[0])
    return GROUPS.index(kind.group), kind.title.lower()


class SensorPanel(QFrame):
    """Tabs "Sensors 7 of 8" and "Environment"; the closing button hides the right column."""

    closed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._data: TrialData | None = None
        self._revision = -1
        set_ground(self, "base")
        self.setAccessibleName("Sensors and environment")
        self._tabs = (
            ToolButton(theme, text="Sensors", checkable=True, compact=True),
            ToolButton(theme, text="Environment", checkable=True, compact=True),
        )
        self.count = label(tone="muted", role="dense")
        self.close_button = tool_button(theme, "close", "", "Hide sensors and queue", self.closed.emit, compact=True)
        head = QFrame()
        set_ground(head, "panel")
        self._head = head
        self._row = QHBoxLayout(head)
        self._row.addWidget(self._tabs[0])
        self._row.addWidget(self.count)
        self._row.addWidget(self._tabs[1])
        self._row.addStretch(1)
        self._row.addWidget(self.close_button)
        self.sensors = SensorModel(self)
        self.sensor_view = QListView()
        self.sensor_view.setModel(self.sensors)
        self.sensor_view.setItemDelegate(SensorDelegate(theme, self.sensor_view))
        self.sensor_view.setAccessibleName("Sensors")
        self.sensor_view.setResizeMode(QListView.ResizeMode.Adjust)
        self.sensor_view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.sensor_view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.facts = EnvironmentModel(self)
        self.fact_view = plain_table(self.facts, "Environment", self._copy_facts)
        self.fact_view.horizontalHeader().hide()
        self.empty = EmptyState(theme, "No sensors yet", "Sensors and their values appear here when a trial runs.")
        self._pages = stacked(self.empty, self.sensor_view, self.fact_view)
        column = flush_column(self)
        column.addWidget(head)
        column.addWidget(line(self))
        column.addWidget(self._pages, 1)
        self._tabs[0].clicked.connect(self._show_sensors)
        self._tabs[1].clicked.connect(self._show_environment)
        self._tab = 0
        theme.follow(self._restyle)
        self._choose(0)

    def _restyle(self) -> None:
        theme = self._theme
        self._head.setFixedHeight(theme.height("panel_header") - 1)
        self._row.setContentsMargins(theme.px(6), 0, theme.px(8), 0)
        self._row.setSpacing(theme.px(4))
        rows = self.fact_view.verticalHeader()
        rows.setMinimumSectionSize(1)
        rows.setDefaultSectionSize(theme.height("sensor_row"))
        self.fact_view.setFont(theme.font("dense"))
        self.fact_view.setStyleSheet(f"QTableView {{ padding-left: {theme.px(12) - 3}px; }}")
        columns = self.fact_view.horizontalHeader()
        columns.resizeSection(0, theme.px(168))
        columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        columns.setStretchLastSection(True)

    def set_trial(self, data: TrialData | None) -> None:
        self._data, self._revision = data, -1
        self.update_values()

    def update_values(self) -> None:
        """The newest readings; does nothing while nobody sees them."""
        data = self._data
        if data is None:
            self.sensors.show_rows(())
            self.facts.show_facts({})
            self.count.setText("")
        elif data.revision != self._revision and (self.isVisible() or self._revision < 0):
            self._revision = data.revision
            rows = sensor_rows(data)
            self.sensors.show_rows(rows)
            self.facts.show_facts(data.environment)
            present = sum(r.available for r in rows)
            total = len(data.sensors)
            self.count.setText(f"{present} of {total}" if total else "")
        self._choose(self._tab)

    def _show_sensors(self) -> None:
        self._choose(0)

    def _show_environment(self) -> None:
        self._choose(1)

    def _choose(self, tab: int) -> None:
        self._tab = tab
        for i, button in enumerate(self._tabs):
            button.setChecked(i == tab)
        filled = (self.sensors if tab == 0 else self.facts).rowCount() > 0
        self._pages.setCurrentIndex(tab + 1 if filled else 0)
        if not filled:
            name = "sensors" if tab == 0 else "facts"
            self.empty.set(f"No {name} yet", "They appear here when a trial runs.")

    def _copy_facts(self) -> None:
        QGuiApplication.clipboard().setText(self.facts.as_tsv())
