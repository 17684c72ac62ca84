"""What other machines have of an experiment, asked of their runners. What they say is data: only what a plan can use of
it is kept.

Any thread. A question goes on being answered on a thread of its own while files are being read there, so that whoever
asks again a second later sees how far that is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from engines.models.lookup.answer import Answer, Own, decode_answer
from engines.protocol.client import RunnerError
from engines.protocol.messages import LookedUp, LookUp
from engines.protocol.problems import Problem
from workbench.models.fetching import Report
from workbench.running.machine_link import MachineLink
from workbench.units import format_bytes

_GOOD_FOR_S = 5.0
"""How long an answer counts while a person edits."""
_PATIENCE_S = 120.0
"""For the first answer: the other machine may have a slow disk."""


class FarLookups:
    """See the module."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, bytes], _Asking] = {}

    def ask(self, link: MachineLink, question: LookUp, *, wait: bool, report: Report) -> Answer:
        """The complete answer, or without `wait` what is known so far. Raises `RunnerError`."""
        key = (link.machine.id, msgspec.json.encode(question))
        with self._lock:
            self._asked = {k: asking for k, asking in self._asked.items() if asking.is_good}
            asking = self._asked.get(key)
            if asking is None or (wait and asking.has_ended):
                asking = self._asked[key] = _Asking(link, question)
        return asking.answer(wait, lambda answer: _report(answer, link.machine.title, report))

    def forget(self) -> None:
        """Something was changed there: what was said no longer counts."""
        with self._lock:
            self._asked = {k: asking for k, asking in self._asked.items() if not asking.has_ended}


def _report(answer: Answer, title: str, report: Report) -> None:
    if not answer.is_complete:
        what = f"Reading the models' files on {title}: {format_bytes(answer.total_bytes)}, once"
        report(answer.read_bytes / answer.total_bytes, what)


class _Asking:
    """One question, and what has been answered so far."""

    def __init__(self, link: MachineLink, question: LookUp) -> None:
        self._link = link
        self._question = question
        self._changed = threading.Condition()
        self._answer: Answer | None = None
        self._error: RunnerError | None = None
        self._ended_s: float | None = None
        threading.Thread(target=self._listen, name="look-up", daemon=True).start()

    @property
    def has_ended(self) -> bool:
        return self._ended_s is not None

    @property
    def is_good(self) -> bool:
        """Whether its answer may be given again."""
        return self._ended_s is None or (self._error is None and time.monotonic() - self._ended_s < _GOOD_FOR_S)

    def answer(self, wait: bool, heard: Callable[[Answer], None]) -> Answer:
        """Raises `RunnerError`."""
        deadline = time.monotonic() + _PATIENCE_S
        shown: Answer | None = None
        while True:
            with self._changed:
                while self._answer is shown and not self.has_ended:
                    left = None if self._answer is not None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        raise RunnerError(
                            f"{self._link.machine.title} did not say within {_PATIENCE_S:g} s what it has.",
                            "It may be busy; try again.",
                        )
                    self._changed.wait(left)
                if self._error is not None:
                    raise self._error
                assert self._answer is not None
                shown, complete = self._answer, self.has_ended
            heard(shown)
            if complete or not wait:
                return shown

    def _listen(self) -> None:
        error: RunnerError | None = None
        try:
            for reply in self._link.stream(self._question):
                if isinstance(reply, LookedUp):
                    answer = _usable(decode_answer(reply.found))
                    with self._changed:
                        self._answer = answer
                        self._changed.notify_all()
        except RunnerError as failed:
            error = _too_old(self._link) if failed.code == "bad_request" else failed
        except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
            error = RunnerError(
                f"{self._link.machine.title} said of its models what cannot be understood: {wrong}",
                "Set the machine up again.",
                code="version",
            )
        with self._changed:
            if error is None and self._answer is None:
                error = RunnerError(f"{self._link.machine.title} did not say what models it has.", "Try again.")
            self._error, self._ended_s = error, time.monotonic()
            self._changed.notify_all()


def _too_old(link: MachineLink) -> RunnerError:
    return RunnerError(
        f"The engines on {link.machine.title} are older than this program: they cannot look up models.",
        "Set the machine up again.",
        code="version",
    )


def _usable(answer: Answer) -> Answer:
    """Without fixes that change anything but the models and the workload: another machine does not edit experiments."""
    return msgspec.structs.replace(
        answer,
        problems={ref: _with_usable_fixes(problem) for ref, problem in answer.problems.items()},
        own=tuple(own if own.problem is None else Own(problem=_with_usable_fixes(own.problem)) for own in answer.own),
    )


def _with_usable_fixes(problem: Problem) -> Problem:
    usable = (f for f in problem.fixes if f.path.startswith(("models.", "workload.")))
    return msgspec.structs.replace(problem, fixes=tuple(f for f in usable if isinstance(f.value, str | None)))
