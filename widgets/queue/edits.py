"""What the user does to the queue, done through the workbench on another thread, and its undo. Main thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from widgets.background.trial_edits import TrialEdits
from widgets.parts.undo import Edit
from workbench.machines.machine import THIS
from workbench.running.queues import by_machine


class QueueEdits(TrialEdits):
    """Every change of the queue, with the undo of those that can be undone. Errors become toasts."""

    def pause(self, paused: bool, machine: str = THIS) -> None:
        """A paused queue finishes what runs and starts nothing."""
        workbench = self._services.workbench
        if workbench is not None:
            self._run(lambda: workbench.pause(paused, machine))

    def stop(self, trial: str, *, kill: bool = False) -> None:
        """End a running trial: politely, or by killing its process."""
        workbench = self._services.workbench
        if workbench is not None:
            self._run(lambda: workbench.stop(trial, kill=kill))

    def reorder(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Waiting trials from one order into another; each machine has its own."""
        workbench = self._services.workbench
        if workbench is None:
            return
        old, new = self._by_machine(before), self._by_machine(after)
        changed = {machine: order for machine, order in new.items() if old.get(machine) != order}
        if not changed:
            return

        def bring(orders: Mapping[str, tuple[str, ...]]) -> None:
            for machine in changed:
                workbench.reorder(orders[machine], machine)

        self._run(lambda: bring(new))
        self._undo_stack.push(Edit("the new order", lambda: self._run(lambda: bring(old))))

    def _by_machine(self, trials: Sequence[str]) -> dict[str, tuple[str, ...]]:
        queue = self._services.bridge.queue
        return by_machine(queue, trials) if queue is not None else {THIS: tuple(trials)}

    def remove(self, trials: tuple[str, ...], waiting: tuple[str, ...]) -> None:
        """Waiting trials out of the queue. Undoing submits them again, as new trials, at their old places."""
        workbench = self._services.workbench
        if workbench is None:
            return

        places = self._by_machine(waiting)

        def work() -> None:
            for trial in trials:
                workbench.stop(trial)

        def bring_back() -> None:
            new = dict(zip(trials, workbench.retry(trials), strict=True))
            for machine, order in places.items():
                if new.keys() & set(order):
                    workbench.reorder(tuple(new.get(t, t) for t in order), machine)

        self._run(work)
        count = "a trial" if len(trials) == 1 else f"{len(trials)} trials"
        self._undo_stack.push(Edit(f"removing {count}", lambda: self._run(bring_back)))
