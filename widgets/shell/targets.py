"""What one page, a dropped file or the palette can ask another page to show. Values; no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OpenExperimentFile:
    """Target of Setup: an experiment file to load."""

    path: Path


@dataclass(frozen=True)
class AddModel:
    """Target of Setup: a model folder or GGUF file to choose."""

    path: Path


@dataclass(frozen=True)
class ImportFolder:
    """A folder that an export of a whole experiment wrote: no page's, the window takes it in."""

    path: Path


@dataclass(frozen=True)
class UsePrompts:
    """Target of Setup: a file of the user's own prompts."""

    path: Path


@dataclass(frozen=True)
class UseModels:
    """Target of Setup: what trials have kept, to be compared in use with what it was trained from."""

    folders: tuple[Path, ...]


@dataclass(frozen=True)
class MakeStudy:
    """Target of Setup: a study (`workbench.experiment.studies`, by id) of the chosen model on this machine."""

    study: str


@dataclass(frozen=True)
class NewExperiment:
    """Target of Setup: start over."""


@dataclass(frozen=True)
class EditAsNew:
    """Target of Setup: an experiment like the one of this trial."""

    trial: str


@dataclass(frozen=True)
class InstallPackages:
    """Target of Machines: packages of an engine that are missing; opens the sheet that installs them."""

    packages: tuple[str, ...]


@dataclass(frozen=True)
class ShowTrial:
    """Target of Monitor."""

    trial: str


@dataclass(frozen=True)
class ShowExperiment:
    """Target of Compare."""

    experiment: str
