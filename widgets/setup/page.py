"""The Setup page: puts the panels together around one draft. Main thread.

Every edit goes through `session`: the draft changes, the panels show it at once, the planner is asked, and its answer
fills reasons, plan and Run. Nothing here waits.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSettings, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from engines.models.lookup.catalogue import catalogue
from engines.protocol.problems import advice_of
from widgets.setup import edits
from widgets.setup.draft import dump_session, load_session
from widgets.setup.draft_editor import DraftEditor
from widgets.setup.draft_session import DraftSession
from widgets.setup.files import Files, read_paths, write_paths
from widgets.setup.kinds import FROM_SHAPES, TrainingPanels, WorkPanels, make_panels
from widgets.setup.machine.known import known_machines
from widgets.setup.machine.panel import MachinePanel
from widgets.setup.models.far_search import FarSearch
from widgets.setup.models.model_search import ModelSearch
from widgets.setup.models.panel import ModelsPanel
from widgets.setup.models.rows import FETCH, model_groups
from widgets.setup.models.there import Elsewhere
from widgets.setup.opening import Openings
from widgets.setup.panels import Halves, Panels
from widgets.setup.plan.panel import PlanPanel
from widgets.setup.plan.planner import Planned, Planner
from widgets.setup.plan.problem_list import ProblemList
from widgets.setup.plan.rows import PlanView
from widgets.setup.plan.run_bar import RunBar
from widgets.setup.plan.submit import Submission
from widgets.setup.techniques.panel import TechniquesPanel
from widgets.setup.toolbar import SetupTools
from widgets.setup.training.panel import TrainingPanel
from widgets.setup.workload.inference import InferencePanel
from widgets.setup.workload.panel import WorkPanel
from widgets.shell.page import Page
from widgets.shell.services import Services
from widgets.shell.targets import AddModel, ShowTrial
from workbench.experiment.experiment import Experiment
from workbench.experiment.presets import presets
from workbench.machines.machine import THIS
from workbench.plan.plan import Plan, command_line, hosts
from workbench.running.events import RunnerLink
from workbench.units import counted

_FIRST = {
    "inference": ("demo", "Set up the demo"),
    "training": ("lora-starter", "Set up LoRA on the starter"),
    FROM_SHAPES: ("pretraining-starter", "Set up four attentions"),
}
"""Of a kind of work the preset that an empty plan offers, and the words of its button."""
_FROM_MODELS = (
    "Choose a model and the plan appears here",
    "Models of the catalogue run with random weights at once: speed and memory are true, quality is not measured.",
)
_FROM_SHAPES = (
    "Choose a shape and the plan appears here",
    "A shape learns a text from random weights; techniques change one part of it at a time.",
)
_KEEP_MS = 1000
"""An edit is kept for the next session after this long without another."""


class SetupPage(Page):
    name = "setup"
    title = "Setup"
    icon = "sliders"

    def __init__(self, services: Services, parent: QWidget | None = None) -> None:
        super().__init__(services, parent)
        theme = services.theme
        self.session = DraftSession(
            load_session(str(services.settings.value("setup/session") or "")), self.undo_stack, self
        )
        self.draft = self.session.draft
        self._run_when_planned = False
        self.planner = Planner(services.bridge, self)
        self.model_search = ModelSearch(services, self)
        self.far_models = FarSearch(services, self)
        self.files = Files(services, self)
        self.editor = DraftEditor(services, self.session)
        self.submission = Submission(services, self)
        self.tools = SetupTools(theme, self.toolbar)
        self.models = ModelsPanel(theme)
        self.machine = MachinePanel(theme)
        self.plan = PlanPanel(theme)
        self.run_bar = RunBar(theme)
        self.file_problems = ProblemList(theme, "Problems of the file", closable=True, most_rows=10)
        self.openings = Openings(services, self.session, self.editor, self.files, self.file_problems)
        self.panels = Panels(theme, self.models, self.machine)
        self._kinds: dict[str, WorkPanels] = {}
        self.halves = Halves(theme, self.panels, self.plan)
        self.body.addWidget(self.file_problems)
        self.body.addWidget(self.halves, 1)
        self.body.addWidget(self.run_bar)
        self.foot = self.run_bar
        self._keep = QTimer(self, interval=_KEEP_MS, singleShot=True)
        self._keep.timeout.connect(self._keep_session)
        self.tools.fill_presets(presets())
        self._connect()
        self.show_draft(True)

    def _connect(self) -> None:
        self.session.changed.connect(self.show_draft)
        self.session.fields_checked.connect(self._show_run)
        self.planner.planned.connect(self._planned)
        self.planner.failed.connect(self._not_planned)
        self.model_search.changed.connect(self._show_models)
        self.far_models.changed.connect(self._show_models)
        self.model_search.fetched.connect(self._fetched)
        self.editor.copying.connect(self._copying)
        self.submission.submitted.connect(self._submitted)
        self.submission.first_found.connect(self._first_found)
        self.submission.failed.connect(self._not_submitted)
        self.files.read.connect(self.openings.file_read)
        self.files.written.connect(self._written)
        tools = self.tools
        tools.kind_changed.connect(self.session.turn)
        tools.name_changed.connect(self.editor.name)
        tools.name_broke.connect(self.editor.name_broke)
        tools.preset_wanted.connect(self.openings.preset)
        tools.recent_wanted.connect(self.files.open)
        tools.menu_opened.connect(self._fill_recent)
        tools.open_wanted.connect(self.files.ask_open)
        tools.save_wanted.connect(self.save)
        tools.start_over_wanted.connect(self.openings.start_over)
        self.models.toggled.connect(self.editor.model)
        self.models.fetch_wanted.connect(self.model_search.fetch)
        self.models.folder_wanted.connect(self.add_folder)
        self.machine.toggled.connect(self.editor.device)
        self.machine.refresh_wanted.connect(self.look_again)
        self.services.bridge.link_changed.connect(self._link_heard)
        self.services.bridge.machine_probed.connect(self._machine_heard)
        self.plan.problems.fix_wanted.connect(self.editor.fix_experiment)
        self.plan.problems.action_wanted.connect(self._problem_action)
        self.plan.table.fix_wanted.connect(self.editor.fix)
        self.plan.table.model_.leave_out_wanted.connect(self.editor.leave_out)
        self.plan.empty.button.clicked.connect(self._empty_action)
        self.run_bar.run_wanted.connect(self.run)
        self.run_bar.save_wanted.connect(self.save)
        self.run_bar.copy_wanted.connect(self.copy_command)
        self.run_bar.seeds_wanted.connect(self.editor.seeds)

    # --- kinds of work ----------------------------------------------------------------------------

    @property
    def kind(self) -> WorkPanels:
        """The panels of the kind of work that is shown; built when it is first shown."""
        kind = self.draft.experiment.workload.kind
        if kind not in self._kinds:
            made = self._kinds[kind] = make_panels(self.services.theme, kind, self.services.bridge)
            self.panels.show_kind(made)
            self._connect_kind(made)
            self.restore_splitters(self.services.settings, made)
            if self.planned is not None:
                made.work.show_machine(self.planned.probe)
        return self._kinds[kind]

    @property
    def techniques(self) -> TechniquesPanel:
        return self.kind.techniques

    @property
    def workload(self) -> WorkPanel:
        return self.kind.work

    def _connect_kind(self, made: WorkPanels) -> None:
        made.techniques.toggled.connect(self.editor.technique)
        made.techniques.parameter_changed.connect(self.editor.parameter)
        made.techniques.parameter_broke.connect(self.session.field_broke)
        made.techniques.install_wanted.connect(self.editor.install)
        made.work.changed.connect(self.editor.workload)
        made.work.broke.connect(self.session.field_broke)
        made.work.engine_changed.connect(self.editor.engine)
        made.work.install_wanted.connect(self.editor.install)
        if isinstance(made.work, InferencePanel):
            made.work.prompts_wanted.connect(self.editor.prompts)
            made.work.tasks_changed.connect(self.editor.tasks)
        if isinstance(made.work, TrainingPanel):
            made.work.values_wanted.connect(self.editor.values)
        if isinstance(made, TrainingPanels):
            made.data.changed.connect(self.editor.workload)
            made.data.broke.connect(self.session.field_broke)
            made.data.values_wanted.connect(self.editor.values)
            made.data.source.file_changed.connect(self._plan_again)
            made.training.train_first_wanted.connect(self._train_first)

    def _train_first(self) -> None:
        self.openings.train_first()

    # --- hooks ------------------------------------------------------------------------------------

    def activated(self) -> None:
        self.look_for_models()
        self._ask()

    def deactivated(self) -> None:
        self._keep_session()

    def show_target(self, target: object) -> None:
        if isinstance(target, AddModel):
            self.add_model(target.path)
        else:
            self.openings.show(target)

    def save_layout(self, settings: QSettings) -> None:
        super().save_layout(settings)
        self.plan.save(settings)
        self._keep_session()

    def restore_layout(self, settings: QSettings) -> None:
        super().restore_layout(settings)
        self.plan.restore(settings)

    def reset_layout(self) -> None:
        super().reset_layout()
        self.panels.reset()
        self.halves.reset()
        self.plan.reset()

    def shutdown(self) -> None:
        self._keep_session()
        self.planner.stop()

    # --- the draft --------------------------------------------------------------------------------

    @property
    def planned(self) -> Planned | None:
        """The last plan; None before the first, and after one that failed."""
        return self.session.planned

    @property
    def _plan(self) -> Plan | None:
        """The last plan of this kind of work."""
        planned = self.planned
        same = planned is not None and planned.experiment.workload.kind == self.draft.experiment.workload.kind
        return planned.plan if planned is not None and same else None

    @property
    def _view(self) -> PlanView:
        return self.planned.view if self.planned is not None and self._plan is not None else PlanView()

    def show_draft(self, force: bool = False) -> None:
        """Everything that shows the experiment. `force`: fields that were being mended take its values too."""
        draft, experiment = self.draft, self.draft.experiment
        kind = self.kind
        self.panels.show_kind(kind)
        self.tools.show_draft(
            experiment.workload.kind, experiment.name, edited=draft.is_edited, origin=draft.state.origin, force=force
        )
        self._show_models()
        kind.show_experiment(experiment, self.session.resolved, force=force)
        self._show_machine()
        if self._plan is None:
            self.plan.show_view(PlanView())
            self.plan.problems.show_problems(())
        self.run_bar.show_command(command_line(experiment, draft.path), saved=draft.is_on_disk)
        self._ask()
        self._show_run()
        self._keep.start()
        self.services.actions.update()

    def _show_models(self) -> None:
        chosen = self.draft.experiment.models
        self.far_models.want([host for host in hosts(self.draft.experiment) if host != THIS])
        search = self.model_search
        elsewhere = Elsewhere(self.far_models.machines, self._plan)
        shapes_first = self.draft.experiment.workload.kind == FROM_SHAPES
        groups = model_groups(
            search.library, chosen, self.session.resolved, search.fetching, elsewhere, shapes_first=shapes_first
        )
        self.models.show_groups(groups, len(chosen))
        self._show_empty()

    def _show_machine(self) -> None:
        if self.planned is not None:
            known = known_machines(self.services, self.planned.probe)
            self.machine.show_experiment(self.draft.experiment, known, self._plan)
            self.workload.show_machine(self.planned.probe)

    def _link_heard(self, link: RunnerLink) -> None:
        if link.state == "connected":
            self.far_models.heard_from(link.machine)
        self._machine_heard()

    def _machine_heard(self) -> None:
        """A link changed, or a machine has answered."""
        if self.isVisible():
            self._show_machine()

    def _keep_session(self) -> None:
        self._keep.stop()
        self.services.settings.setValue("setup/session", dump_session(self.draft.state))

    # --- planning ---------------------------------------------------------------------------------

    def _ask(self, *, refresh: bool = False, now: bool = False) -> None:
        self.planner.ask(self.draft.experiment, self.draft.base, refresh=refresh, now=now)

    def _plan_again(self) -> None:
        self._ask(now=True)

    def _copying(self) -> None:
        """A model or data is on its way to another machine, or has arrived."""
        self.far_models.forget()
        self._plan_again()

    def look_again(self) -> None:
        """Probe the machine anew and plan on what it says."""
        self.far_models.forget()
        self._ask(refresh=True, now=True)

    def _planned(self, planned: Planned) -> None:
        first = self.planned is None
        self.session.planned = planned
        view = planned.view
        self.plan.show_view(view)
        self.plan.problems.show_problems(view.problems, actions=self._problem_actions())
        self.kind.show_resolved(self.draft.experiment, planned.resolved, force=first and not self.session.broken)
        self._show_models()
        self._show_machine()
        self._show_run()
        if self._run_when_planned:
            self._run_when_planned = False
            self.run()

    def _not_planned(self, error: BaseException) -> None:
        self._run_when_planned = False
        self.session.planned = None
        advice = advice_of(error)
        self.plan.show_view(PlanView())
        self.plan.problems.show_problems(())
        self.plan.empty.set("The plan could not be made", f"{error} {advice}".strip())
        self.plan.empty.button.setText("Try again")
        self.plan.empty.button.show()
        self.machine.say(f"{error} {advice}".strip(), "error")
        self._show_run()

    def _show_empty(self) -> None:
        """Shown in the plan's place while there is none."""
        empty = self.plan.empty
        has_models = bool(self.draft.experiment.models)
        if has_models or self.model_search.fetching.active:
            if self.model_search.fetching.active:
                empty.set("The starter model is on its way", "Choose it, or another model, to see the plan.")
            elif self.session.is_planned:
                empty.set("There is no configuration to show", "The problems above say what is missing.")
            else:
                empty.set("Making the plan")
            empty.button.hide()
            return
        kind = self.draft.experiment.workload.kind
        empty.set(*(_FROM_SHAPES if kind == FROM_SHAPES else _FROM_MODELS))
        offer, first = self._offers_starter(), _FIRST.get(kind)
        empty.button.setText("Fetch the starter model, 93 MB" if offer else first[1] if first else "")
        empty.button.setVisible(bool(empty.button.text()))

    def _offers_starter(self) -> bool:
        """Whether the starter model is what a beginner lacks."""
        return self.draft.experiment.workload.kind != FROM_SHAPES and self.model_search.lacks_starter()

    def _empty_action(self) -> None:
        if self.planned is None and self.draft.experiment.models:
            self._ask(refresh=True, now=True)
        elif self._offers_starter():
            self.model_search.fetch()
        elif first := _FIRST.get(self.draft.experiment.workload.kind):
            self.openings.preset(next(preset for preset in presets() if preset.id == first[0]))

    def _problem_actions(self) -> dict[str, tuple[str, str]]:
        """The starter can be fetched where its absence is the problem."""
        here = self.model_search.library.starter_here or self.model_search.fetching.active
        return {} if here else {entry.id: ("fetch", FETCH) for entry in catalogue() if entry.starter}

    def _problem_action(self, key: str) -> None:
        if key == "fetch":
            self.model_search.fetch()

    # --- models -----------------------------------------------------------------------------------

    def look_for_models(self) -> None:
        settings = self.services.settings
        self.model_search.look(
            read_paths(settings, "setup/folders"), [str(p) for p in read_paths(settings, "setup/added")]
        )

    def add_folder(self) -> None:
        self.files.ask_folder(self.take_folder)

    def take_folder(self, folder: Path) -> None:
        """Look for models in this folder from now on; one that is a model is chosen at once."""
        if (folder / "config.json").is_file():
            self.add_model(folder)
            return
        self._remember("setup/folders", folder)
        self.look_for_models()

    def add_model(self, path: Path) -> None:
        """Take a model folder or GGUF file into the list and the experiment."""
        self._remember("setup/added", path)
        self.look_for_models()
        self.session.edit(edits.set_model(self.draft.experiment, str(path), True), "adding a model")

    def _remember(self, key: str, path: Path) -> None:
        settings = self.services.settings
        others = [p for p in read_paths(settings, key) if p != path]
        write_paths(settings, key, [*others, path])

    def _fetched(self) -> None:
        starter = next(entry for entry in catalogue() if entry.starter)
        self.look_for_models()
        if not self.draft.experiment.models:
            self.session.edit(edits.set_model(self.draft.experiment, starter.id, True), "choosing a model")
        else:
            self._ask(now=True)
        self.services.toasts.show("good", f"{starter.title} is on this computer now.")

    # --- files ------------------------------------------------------------------------------------

    def save(self) -> None:
        """Save where the experiment lies, or ask where."""
        if self.session.broken:
            self.services.toasts.show(
                "warning",
                f"A field is not valid: {next(iter(self.session.broken.values()))}",
                "Its last valid value is saved.",
            )
        if self.draft.path is None:
            self.save_as()
        else:
            self.files.save(self.draft.experiment, self.draft.path)

    def save_as(self) -> None:
        self.files.ask_save(self.draft.experiment)

    def _written(self, path: Path, experiment: Experiment) -> None:
        self.draft.mark_saved(path, experiment)
        self.undo_stack.setClean()  # what is typed next is a step of its own
        self.show_draft()
        self.services.toasts.show("good", f"Saved {path.name}.", str(path.parent))

    def _fill_recent(self) -> None:
        self.tools.fill_recent(self.files.recent())

    def copy_command(self) -> None:
        QGuiApplication.clipboard().setText(self.run_bar.command.text())
        if self.draft.is_on_disk:
            self.services.toasts.show("info", "The command is on the clipboard.")
        else:
            self.services.toasts.show(
                "warning",
                "The command is on the clipboard, but the experiment is not saved.",
                "The command reads the file: save it first.",
                action="Save",
                handler=self.save,
            )

    # --- running ----------------------------------------------------------------------------------

    @property
    def run_reason(self) -> str:
        """Why nothing can be run now, "" where something can."""
        if self.submission.busy:
            return "The trials are on their way to the runner."
        if self.session.broken:
            return next(iter(self.session.broken.values()))
        if self.services.workbench is None:
            return "The database is not open yet."
        if self.planned is None:
            return "There is no plan yet." if self.draft.experiment.models else "Choose a model first."
        if not self.draft.experiment.models:
            return "Choose a model first."
        return self.planned.view.reason if self.session.is_planned else ""

    def can_run(self) -> bool:
        return not self.run_reason

    def run(self) -> None:
        """Hand the plan to the runner; one that is still being made is run when it is there."""
        if not self.can_run():
            return
        if not self.session.is_planned or self.planned is None:
            self._run_when_planned = True
            self._ask(now=True)
            return
        self.submission.start(self.planned.plan)
        self._show_run()

    def _show_run(self) -> None:
        view = self._view
        text, time = view.run_text, view.run_time
        if self.submission.busy:
            text, time = f"Handing over {view.trials} trials", ""
        self.run_bar.show_seeing(view.seeing)
        self.run_bar.show_run(
            text,
            time,
            view.left_out,
            view.left_out_why,
            is_error=any(row.state == "cannot" for row in view.rows),
            reason=self.run_reason,
        )
        self.services.actions.update()

    def _submitted(self, _experiment: str, trials: int) -> None:
        self._show_run()
        self.services.toasts.show("good", f"{counted(trials, 'trials')} in the queue.")

    def _first_found(self, trial: str) -> None:
        self.services.navigate("monitor", ShowTrial(trial) if trial else None)

    def _not_submitted(self, error: BaseException) -> None:
        self._show_run()
        self.services.toasts.error(error)
