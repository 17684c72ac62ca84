"""What one can do on the Setup page, for menus, shortcuts and the palette. Main thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from widgets.actions import Action
from workbench.studies import STUDIES

if TYPE_CHECKING:
    from widgets.setup.page import SetupPage


def setup_actions(page: SetupPage) -> tuple[Action, ...]:
    return (
        Action(
            id="setup.save",
            text="Save experiment",
            handler=page.save,
            shortcut="Ctrl+S",
            icon="save",
            menu="File",
            group="save",
            page="setup",
        ),
        Action(
            id="setup.save-as",
            text="Save experiment as",
            handler=page.save_as,
            shortcut="Ctrl+Shift+S",
            menu="File",
            group="save",
            page="setup",
        ),
        Action(
            id="setup.run",
            text="Run the plan",
            handler=page.run,
            shortcut="Ctrl+Return, Ctrl+Enter",
            icon="play",
            menu="Run",
            page="setup",
            enabled=page.can_run,
            reason="there is nothing that can be run; the Run button says why",
            words="start submit queue trials",
        ),
        Action(
            id="setup.find",
            text="Find a model",
            handler=page.models.focus_search,
            shortcut="Ctrl+F",
            icon="search",
            menu="Edit",
            page="setup",
            words="hub id search",
        ),
        Action(
            id="setup.fixes",
            text="Fixes of the configuration",
            handler=page.plan.table.open_fixes,
            shortcut="Alt+Return, Alt+Enter",
            menu="Edit",
            page="setup",
            words="problem leave out",
        ),
        Action(
            id="setup.rename",
            text="Name the experiment",
            handler=page.tools.focus_name,
            shortcut="F2",
            menu="Edit",
            page="setup",
        ),
        Action(
            id="setup.add-folder",
            text="Add a folder of models",
            handler=page.add_folder,
            icon="folder",
            menu="File",
            page="setup",
        ),
        Action(
            id="setup.fetch-starter",
            text="Fetch the starter model, 93 MB",
            handler=page.shelf.fetch,
            menu="File",
            page="setup",
            enabled=lambda: page.shelf.library.scanned and not page.shelf.library.starter_here,
            reason="it is here already",
        ),
        Action(
            id="setup.copy-command",
            text="Copy the command of this experiment",
            handler=page.copy_command,
            icon="terminal",
            menu="Edit",
            page="setup",
        ),
        *(
            Action(
                id=f"setup.study-{study.id}",
                text=f"{study.title} of the chosen model",
                handler=partial(page.openings.study, study.id),
                icon="target",
                menu="File",
                page="setup",
                words=f"{study.sentence} preset gguf quantisation",
            )
            for study in STUDIES
        ),
        Action(
            id="setup.look",
            text="Look at this computer again",
            handler=page.look_again,
            shortcut="F5",
            icon="refresh",
            menu="Machines",
            page="setup",
        ),
    )
