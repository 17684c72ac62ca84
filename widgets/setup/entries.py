"""What Setup offers in menus and palette; `page_actions` says what each does. Main thread."""

from __future__ import annotations

from widgets.shell.entries import Entry

ENTRIES = (
    Entry("setup.save", "Save experiment", "File", "save", shortcut="Ctrl+S", icon="save"),
    Entry("setup.save-as", "Save experiment as", "File", "save", shortcut="Ctrl+Shift+S"),
    Entry(
        "setup.run",
        "Run the plan",
        "Run",
        shortcut="Ctrl+Return, Ctrl+Enter",
        icon="play",
        words="start submit queue trials",
    ),
    Entry("setup.find", "Find a model", "Edit", shortcut="Ctrl+F", icon="search", words="hub id search"),
    Entry(
        "setup.fixes",
        "Fixes of the configuration",
        "Edit",
        shortcut="Alt+Return, Alt+Enter",
        words="problem leave out",
    ),
    Entry("setup.rename", "Name the experiment", "Edit", shortcut="F2"),
    Entry("setup.add-folder", "Add a folder of models", "File", "models", icon="folder"),
    Entry("setup.fetch-starter", "Fetch the starter model, 93 MB", "File", "models"),
    Entry("setup.copy-command", "Copy the command of this experiment", "Edit", icon="terminal"),
    # one for each of `workbench.experiment.studies.STUDIES`, which is too much to import before the window is painted
    Entry(
        "setup.study-precision",
        "Precision study of the chosen model",
        "File",
        icon="target",
        words="every precision both engines preset gguf quantisation",
    ),
    Entry(
        "setup.study-architecture",
        "Architecture study of the chosen shape",
        "File",
        icon="target",
        words="attention cost length cache memory prefill decode crossing exponent preset",
    ),
    Entry(
        "setup.train-first",
        "Train these models first, then compare them",
        "Run",
        words="fine-tuning trained merge quantise inference use as model",
    ),
    Entry("setup.look", "Look at this computer again", "Machines", shortcut="F5", icon="refresh"),
)
