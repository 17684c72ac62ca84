"""The window's own actions as data: files, look, pages, help. Pages add theirs. Main thread."""

from __future__ import annotations

from functools import partial

from widgets.shell.actions import Action
from widgets.shell.rail import PAGES
from widgets.shell.window import Window
from widgets.theme.design import MODES, SCALES

_MODE_TITLES = {"light": "Light", "dark": "Dark", "system": "As the system"}


def window_actions(window: Window) -> tuple[Action, ...]:
    """Everything the window offers by itself."""
    parts = (_file_actions, _page_actions, _view_actions, _run_actions, _help_actions)
    return tuple(action for part in parts for action in part(window))


def _file_actions(window: Window) -> tuple[Action, ...]:
    file = partial(Action, menu="File")
    database = partial(file, group="database")
    return (
        file(
            id="file.new",
            text="New experiment",
            handler=window.new_experiment,
            shortcut="Ctrl+N",
            icon="sliders",
            words="set up start over",
        ),
        file(
            id="file.open",
            text="Open experiment file or model",
            handler=window.file_opener.ask,
            shortcut="Ctrl+O",
            icon="folder",
            words="toml gguf",
        ),
        database(
            id="file.import",
            text="Import experiment…",
            handler=window.file_opener.bundles.ask_import,
            icon="folder",
            enabled=window.database.is_open,
            reason="the database is not open",
            words="bundle parquet folder",
        ),
        database(id="file.database", text="Choose another database", handler=window.database.ask, icon="server"),
        file(id="file.quit", text="Quit", handler=window.quit_, shortcut="Ctrl+Q", group="quit"),
        Action(
            id="edit.undo",
            text="Undo",
            handler=window.undo,
            shortcut="Ctrl+Z",
            icon="undo",
            menu="Edit",
            enabled=window.can_undo,
            reason="nothing on this page to take back",
        ),
    )


def _page_actions(window: Window) -> tuple[Action, ...]:
    return tuple(
        Action(
            id=f"page.{name}",
            text=f"Show {title}",
            handler=partial(window.navigate, name, None),
            shortcut="Ctrl+," if name == "settings" else f"Ctrl+{index + 1}",
            icon=icon_name,
            menu="View",
            group="pages",
            words=tip,
        )
        for index, (name, title, icon_name, tip) in enumerate(PAGES)
    )


def _view_actions(window: Window) -> tuple[Action, ...]:
    view = partial(Action, menu="View")
    find, zoom = partial(view, group="find"), partial(view, group="zoom")
    return (
        find(
            id="view.palette",
            text="Command palette",
            handler=window.cards.open_palette,
            shortcut="Ctrl+K",
            icon="search",
        ),
        find(
            id="view.messages",
            text="Messages",
            handler=window.toggle_history,
            shortcut="Ctrl+Shift+M",
            icon="bell",
            words="toasts history notifications",
        ),
        *_look_actions(window),
        zoom(
            id="view.zoom-in",
            text="Zoom in",
            handler=partial(window.zoom, 1),
            shortcut="Ctrl++, Ctrl+=",
            icon="plus",
        ),
        zoom(id="view.zoom-out", text="Zoom out", handler=partial(window.zoom, -1), shortcut="Ctrl+-", icon="minus"),
        zoom(id="view.zoom-reset", text="Normal zoom", handler=partial(window.zoom, 0), shortcut="Ctrl+0"),
        view(
            id="view.reset-layout",
            text="Reset layout",
            handler=window.reset_layout,
            group="layout",
            words="splitters panels columns",
        ),
    )


def _look_actions(window: Window) -> tuple[Action, ...]:
    theme = window.theme
    mode = partial(Action, menu="View/Theme", group="look", words="theme colours")
    scale = partial(Action, menu="View/Text size", group="look", words="text size scale")

    def is_mode(name: str) -> bool:
        return theme.mode == name

    def is_scale(size: float) -> bool:
        return abs(theme.scale - size) < 0.01

    modes = tuple(
        mode(
            id=f"view.theme-{name}",
            text=_MODE_TITLES[name],
            handler=partial(window.choose_look, mode=name),
            checked=partial(is_mode, name),
        )
        for name in MODES
    )
    scales = tuple(
        scale(
            id=f"view.scale-{round(size * 100)}",
            text=f"{size:.0%}",
            handler=partial(window.choose_look, scale=size),
            checked=partial(is_scale, size),
        )
        for size in SCALES
    )
    return (*modes, *scales)


def _run_actions(window: Window) -> tuple[Action, ...]:
    return (
        Action(
            id="run.demo",
            text="Run the demo",
            handler=window.demo_messages.run,
            icon="play",
            menu="Run",
            enabled=window.demo_messages.can_run,
            reason="the database is not open, or a demo is under way",
        ),
        Action(
            id="run.pause",
            text="Pause queue",
            handler=window.toggle_pause,
            shortcut="Ctrl+P",
            icon="pause",
            menu="Run",
            group="queue",
            checked=lambda: window.strip.view.paused,
            enabled=lambda: window.bridge.queue is not None,
            reason="the runner has not answered yet",
            words="resume go on",
        ),
    )


def _help_actions(window: Window) -> tuple[Action, ...]:
    help_ = partial(Action, menu="Help")
    return (
        help_(
            id="help.shortcuts",
            text="Keyboard shortcuts",
            handler=window.cards.open_sheet,
            shortcut="F1",
            icon="keyboard",
        ),
        help_(
            id="help.crashes",
            text="Open the folder of crash reports",
            handler=window.open_crashes,
            icon="folder",
        ),
        help_(id="help.about", text="About", handler=window.cards.open_about, icon="info", group="about"),
    )
