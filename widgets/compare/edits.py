"""What the user changes on the Compare page, done on other threads, with its undo where there is one. Main thread."""

from __future__ import annotations

from widgets.background.trial_edits import TrialEdits
from widgets.parts.undo import Edit
from workbench.experiment import MORE_BLOCKS
from workbench.running.cleaning import kept_bytes
from workbench.store.operations import Rename, SetBaseline
from workbench.units import counted, format_bytes


class CompareEdits(TrialEdits):
    """Baseline, name, deletion and more blocks."""

    def _finished(self, _answer: object = None) -> None:
        self.done.emit()

    def set_baseline(self, experiment: str, configuration: str | None, before: str | None) -> None:
        """Pin a configuration, or None for the first with results."""

        def pin(wanted: str | None) -> None:
            operation = SetBaseline(experiment=experiment, configuration=wanted)
            self._services.bridge.run(operation, self._finished, self._services.toasts.error)

        pin(configuration)
        self._undo_stack.push(Edit("the baseline", lambda: pin(before)))

    def rename(self, experiment: str, name: str, before: str) -> None:
        def call(wanted: str) -> None:
            operation = Rename(experiment=experiment, name=wanted)
            self._services.bridge.run(operation, self._finished, self._services.toasts.error)

        if name != before:
            call(name)
            self._undo_stack.push(Edit("the new name", lambda: call(before)))

    def delete(self, trials: tuple[str, ...]) -> None:
        """For good: the samples go too."""
        workbench = self._services.workbench
        if workbench is None or not trials:
            return

        def work() -> tuple[int, int]:
            deleted = workbench.delete(trials)
            return len(deleted), kept_bytes(workbench.places, deleted)

        def finished(done: tuple[int, int]) -> None:
            count, kept = done
            stays = f"What they have trained stays, {format_bytes(kept)}: llm-workbench clean removes it."
            self._services.toasts.show("good", f"{counted(count, 'trials')} deleted.", stays if kept else "")
            self.done.emit()

        self._run(work, finished)

    def more_blocks(self, experiment: str) -> None:
        """One trial more of each configuration in each of them."""
        workbench = self._services.workbench
        if workbench is not None:
            self._add(
                lambda: workbench.more_blocks(experiment, MORE_BLOCKS),
                lambda n: f"{MORE_BLOCKS} more blocks are queued: {counted(n, 'trials')}.",
            )
