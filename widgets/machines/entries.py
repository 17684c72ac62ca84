"""What Machines offers in menus and palette; the page says what each does. Main thread."""

from __future__ import annotations

from engines.catalogue import EngineInfo, engines
from widgets.shell.entries import Entry


def install_entry(engine: EngineInfo) -> str:
    """Id of what installs an engine."""
    return f"machines.install-{engine.id}"


ENTRIES = (
    Entry("machines.look", "Look again at this computer", "Machines", shortcut="F5", icon="refresh"),
    Entry("machines.copy-report", "Copy machine report", "Machines", icon="copy", anywhere=True),
    *(
        Entry(
            install_entry(engine),
            f"Install the {engine.title} engine…",
            "Machines",
            icon="terminal",
            words=f"{' '.join(engine.packages)} pip",
        )
        for engine in engines()
        if engine.packages
    ),
)
