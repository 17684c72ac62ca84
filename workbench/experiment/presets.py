"""The experiments that come with the application: files in assets/presets, ready to open, run or change.

Any thread.
"""

from __future__ import annotations

from importlib.resources import files

import msgspec

from engines.protocol.kinds import KINDS
from engines.protocol.problems import ProblemsFound
from workbench.experiment.experiment import Experiment
from workbench.experiment.file import parse


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One of the experiments. `sentence` is the comment in the file's first line."""

    id: str
    """The file's name without ".toml"."""
    title: str
    sentence: str
    experiment: Experiment


def presets() -> tuple[Preset, ...]:
    """Every preset, the demo first, then by kind of work and name. Raises `ProblemsFound` if one is wrong."""
    found: list[Preset] = []
    for file in (files("assets") / "presets").iterdir():
        if not file.name.endswith(".toml"):
            continue
        text = file.read_text(encoding="utf-8")
        experiment, problems = parse(text, file.name)
        if experiment is None:
            raise ProblemsFound(problems)
        first = text.partition("\n")[0]
        found.append(
            Preset(
                id=file.name.removesuffix(".toml"),
                title=experiment.name,
                sentence=first.removeprefix("#").strip() if first.startswith("#") else "",
                experiment=experiment,
            )
        )
    kinds = list(KINDS)
    return tuple(
        sorted(found, key=lambda one: (one.id != "demo", kinds.index(one.experiment.workload.kind), one.title.lower()))
    )
