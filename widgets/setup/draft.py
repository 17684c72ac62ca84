"""The experiment under edit: what it is, where it is saved, and what was changed. No Qt.

Owned by the page. Values only; `dump_session` and `load_session` carry it from one session to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from widgets.setup import edits
from workbench.experiment.experiment import Experiment
from workbench.experiment.file import dump, parse


@dataclass(frozen=True)
class State:
    """`saved` is what the file holds (or what a new experiment began as)."""

    experiment: Experiment = field(default_factory=Experiment)
    saved: Experiment = field(default_factory=Experiment)
    path: Path | None = None
    origin: str = ""
    """Where it came from: "Based on trial 118", "Preset"."""
    kept: tuple[Experiment, ...] = ()
    """The form of each other kind of work that was filled in: the experiment as it was left."""

    def turned(self, kind: str) -> State:
        """With the form of another kind of work; the one that is left is kept."""
        before = next((e for e in self.kept if e.workload.kind == kind), None)
        others = (e for e in self.kept if e is not before)
        turned = edits.set_kind(self.experiment, kind, before)
        return replace(self, experiment=turned, kept=(*others, self.experiment))


class Draft:
    """One experiment, as it is now."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()

    @property
    def experiment(self) -> Experiment:
        return self.state.experiment

    @property
    def path(self) -> Path | None:
        return self.state.path

    @property
    def is_edited(self) -> bool:
        """Whether saving would change the file, or what was begun with."""
        return self.state.experiment != self.state.saved

    @property
    def is_on_disk(self) -> bool:
        """Whether the file holds exactly this."""
        return self.state.path is not None and not self.is_edited

    @property
    def base(self) -> Path:
        """Where relative model paths start."""
        return self.state.path.parent if self.state.path is not None else Path.cwd()

    def change(self, experiment: Experiment) -> bool:
        """Make an edit. -> whether it changed anything"""
        changed = experiment != self.state.experiment
        self.state = replace(self.state, experiment=experiment)
        return changed

    def turn(self, kind: str) -> None:
        self.state = self.state.turned(kind)

    def mark_saved(self, path: Path, experiment: Experiment) -> None:
        """The file holds this experiment now; edits made meanwhile still count as edits."""
        self.state = replace(self.state, saved=experiment, path=path, origin="")

    def bring_back(self, before: State) -> None:
        """An earlier state again."""
        if before.path == self.state.path:
            before = replace(before, saved=self.state.saved)  # a file that was saved since stays saved
        self.state = before


class _Session(msgspec.Struct):
    experiment: str
    saved: str
    path: str = ""
    origin: str = ""
    kept: list[str] = []


def dump_session(state: State) -> str:
    """One line of JSON for the settings file."""
    path = str(state.path) if state.path is not None else ""
    kept = [dump(other) for other in state.kept]
    return msgspec.json.encode(_Session(dump(state.experiment), dump(state.saved), path, state.origin, kept)).decode()


def load_session(text: str) -> State | None:
    """What `dump_session` wrote; None where it cannot be used any more (a technique is not installed now)."""
    try:
        session = msgspec.json.decode(text.encode(), type=_Session)
    except msgspec.MsgspecError:
        return None
    experiment, _ = parse(session.experiment)
    saved, _ = parse(session.saved)
    if experiment is None or saved is None:
        return None
    kept = tuple(other for text in session.kept if (other := parse(text)[0]) is not None)
    return State(experiment, saved, Path(session.path) if session.path else None, session.origin, kept)
