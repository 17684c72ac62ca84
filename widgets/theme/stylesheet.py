"""The style sheet, written from the tokens: radius, padding, lines and the type roles of labels.

What it knows by property: `role` (a name of the type scale), `tone` (a text colour: "secondary", "muted", "link",
"good", "bad", "warn", "error", "info"), `ground` ("window", "panel", "base", "header", "raised"), `kind` of a
button ("main", "flat", "danger", "segment", "inline"). Every label and tooltip shows plain text, whatever is in it, but
those with the property `markup`, whose text is ours. Pure text; main thread.
"""

from __future__ import annotations

from string import Template

from widgets.theme.design import Design
from widgets.theme.icons import tinted_file

_BASE = Template("""
QWidget { color: $text_primary; }
QMainWindow, QDialog { background: $bg_panel; }
QLabel, QToolTip { qproperty-textFormat: PlainText; }
QLabel[markup="true"] { qproperty-textFormat: RichText; }
QToolTip { background: $bg_raised; color: $text_primary; border: 1px solid $border_default; padding: ${p4}px; }

QMenuBar { background: $bg_window; border: none; border-bottom: 1px solid $border_default; padding: 0 ${p8}px; }
QMenuBar::item { padding: ${p6}px ${p8}px; background: transparent; border-radius: ${r}px; }
QMenuBar::item:selected { background: $bg_hover; }
QMenuBar::item:pressed { background: $bg_pressed; }
QMenu { background: $bg_raised; border: 1px solid $border_default; padding: ${p4}px; }
QMenu::item { padding: ${p4}px ${p24}px ${p4}px ${p12}px; border-radius: ${r}px; }
QMenu::item:selected { background: $bg_selected; }
QMenu::item:disabled { color: $text_disabled; }
QMenu::separator { height: 1px; background: $border_subtle; margin: ${p4}px ${p8}px; }
QMenu::icon { padding-left: ${p8}px; }

QLineEdit, QPlainTextEdit, QTextEdit, QAbstractSpinBox, QComboBox {
  background: $bg_base; border: 1px solid $border_control; border-radius: ${r}px;
  selection-background-color: $accent_default; selection-color: $text_on_accent;
}
QLineEdit { placeholder-text-color: $text_muted; }
QLineEdit, QAbstractSpinBox { min-height: ${control_in}px; padding: 0 ${p8}px; }
QLineEdit[compact="true"], QComboBox[compact="true"] { min-height: ${small_in}px; max-height: ${small_in}px; }
QLineEdit:disabled, QAbstractSpinBox:disabled, QComboBox:disabled {
  background: $bg_disabled; color: $text_disabled; border-color: $border_default; }
QLineEdit[invalid="true"] { border-color: $status_error; }
QComboBox { min-height: ${control_in}px; padding: 0 ${p8}px; }
QComboBox:hover, QLineEdit:hover { border-color: $text_secondary; }
QComboBox::drop-down { border: none; width: ${p20}px; }
QComboBox::down-arrow { image: url("$icon_down"); width: ${icon}px; height: ${icon}px; }
QComboBox QAbstractItemView { background: $bg_raised; border: 1px solid $border_default; outline: 0;
  selection-background-color: $bg_selected; selection-color: $text_primary; }
QComboBox QAbstractItemView::item { min-height: ${small}px; padding: 0 ${p8}px; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { border: none; width: ${p16}px; background: transparent; }
QAbstractSpinBox::up-arrow { image: url("$icon_up"); width: ${p12}px; height: ${p12}px; }
QAbstractSpinBox::down-arrow { image: url("$icon_down"); width: ${p12}px; height: ${p12}px; }

QCheckBox, QRadioButton { spacing: ${p8}px; background: transparent; }
QCheckBox:disabled, QRadioButton:disabled { color: $text_disabled; }
QCheckBox::indicator, QAbstractItemView::indicator { width: ${p14}px; height: ${p14}px;
  border: 1px solid $border_control; border-radius: ${rcheck}px; background: $bg_base; }
QCheckBox::indicator:checked, QAbstractItemView::indicator:checked { background: $accent_default;
  border-color: $accent_default; image: url("$icon_check"); }
QCheckBox::indicator:indeterminate, QAbstractItemView::indicator:indeterminate { background: $accent_default;
  border-color: $accent_default; image: url("$icon_dash"); }
QCheckBox::indicator:disabled, QAbstractItemView::indicator:disabled { border-color: $border_default;
  background: $bg_disabled; }
QRadioButton::indicator { width: ${p14}px; height: ${p14}px; border: 1px solid $border_control;
  border-radius: ${rradio}px; background: $bg_base; }
QRadioButton::indicator:checked { border: ${p4}px solid $accent_default; width: ${p8}px; height: ${p8}px; }

QPushButton { background: $bg_base; border: 1px solid $border_control; border-radius: ${r}px;
  min-height: ${control_in}px; padding: 0 ${p12}px; font-weight: 500; }
QPushButton:hover { background: $bg_hover; }
QPushButton:pressed { background: $bg_pressed; }
QPushButton:disabled { color: $text_disabled; border-color: $border_default; background: $bg_disabled; }
QPushButton[kind="main"] { background: $accent_default; border-color: $accent_default; color: $text_on_accent;
  min-height: ${main_in}px; padding: 0 ${p20}px; font-weight: 600; }
QPushButton[kind="main"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[kind="main"]:pressed { background: $accent_pressed; border-color: $accent_pressed; }
QPushButton[kind="main"]:disabled { background: $bg_disabled; border-color: $border_default; color: $text_disabled; }
QPushButton[kind="danger"] { color: $status_error; border-color: $status_error; }
QPushButton[kind="danger"]:disabled { color: $text_disabled; border-color: $border_default; }
QPushButton[kind="inline"], QToolButton[kind="inline"] { min-height: ${inline_in}px; max-height: ${inline_in}px;
  padding: 0 ${p8}px; font-size: ${s12}px; font-weight: 400; border: 1px solid $border_control; background: $bg_base;
  border-radius: ${r}px; }
QPushButton[kind="row"] { border: none; background: transparent; border-radius: 0; padding: 0; }
QPushButton[kind="row"]:hover { background: $bg_hover; }
QPushButton[kind="row"]:pressed { background: $bg_pressed; }
QPushButton[kind="link"] { border: none; background: transparent; color: $text_link; padding: 0; font-weight: 400;
  text-align: left; }
QPushButton[kind="link"]:hover { text-decoration: underline; }

QToolButton { background: transparent; border: 1px solid transparent; border-radius: ${r}px;
  padding: ${p2}px ${p6}px; min-height: ${tool_in}px; }
QToolButton:hover { background: $bg_hover; }
QToolButton:pressed { background: $bg_pressed; }
QToolButton:checked { background: $accent_soft; color: $text_link; }
QToolButton:disabled { color: $text_disabled; }
QToolButton[kind="box"] { border: 1px solid $border_control; background: $bg_base; }
QToolButton[kind="box"]:hover { background: $bg_hover; }
QToolButton[kind="box"]:checked { background: $accent_soft; border-color: $accent_default; color: $text_link; }
QToolButton[compact="true"] { min-height: ${compact_in}px; padding: 0 ${p4}px; }
QToolButton::menu-indicator { image: url("$icon_down"); width: ${p12}px; height: ${p12}px;
  subcontrol-position: right center; subcontrol-origin: padding; right: ${p4}px; }
QToolButton[popupMode="2"] { padding-right: ${p20}px; }
QToolButton[kind="rail"] { border: none; border-radius: 0; font-size: ${s11}px; color: $text_secondary;
  padding: ${p6}px 0; min-height: ${rail_item}px; max-height: ${rail_item}px;
  min-width: ${rail}px; max-width: ${rail}px; }
QToolButton[kind="rail"]:checked { background: $bg_panel; color: $text_primary; font-weight: 600; }
QToolButton[kind="field"] { background: $bg_base; border: 1px solid $border_control; color: $text_muted;
  text-align: left; padding: 0 ${p8}px; }
QToolButton[kind="segment"] { border: 1px solid $border_control; border-radius: 0; background: $bg_base;
  padding: 0 ${p8}px; min-height: ${small_in}px; margin-left: -1px; }
QToolButton[kind="segment"][compact="true"] { padding: 0 ${p2}px; }
QToolButton[kind="segment"][end="first"] { border-top-left-radius: ${r}px; border-bottom-left-radius: ${r}px;
  margin-left: 0; }
QToolButton[kind="segment"][end="last"] { border-top-right-radius: ${r}px; border-bottom-right-radius: ${r}px; }
QToolButton[kind="segment"]:hover { background: $bg_hover; }
QToolButton[kind="segment"]:checked { background: $accent_soft; color: $text_link; font-weight: 600; }

QAbstractItemView { background: $bg_base; alternate-background-color: $bg_alternate; border: none; outline: 0;
  selection-background-color: $bg_selected; selection-color: $text_primary; }
QTreeView::item, QTableView::item, QListView::item { min-height: ${tree_row}px; }
QTreeView::item:hover, QTableView::item:hover, QListView::item:hover { background: $bg_hover; }
QTreeView::item:selected, QTableView::item:selected, QListView::item:selected {
  background: $bg_selected; color: $text_primary; }
QTreeView::branch:has-children:closed { image: url("$icon_right"); }
QTreeView::branch:has-children:open { image: url("$icon_down"); }
QHeaderView { background: $bg_header; border: none; }
QHeaderView::section { background: $bg_header; color: $text_secondary; border: none; font-weight: 500;
  border-bottom: 1px solid $border_default; padding: 0 ${p8}px; min-height: ${table_header}px; font-size: ${s12}px; }
QTableCornerButton::section { background: $bg_header; border: none; border-bottom: 1px solid $border_default; }

QSplitter::handle { background: $border_default; }
QSplitter::handle:hover { background: $accent_default; }
QScrollArea { border: none; background: transparent; }
QScrollBar { background: transparent; border: none; }
QScrollBar:vertical { width: ${bar}px; }
QScrollBar:horizontal { height: ${bar}px; }
QScrollBar::handle { background: $border_control; border-radius: ${barr}px; margin: 2px; }
QScrollBar::handle:vertical { min-height: ${p24}px; }
QScrollBar::handle:horizontal { min-width: ${p24}px; }
QScrollBar::handle:hover { background: $text_muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QProgressBar { background: $border_default; border: none; border-radius: ${rbar}px; text-align: center;
  min-height: ${progress}px; max-height: ${progress}px; }
QProgressBar::chunk { background: $accent_default; border-radius: ${rbar}px; }
QSlider::groove:horizontal { height: ${p4}px; background: $border_default; border-radius: 2px; }
QSlider::sub-page:horizontal { background: $accent_default; border-radius: 2px; }
QSlider::handle:horizontal { width: ${p12}px; height: ${p12}px; margin: -${p4}px 0; border-radius: ${p6}px;
  background: $bg_base; border: 1px solid $border_control; }
QTabBar::tab { background: transparent; padding: ${p6}px ${p12}px; border-bottom: 2px solid transparent;
  color: $text_secondary; }
QTabBar::tab:selected { color: $text_primary; border-bottom-color: $accent_default; font-weight: 600; }
QTabBar::tab:hover { background: $bg_hover; }
QTabWidget::pane { border: none; }
QDockWidget { titlebar-close-icon: none; titlebar-normal-icon: none; }
QMainWindow::separator { background: $border_default; width: 1px; height: 1px; }

QStatusBar { background: $bg_window; border-top: 1px solid $border_default; color: $text_muted; font-size: ${s11}px; }
QStatusBar::item { border: none; }

QLabel { background: transparent; }
QLabel:disabled { color: $text_disabled; }
QFrame[edge="top"] { border: none; border-top: 1px solid $border_default; }
QFrame[edge="bottom"] { border: none; border-bottom: 1px solid $border_default; }
QFrame[edge="right"] { border: none; border-right: 1px solid $border_default; }
QFrame[line="true"] { background: $border_default; border: none; }
QFrame[card="true"] { background: $bg_raised; border: 1px solid $border_default; border-radius: ${rcard}px; }
""")

_TONES = {
    "primary": "text.primary",
    "secondary": "text.secondary",
    "muted": "text.muted",
    "disabled": "text.disabled",
    "link": "text.link",
    "good": "status.good",
    "bad": "status.bad",
    "warn": "status.warn",
    "error": "status.error",
    "info": "status.info",
}


def style_sheet(design: Design) -> str:
    """The application's whole style sheet in the design in force."""
    px = design.px
    names: dict[str, str] = {}
    for group in ("bg", "text", "border", "accent", "status"):
        for key, value in design.tokens["themes"][design.name][group].items():
            names[f"{group}_{key}"] = value
    for size in (2, 4, 6, 8, 12, 14, 16, 20, 24):
        names[f"p{size}"] = str(px(size))
    for size in (11, 12):
        names[f"s{size}"] = str(px(size))
    heights = design.tokens["height"]
    names |= {
        # a border of 1 px above and below belongs to the height the design states
        "control_in": str(px(heights["control"]) - 2),
        "small": str(px(heights["control_small"])),
        "small_in": str(px(heights["control_small"]) - 2),
        "inline_in": str(px(heights["control_inline"]) - 2),
        "main_in": str(px(heights["button_main"]) - 2),
        "tool_in": str(px(heights["control"]) - 2 - 2 * px(2)),
        "compact_in": str(px(heights["control_small"]) - 2),
        "rail_item": str(px(heights["rail_item"]) - 2 * px(6)),
        "rail": str(design.width("rail") - 1),
        "tree_row": str(px(heights["tree_row"])),
        "table_header": str(px(heights["table_header"]) - 1),
        "progress": str(px(heights["progress"])),
        "rbar": str(px(heights["progress"]) // 2),
        "icon": str(design.icon_size()),
        "bar": str(design.width("scroll_bar")),
        "barr": str(max(1, design.width("scroll_bar") // 2 - 2)),
        "r": str(design.radius("control")),
        "rcheck": str(design.radius("checkbox")),
        "rcard": str(design.radius("card")),
        "rradio": str(px(8)),
        "icon_down": tinted_file(design, "chevron-down", "text.secondary"),
        "icon_up": tinted_file(design, "chevron-up", "text.secondary"),
        "icon_right": tinted_file(design, "chevron-right", "text.secondary"),
        "icon_check": tinted_file(design, "check", "text.on_accent"),
        "icon_dash": tinted_file(design, "dash", "text.on_accent"),
    }
    parts = [_BASE.substitute(names)]
    for role, spec in design.tokens["type"]["scale"].items():
        family = f'font-family: "{design.mono_family()}"; ' if role == "mono" else ""
        weight = spec["weight"]
        parts.append(f'*[role="{role}"] {{ {family}font-size: {px(spec["size"])}px; font-weight: {weight}; }}')
    parts += [f'*[tone="{tone}"] {{ color: {design.hex(path)}; }}' for tone, path in _TONES.items()]
    parts += [f'*[strong="{weight}"] {{ font-weight: {weight}; }}' for weight in (500, 600)]
    grounds = ("window", "panel", "base", "header", "raised")
    parts += [f'*[ground="{g}"] {{ background: {design.hex(f"bg.{g}")}; }}' for g in grounds]
    parts += [
        f'QLabel[status="{s}"] {{ background: {design.hex(f"status.{s}_soft")}; color: {design.hex(f"status.{s}")}; '
        f"border-radius: {design.radius('chip')}px; padding: 0 {px(6)}px; }}"
        for s in ("good", "bad", "warn", "error", "info", "neutral")
    ]
    return "\n".join(parts)
