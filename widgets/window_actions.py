"""The frame's own actions as data: files, look, pages, help. Pages add theirs. Main thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from widgets.actions import Action
from widgets.theme import MODES, SCALES

if TYPE_CHECKING:
    from widgets.window import Window

PAGES = (
    ("setup", "Setup", "sliders", "Models, techniques, workload, and the plan"),
    ("monitor", "Monitor", "pulse", "What is happening now"),
    ("compare", "Compare", "bars", "What was learned"),
    ("machines", "Machines", "server", "Computers, devices, sensors and engines"),
    ("settings", "Settings", "gear", "Look, costs and estimates, database, disk"),
)
"""name, title, icon, tooltip; in the order of the rail"""

_MODE_TITLES = {"light": "Light", "dark": "Dark", "system": "As the system"}


def frame_actions(window: Window) -> tuple[Action, ...]:
    """Everything the frame offers by itself."""
    return (
        Action(
            id="file.new",
            text="New experiment",
            handler=window.new_experiment,
            shortcut="Ctrl+N",
            icon="sliders",
            menu="File",
            words="set up start over",
        ),
        Action(
            id="file.open",
            text="Open experiment file or model",
            handler=window.open_file,
            shortcut="Ctrl+O",
            icon="folder",
            menu="File",
            words="toml gguf",
        ),
        Action(
            id="file.import",
            text="Import experiment…",
            handler=window.import_experiment,
            icon="folder",
            menu="File",
            group="database",
            enabled=window.is_open,
            reason="the database is not open",
            words="bundle parquet folder",
        ),
        Action(
            id="file.database",
            text="Choose another database",
            handler=window.choose_database,
            icon="server",
            menu="File",
            group="database",
        ),
        Action(id="file.quit", text="Quit", handler=window.quit_, shortcut="Ctrl+Q", menu="File", group="quit"),
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
        *_page_actions(window),
        Action(
            id="view.palette",
            text="Command palette",
            handler=window.show_palette,
            shortcut="Ctrl+K",
            icon="search",
            menu="View",
            group="find",
        ),
        Action(
            id="view.messages",
            text="Messages",
            handler=window.toggle_history,
            shortcut="Ctrl+Shift+M",
            icon="bell",
            menu="View",
            group="find",
            words="toasts history notifications",
        ),
        *_look_actions(window),
        Action(
            id="view.zoom-in",
            text="Zoom in",
            handler=partial(window.zoom, 1),
            shortcut="Ctrl++, Ctrl+=",
            icon="plus",
            menu="View",
            group="zoom",
        ),
        Action(
            id="view.zoom-out",
            text="Zoom out",
            handler=partial(window.zoom, -1),
            shortcut="Ctrl+-",
            icon="minus",
            menu="View",
            group="zoom",
        ),
        Action(
            id="view.zoom-reset",
            text="Normal zoom",
            handler=partial(window.zoom, 0),
            shortcut="Ctrl+0",
            menu="View",
            group="zoom",
        ),
        Action(
            id="view.reset-layout",
            text="Reset layout",
            handler=window.reset_layout,
            menu="View",
            group="layout",
            words="splitters panels columns",
        ),
        Action(
            id="run.demo",
            text="Run the demo",
            handler=window.run_demo,
            icon="play",
            menu="Run",
            enabled=window.can_run_demo,
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
            checked=window.is_paused,
            enabled=window.has_queue,
            reason="the runner has not answered yet",
            words="resume go on",
        ),
        Action(
            id="help.shortcuts",
            text="Keyboard shortcuts",
            handler=window.show_shortcuts,
            shortcut="F1",
            icon="keyboard",
            menu="Help",
        ),
        Action(
            id="help.crashes",
            text="Open the folder of crash reports",
            handler=window.open_crashes,
            icon="folder",
            menu="Help",
        ),
        Action(id="help.about", text="About", handler=window.show_about, icon="info", menu="Help", group="about"),
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


def _look_actions(window: Window) -> tuple[Action, ...]:
    modes = tuple(
        Action(
            id=f"view.theme-{mode}",
            text=_MODE_TITLES[mode],
            handler=partial(window.choose_look, mode=mode),
            menu="View/Theme",
            group="look",
            checked=partial(_is_mode, window, mode),
            words="theme colours",
        )
        for mode in MODES
    )
    scales = tuple(
        Action(
            id=f"view.scale-{round(scale * 100)}",
            text=f"{scale:.0%}",
            handler=partial(window.choose_look, scale=scale),
            menu="View/Text size",
            group="look",
            checked=partial(_is_scale, window, scale),
            words="text size scale",
        )
        for scale in SCALES
    )
    return (*modes, *scales)


def _is_mode(window: Window, mode: str) -> bool:
    return window.theme.mode == mode


def _is_scale(window: Window, scale: float) -> bool:
    return abs(window.theme.scale - scale) < 0.01
