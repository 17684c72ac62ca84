"""Setting up a machine: look first, show every command, then run them. Blocking; a thread of the caller's own.

`look` changes nothing there. `SetUpRun.run` does the steps; whenever it ends, by a failure, by `stop` or because the
link broke, nothing half-made is left there.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from engines.protocol.client import RunnerError
from engines.protocol.problems import Problem, ProblemsFound
from workbench.machines.setup.failures import before, explained, is_there, not_spoken
from workbench.machines.setup.link import HelperEnded, RemoteHelper
from workbench.machines.setup.lock import Lock, lock
from workbench.machines.setup.plan import Choice, SetUpPlan, Step, fitting, python_of, steps
from workbench.machines.setup.shell import Shell
from workbench.machines.setup.wheel import EnginesWheel, engines_wheel

LAST_LINES = 200
_HAND = "python3"
_LARGE_TORCH = (
    "pip takes the build of torch for NVIDIA GPUs, several GB. For a machine without one: "
    "--index https://download.pytorch.org/whl/cpu"
)


@dataclass(frozen=True)
class StepStarted:
    number: int
    step: Step


@dataclass(frozen=True)
class Output:
    """A line that the running step printed: any text, without control characters."""

    line: str


@dataclass(frozen=True)
class StepEnded:
    number: int
    step: Step
    code: int


Told = StepStarted | Output | StepEnded


class SetUpFailed(RunnerError):
    """`problem` says why; `said` are the last lines of the step."""

    def __init__(self, problem: Problem, said: tuple[str, ...] = ()) -> None:
        super().__init__(f"{problem.place}: {problem.message}", problem.hint, code="setup")
        self.problem = problem
        self.said = said


def look(shell: Shell, choice: Choice, *, wheel: EnginesWheel | None = None, fixed: Lock | None = None) -> SetUpPlan:
    """What would be done there. `fixed`: this lock instead of the versions here. Raises `RunnerError` where the machine
    is not reached, `SetUpFailed` where no Python answers, `ProblemsFound` for a choice that cannot be."""
    starter = choice.python or _HAND
    try:
        with RemoteHelper(shell, starter) as helper:
            looked = helper.look(choice.base, choice.python)
    except HelperEnded as error:
        raise SetUpFailed(not_spoken(error.exit_code, error.said, starter), error.said) from error
    python = fitting(looked)
    made = fixed
    if made is None and python is not None:
        made = lock(choice.engines, python.minor, looked.machine, nvidia=looked.nvidia, index=choice.index)
    problems = before(looked, python, made, choice.python)
    if problems or python is None or made is None:
        return SetUpPlan((), problems, (), "", "", made, looked)
    packed = wheel or engines_wheel()
    todo = steps(looked, python, made, packed, token=secrets.token_hex(6), anew=choice.anew)
    return SetUpPlan(
        todo, (), _cautions(made, choice), python_of(looked, made, packed), f"{looked.base}/{made.hash}", made, looked
    )


def _cautions(made: Lock, choice: Choice) -> tuple[str, ...]:
    cautions = []
    if made.loose:
        cautions.append(f"Not installed here, so the package index decides on their versions: {', '.join(made.loose)}.")
    if made.has_torch and not choice.index:
        cautions.append(_LARGE_TORCH)
    return tuple(cautions)


class SetUpRun:
    """One run of a plan. `tell` is called on the thread of `run`."""

    def __init__(self, shell: Shell, plan: SetUpPlan, tell: Callable[[Told], None], python: str = "") -> None:
        self._shell, self._plan, self._tell = shell, plan, tell
        self._python = python or _HAND
        self._lock = threading.Lock()
        self._helper: RemoteHelper | None = None
        self._stopped = False

    def run(self) -> str:
        """-> the interpreter there that has the engines. Raises `RunnerError`: `SetUpFailed`, or of the link."""
        if not self._plan.can_start:
            raise ProblemsFound(self._plan.problems)
        said: deque[str] = deque(maxlen=LAST_LINES)
        step: Step | None = None
        try:
            with RemoteHelper(self._shell, self._python) as helper:
                with self._lock:
                    self._helper = helper
                    if self._stopped:
                        raise self._interrupted(None)
                for number, step in enumerate(self._plan.steps, start=1):
                    said.clear()
                    self._tell(StepStarted(number, step))
                    code = self._do(helper, step, said)
                    if code and is_there(step, said):
                        self._tell(Output("It is there already, by another setup; that one is used."))
                        code = 0
                    self._tell(StepEnded(number, step, code))
                    if code:
                        now = helper.look(self._plan.looked.base, self._python)
                        raise SetUpFailed(explained(step, code, tuple(said), now.base, now.free_bytes), tuple(said))
        except HelperEnded as error:
            raise self._interrupted(step) from error
        return self._plan.python

    def stop(self) -> None:
        """From any thread: end the running step and remove what is half made."""
        with self._lock:
            self._stopped = True
            helper = self._helper
        if helper is not None:
            helper.close()

    def _do(self, helper: RemoteHelper, step: Step, said: deque[str]) -> int:
        def on_line(line: str) -> None:
            said.append(line)
            self._tell(Output(line))

        if step.kind == "folder":
            return helper.begin(step.argv[-1], on_line)
        if step.kind == "file":
            return helper.write(step.argv[-1], step.data, on_line)
        return helper.run(step.argv, on_line, step.environment)

    def _interrupted(self, step: Step | None) -> SetUpFailed:
        what = "Setting up was stopped." if self._stopped else "The connection to the machine ended."
        message = f"{what} The machine removes what is half-made; environments that were there are as before."
        place = step.title if step is not None else "Set up"
        return SetUpFailed(Problem(severity="error", place=place, message=message, hint="Set it up again."))
