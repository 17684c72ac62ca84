"""What the Setup page's entries in the registry of actions do, and when they can. Main thread."""

from __future__ import annotations

from functools import partial

from widgets.setup.entries import ENTRIES
from widgets.setup.page import SetupPage
from widgets.shell.actions import Action
from widgets.shell.entries import Does, fulfilled
from workbench.experiment.studies import STUDIES


def page_actions(page: SetupPage) -> tuple[Action, ...]:
    """The page's actions, one of each of `ENTRIES`; their handlers are methods of its parts."""
    does = {
        "save": Does(page.save),
        "save-as": Does(page.save_as),
        "run": Does(page.run, page.can_run, "nothing can run; the Run button says why"),
        "find": Does(page.models.focus_search),
        "fixes": Does(page.plan.table.open_fixes),
        "rename": Does(page.tools.focus_name),
        "add-folder": Does(page.add_folder),
        "fetch-starter": Does(
            page.model_search.fetch, page.model_search.lacks_starter, "it is already on this computer"
        ),
        "copy-command": Does(page.copy_command),
        "look": Does(page.look_again),
        "train-first": Does(
            page.openings.train_first, page.openings.trains, "Setup shows no fine-tuning; choose it on top"
        ),
        **{f"study-{study.id}": Does(partial(page.openings.study, study.id)) for study in STUDIES},
    }
    return fulfilled(ENTRIES, {f"setup.{id}": made for id, made in does.items()})
