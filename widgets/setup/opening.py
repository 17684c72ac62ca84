"""Where an experiment comes from: a file, a preset, a stored trial, nothing. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject

from engines.models import artifacts
from engines.protocol.problems import Problem, ProblemsFound
from widgets.setup.draft import State
from widgets.setup.draft_editor import DraftEditor
from widgets.setup.draft_session import DraftSession
from widgets.setup.files import Files
from widgets.setup.plan.problem_list import ProblemList
from widgets.shell.services import Services
from widgets.shell.targets import EditAsNew, MakeStudy, NewExperiment, OpenExperimentFile, UseModels, UsePrompts
from workbench.experiment.experiment import Experiment
from workbench.experiment.file import parse
from workbench.experiment.presets import Preset, presets
from workbench.experiment.studies import LeftOut, find_study, make
from workbench.experiment.train_first import in_use, train_first
from workbench.store.operations import ExperimentDetail, GetExperiment, GetTrial, TrialRow
from workbench.units import counted

_NAMED = 6
"""Names in a message; the rest is counted."""


class Openings(QObject):
    """Fills the draft. What was in it before is one Ctrl+Z away."""

    def __init__(
        self,
        services: Services,
        session: DraftSession,
        editor: DraftEditor,
        files: Files,
        problems: ProblemList,
    ) -> None:
        super().__init__(session)
        self._services, self._session = services, session
        self._editor, self._files, self._problems = editor, files, problems
        self._trial: TrialRow | None = None

    def show(self, target: object) -> None:
        """A target of `widgets.shell.targets`."""
        if isinstance(target, OpenExperimentFile):
            self._files.open(target.path)
        elif isinstance(target, NewExperiment):
            self.start_over()
        elif isinstance(target, UsePrompts):
            self._editor.prompts(target.path)
            message = f"The prompts come from {target.path.name} now."
            self._services.toasts.show("info", message, "Ctrl+Z undoes it.")
        elif isinstance(target, UseModels):
            self.use_models(target.folders)
        elif isinstance(target, MakeStudy):
            self.study(target.study)
        elif isinstance(target, EditAsNew):
            self._services.bridge.run(GetTrial(trial=target.trial), self._trial_found, self._failed)

    def start_over(self) -> None:
        draft = self._session.draft
        self._problems.close_list()
        if draft.state == State():
            return
        was_edited, name = draft.is_edited, draft.experiment.name
        self._session.load(State(), "starting over")
        if was_edited:
            self._services.toasts.show(
                "info", f"A new experiment; the changes of “{name}” are kept.", "Ctrl+Z brings it back."
            )

    def preset(self, preset: Preset) -> None:
        """A copy of an experiment that comes with the application: it is no file of the user's yet. A study is made for
        the chosen model and this machine."""
        if find_study(preset.id) is not None:
            self.study(preset.id)
        else:
            self._as_it_stands(preset)

    def _as_it_stands(self, preset: Preset) -> None:
        self._problems.close_list()
        experiment = preset.experiment
        self._session.load(State(experiment, experiment, None, "Preset"), f"opening “{preset.title}”")

    def study(self, id: str) -> None:
        """A ready-made study of the model that is chosen, else of its preset's, on this machine. Where the preset's
        model is not there yet, the preset unchanged: its plan says how to get it."""
        study, workbench = find_study(id), self._services.workbench
        if study is None:
            return
        preset = next(p for p in presets() if p.id == study.preset)
        if workbench is None:
            self._as_it_stands(preset)
            return
        chosen, base = self._session.experiment.models, self._session.draft.base
        ref = (*chosen, *preset.experiment.models)[0]

        def done(made: tuple[Experiment, tuple[LeftOut, ...]]) -> None:
            experiment, left_out = made
            self._problems.close_list()
            self._session.load(State(experiment, experiment, None, study.title), f"opening “{study.title}”")
            if left_out:
                self._services.toasts.show("info", *left_out_words(left_out))

        def failed(error: BaseException) -> None:
            if isinstance(error, ProblemsFound) and not chosen:
                self._as_it_stands(preset)
            elif isinstance(error, ProblemsFound):
                title = f"The {study.title.lower()} was not made. Nothing was changed."
                self._problems.show_problems(error.problems, title)
            else:
                self._failed(error)

        self._services.bridge.run(
            lambda: make(study, ref, workbench.places, workbench.probe(), base), done, failed, receiver=self
        )

    # --- train, then use --------------------------------------------------------------------------

    def trains(self) -> bool:
        return self._session.experiment.workload.kind == "training"

    def train_first(self) -> None:
        """An experiment of inference whose models this one trains, in place of it."""
        try:
            made = train_first(self._session.experiment)
        except ProblemsFound as error:
            self._problems.show_problems(error.problems, "No model would be trained. Nothing was changed.")
            return
        self._problems.close_list()
        new = len(made.trained) - len(self._session.experiment.trained)
        self._session.load(State(made, made, None, "Trained first"), "training these models first")
        self._services.toasts.show(
            "info",
            f"{counted(new, 'models')} trained first, then compared with the models as they are.",
            "Choose what is measured, and precisions if you like. Ctrl+Z brings the fine-tuning back.",
        )

    def use_models(self, folders: Sequence[Path]) -> None:
        """An experiment of inference on what trials have kept."""
        made = {str(folder): one for folder in folders if (one := artifacts.read(folder)) is not None}
        if not made:
            self._services.toasts.show("error", "What the trial kept is not there any more.", "Nothing was changed.")
            return
        experiment = in_use(made)
        self._problems.close_list()
        self._session.load(State(experiment, experiment, None, "Trained models"), "using trained models")
        self._services.toasts.show(
            "info",
            "The trained model is beside the one it was trained from."
            if len(made) == 1
            else f"{counted(len(made), 'trained models')} are beside what they were trained from.",
            "Choose what is measured, and precisions if you like. Ctrl+Z brings the earlier experiment back.",
        )

    # --- files ------------------------------------------------------------------------------------

    def file_read(self, path: Path, experiment: Experiment | None, problems: tuple[Problem, ...]) -> None:
        """A file was read: open it, or say everything that is wrong with it and change nothing."""
        count = counted(len(problems), "problems")
        if experiment is None:
            self._problems.show_problems(problems, f"{path.name} was not opened: {count}. Nothing was changed.")
            return
        self._problems.show_problems(problems, f"{path.name} was opened with {count}." if problems else "")
        self._session.load(State(experiment, experiment, path), f"opening {path.name}")

    # --- stored trials ----------------------------------------------------------------------------

    def _trial_found(self, trial: TrialRow) -> None:
        self._trial = trial
        self._services.bridge.run(GetExperiment(experiment=trial.experiment), self._experiment_found, self._failed)

    def _experiment_found(self, detail: ExperimentDetail) -> None:
        trial = self._trial
        experiment, problems = parse(detail.experiment.definition, detail.experiment.name)
        if experiment is None or trial is None:
            title = f"The experiment “{detail.experiment.name}” cannot be edited by this version. Nothing was changed."
            self._problems.show_problems(problems, title)
            return
        self._problems.close_list()
        experiment = msgspec.structs.replace(experiment, seed=None)  # a new experiment draws an order of its own
        self._session.load(State(experiment, experiment, None, f"Based on trial {trial.number}"), "editing as new")

    def _failed(self, error: BaseException) -> None:
        self._services.toasts.error(error)


def left_out_words(left_out: Sequence[LeftOut]) -> tuple[str, str]:
    """ "4 precisions are left out, which cannot run here." and which, as far as a message has room."""
    names, more = [item.title for item in left_out[:_NAMED]], len(left_out) - _NAMED
    which = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    one = len(left_out) == 1
    said = "1 precision is" if one else f"{len(left_out)} precisions are"
    where = "Its grey row in Techniques says why." if one else "Their grey rows in Techniques say why."
    return f"{said} left out, which cannot run here.", f"{which}. {where}"
