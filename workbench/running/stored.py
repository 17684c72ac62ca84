"""What is done with trials that are stored: figures made again, whole experiments out and in, a wall meter's readings;
and the settings that figures rest on.

Part of `workbench.running.workbench.Workbench` (its `stored`); safe from any thread. Every method blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path

from engines.protocol.places import Places
from workbench import settings
from workbench.export import records_parquet
from workbench.metrics.assumptions import NOTHING_ASSUMED, Assumptions
from workbench.running.events import Event, Notice, StoreChanged
from workbench.running.recompute import ended_trials, recompute
from workbench.store.operations import Bundled, GetExperiment, GetTrial, Store


class StoredWork:
    def __init__(self, store: Store, places: Places, tell: Callable[[Event], None]) -> None:
        self._store = store
        self._tell = tell
        self.settings_path = settings.settings_path(places)
        self._complained = ""
        self._lock = threading.Lock()

    # --- settings -----------------------------------------------------------------------------------

    def assumptions(self) -> Assumptions:
        """What the user has set, as the file has it now. Raises `settings.SettingsError`."""
        return settings.load(self.settings_path)

    def set_assumptions(self, assumptions: Assumptions) -> None:
        """Store what the user has set. Trials judged from now on use it, in every window and command of this user;
        those judged before keep their figures until `recompute`. Raises `settings.SettingsError`."""
        settings.save(self.settings_path, assumptions)

    def assumed(self) -> Assumptions:
        """As `assumptions`, for trials that are judged in the background: a file that cannot be used leaves estimates
        blank and is reported once, because a trial's measured figures must not wait for it."""
        try:
            found = self.assumptions()
        except settings.SettingsError as error:
            with self._lock:
                known, self._complained = self._complained, str(error)
            if known != str(error):
                advice = f"Estimates are left blank until then. {error.advice}".strip()
                self._tell(Notice("warning", str(error), advice))
            return NOTHING_ASSUMED
        with self._lock:
            self._complained = ""
        return found

    # --- figures ------------------------------------------------------------------------------------

    def ended(self, experiment: str = "") -> tuple[str, ...]:
        """Ids of the trials that `recompute` would take, oldest first. Raises `StoreError`."""
        return ended_trials(self._store, self._id(experiment) if experiment else "")

    def recompute(self, experiment: str = "", progress: Callable[[int, int], bool] | None = None) -> int:
        """Make figures and verdicts of ended trials again, with this version's formulas and the settings of now: as
        `workbench.running.recompute.recompute`. -> how many. Raises `StoreError`, `settings.SettingsError`."""
        assumptions = self.assumptions()
        wanted = self._id(experiment) if experiment else ""
        done = recompute(self._store, wanted, assumptions, progress)
        if done:
            self._tell(StoreChanged(experiments=(wanted,)) if wanted else StoreChanged())
        return done

    def import_wall_meter(self, trial: str, path: Path, zone: tzinfo | None = None) -> int:
        """As `workbench.running.wall_meter.import_wall_meter`. -> readings stored. Raises `wall_meter.WallMeterError`,
        `StoreError`."""
        from workbench.running.wall_meter import (
            import_wall_meter,  # imported late to keep start-up fast
        )

        stored = import_wall_meter(self._store, trial, path, zone, self.assumed())
        row = self._store.execute(GetTrial(trial=trial))
        self._tell(StoreChanged(experiments=(row.experiment,), trials=(row.trial,)))
        return stored

    # --- whole experiments --------------------------------------------------------------------------

    def export_bundle(self, experiment: str, folder: Path) -> Bundled:
        """As `workbench.export.records_parquet.export_bundle`."""
        return records_parquet.export_bundle(self._store, experiment, folder.expanduser())

    def import_bundle(self, folder: Path) -> Bundled:
        """As `workbench.export.records_parquet.import_bundle`."""
        done = records_parquet.import_bundle(self._store, folder.expanduser(), self.assumed)
        self._tell(StoreChanged())
        return done

    def _id(self, experiment: str) -> str:
        return self._store.execute(GetExperiment(experiment=experiment)).experiment.experiment
