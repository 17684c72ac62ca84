"""The queues of several machines as one, for views that do not tell them apart. Pure; any thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engines.protocol.messages import QueueState
from workbench.machines.machine import THIS


def joined(queues: Mapping[str, QueueState], title_of: Callable[[str], str] = str) -> QueueState:
    """Running, waiting and ended entries of all, each group in the order of the machines. Paused where every machine
    with something to do is; the reasons of those that are, one a sentence."""
    if len(queues) == 1:
        return next(iter(queues.values()))
    busy = {m: q for m, q in queues.items() if q.in_state("waiting") or q.in_state("running")}
    counted = busy or queues
    entries = tuple(e for state in ("running", "waiting", "ended") for q in queues.values() for e in q.in_state(state))
    return QueueState(
        entries=entries,
        paused=all(q.paused for q in counted.values()),
        pause_reason=" ".join(_of(m, q.pause_reason, title_of) for m, q in counted.items() if q.pause_reason),
        nothing_starts=" ".join(_of(m, q.nothing_starts, title_of) for m, q in counted.items() if q.nothing_starts),
        allocations=tuple(each for q in queues.values() for each in q.allocations),
    )


def to_pause(queues: Mapping[str, QueueState], paused: bool) -> tuple[str, ...]:
    """The machines that one switch for all pauses or resumes: those with something to do that are not so yet."""
    wanted = [m for m, q in queues.items() if q.paused != paused]
    busy = [m for m in wanted if queues[m].in_state("waiting") or queues[m].in_state("running")]
    return tuple(busy or wanted)


def by_machine(state: QueueState, trials: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """These trials, in their order, by the machine whose queue they are in."""
    where = {e.trial: e.machine for e in state.entries}
    machines = dict.fromkeys(where.get(t, THIS) for t in trials)
    return {m: tuple(t for t in trials if where.get(t, THIS) == m) for m in machines}


def _of(machine: str, reason: str, title_of: Callable[[str], str]) -> str:
    return reason if machine == THIS else f"{title_of(machine)}: {reason}"
