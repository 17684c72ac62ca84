"""What Machines offers in menus and palette; the page says what each does. Main thread."""

from __future__ import annotations

from widgets.shell.entries import Entry

ENTRIES = (
    Entry("machines.add", "Add a machine…", "Machines", icon="plus", words="remote ssh slurm gpu cluster server host"),
    Entry("machines.look", "Look again at the machine", "Machines", shortcut="F5", icon="refresh"),
    Entry("machines.copy-report", "Copy machine report", "Machines", icon="copy", anywhere=True),
    Entry(
        "machines.restart-runner",
        "Restart the runner",
        "Machines",
        icon="refresh",
        words="update upgrade reload plug-in package engines",
    ),
    Entry(
        "machines.install-engine",
        "Install a missing engine…",
        "Machines",
        icon="terminal",
        words="gguf llama.cpp llama-cpp-python torch transformers pip compile",
    ),
)
