"""`llm-workbench gui`: the one place where the command line reaches up to the window, late and by name."""

from __future__ import annotations

import argparse
import os
import sys

from workbench.cli import WRONG


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
    from widgets.app import main

    return main(database=options.database, files=tuple(options.files))
