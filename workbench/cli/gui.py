"""`llm-workbench gui`: the one place where the command line reaches up to the window, late and by name."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.cli import WRONG

if TYPE_CHECKING:
    from workbench.running.demo import DemoReport


def has_display() -> bool:
    """Whether a window can be shown: a display server is named, or a platform was chosen on purpose."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("QT_QPA_PLATFORM"))


def gui(options: argparse.Namespace) -> int:
    """Open the window and stay until it is closed."""
    if not has_display():
        print(
            "llm-workbench: There is no display here, so no window can open.\n"
            "  Everything works without one: `llm-workbench demo --headless`, `llm-workbench run FILE`.",
            file=sys.stderr,
        )
        return WRONG
    return open_window(
        database=options.database,
        files=tuple(options.files),
        settings=options.settings,
        until_eof=options.until_eof,
    )


def open_window(
    *,
    database: Path | None,
    files: tuple[Path, ...] = (),
    demo: bool = False,
    on_demo_report: Callable[[DemoReport], None] | None = None,
    settings: Path | None = None,
    until_eof: bool = False,
) -> int:
    """Open the window; with `demo` on the Monitor page, running it. -> exit code when it is closed"""
    from widgets.app import main

    return main(
        database=database,
        files=files,
        demo=demo,
        on_demo_report=on_demo_report,
        settings=settings,
        until_eof=until_eof,
    )
