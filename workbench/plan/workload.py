"""What a workload needs beside a model: the user's own prompts or data, tasks, the program that scores them, their
questions.

Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from engines.data.own import Found, FoundData, FoundPrompts
from engines.protocol.messages import ProbeResult
from engines.protocol.problems import Problem, Severity
from engines.protocol.settings import did_you_mean
from engines.protocol.tasks import FETCH, FETCH_THERE, HARNESS, LOCAL_TASKS, harness_name, harness_task, local_task
from workbench.experiment.experiment import Experiment
from workbench.plan.data import data_problems


def own_problems(experiment: Experiment, own: Found | Problem | None) -> Iterator[Problem]:
    """What is wrong with what `find_own` found, and what is worth knowing of it."""
    yield from prompt_problems(experiment, None if isinstance(own, FoundData) else own)
    yield from data_problems(experiment, None if isinstance(own, FoundPrompts) else own)


def prompt_problems(experiment: Experiment, prompts: FoundPrompts | Problem | None) -> Iterator[Problem]:
    """What is wrong with the prompts, and what is worth knowing of them."""
    load = experiment.workload.inference
    if load is None:
        return
    if prompts is None:
        if load.prompt_file:
            yield _of_prompts("error", "The prompt file was not looked up.")
        return
    if isinstance(prompts, Problem):
        yield prompts
        return
    batch = max(experiment.workload.whole("batch_size"))
    if prompts.different < batch:
        yield _of_prompts(
            "error",
            f"The file holds {prompts.different} different prompts; a batch of {batch} would hold one twice.",
            f"Write at least {batch} prompts, or take a smaller batch.",
        )
    elif prompts.different < batch * load.requests:
        yield _of_prompts(
            "warning",
            f"The file holds {prompts.different} different prompts for {batch * load.requests} measured sequences.",
            "They come again, with other text before them.",
        )
    if prompts.repeated:
        what = "line says" if prompts.repeated == 1 else "lines say"
        yield _of_prompts("note", f"{prompts.repeated} {what} what an earlier one says, and count once.")


def task_problems(experiment: Experiment, machine: ProbeResult, *, here: bool = True) -> Iterator[Problem]:
    """Tasks that there are not, and what is missing for those there are. What is missing is a warning: the other
    figures are measured without it."""
    load = experiment.workload.inference
    tasks = load.tasks if load is not None else ()
    known = [name for name in tasks if local_task(name) or harness_name(name)]
    for name in tasks:
        if name not in known:
            names = [task.id for task in LOCAL_TASKS]
            hint = did_you_mean(name, names) + f' A task of the harness is written "{HARNESS}:NAME".'
            yield _of_tasks("error", f"There is no task {name!r}.", hint)
    if not known:
        return
    harness = next((p for p in machine.packages if p.name == HARNESS), None)
    if harness is None or not harness.version:
        command = harness.install if harness is not None else f"pip install '{HARNESS}'"
        yield _of_tasks("warning", f"Accuracy will be missing: {HARNESS} is not installed.", f"Install it: {command}")
    missing = [name for name in known if local_task(name) and name not in machine.task_data]
    if missing:
        what = f"the questions of {', '.join(missing)} are not {'on this computer' if here else 'there'}"
        how = f"Fetch them: {FETCH}" if here else f"Fetch them there: {FETCH_THERE}"
        yield _of_tasks("warning", f"Accuracy will be missing: {what}.", how)
    yield from _online_notes([theirs for name in known if (theirs := harness_name(name))])


def _online_notes(names: list[str]) -> Iterator[Problem]:
    """What tasks of the harness need beside a model, of those that something is known of."""
    if not names:
        return
    titles = ", ".join(task.title if (task := harness_task(name)) else name for name in names)
    yield _of_tasks(
        "note",
        f"The questions of {titles} come from the network when they are run.",
        "Where the hub cannot be reached the trials say so within seconds, and keep their other figures.",
    )
    known = [task for name in names if (task := harness_task(name))]
    guarded = ", ".join(task.title for task in known if task.account)
    if guarded:
        hint = "Agree to their terms on their page of the hub, and set HF_TOKEN."
        yield _of_tasks("note", f"The questions of {guarded} are given to people with an account on the hub.", hint)
    extras = sorted({task.extra for task in known if task.extra})
    if extras:
        titles = " and ".join(task.title for task in known if task.extra)
        hint = f"Install them where the runner runs: pip install '{HARNESS}[{','.join(extras)}]'"
        yield _of_tasks("note", f"{titles} may need further packages.", hint)


def needs_network(tasks: tuple[str, ...]) -> bool:
    """Whether a task's questions are fetched when it runs."""
    return any(harness_name(name) for name in tasks)


def _of_prompts(severity: Severity, message: str, hint: str = "") -> Problem:
    return Problem(severity=severity, place="workload.prompt_file", message=message, hint=hint)


def _of_tasks(severity: Severity, message: str, hint: str = "") -> Problem:
    return Problem(severity=severity, place="workload.tasks", message=message, hint=hint)
