"""Every key of an experiment file stands in its page, with its range and its default."""

from __future__ import annotations

import re

import pytest

from engines.catalogue import engines
from engines.protocol.settings import Setting
from tests.house import ROOT
from workbench.experiment.experiment import EngineSettings, RunSettings, Workload
from workbench.experiment.keys import ENGINE, RUN, TOP, WORKLOAD

PAGE = (ROOT / "docs" / "experiment-file.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, str]:
    """Setting -> its row, of the first table under a heading."""
    table = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {found[1]: line for line in table.splitlines() if (found := re.match(r"\| `(\w+)` \|", line))}


@pytest.mark.parametrize(
    ("heading", "keys"), [("Top", TOP), ("`[workload]`", WORKLOAD), ("`[run]`", RUN), ("`[engine]`", ENGINE)]
)
def test_that_every_key_has_its_row_with_its_choices_and_bounds(heading: str, keys: tuple[Setting, ...]) -> None:
    told = rows(heading)
    assert {key.name for key in keys} | {"schema"} == set(told) | {"schema"}
    for key in keys:
        for choice in key.choices:
            assert f'"{choice}"' in told[key.name], (key.name, choice)
        if key.type == "int" and key.maximum is not None and key.name != "memory_limit_bytes":
            assert f"{key.maximum:,.0f}" in told[key.name], key.name


@pytest.mark.parametrize(
    ("heading", "settings"),
    [("`[workload]`", Workload()), ("`[run]`", RunSettings()), ("`[engine]`", EngineSettings())],
)
def test_that_every_default_is_the_one_that_is_taken(
    heading: str, settings: Workload | RunSettings | EngineSettings
) -> None:
    told = rows(heading)
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    if values.pop("own", None) is not None:
        values |= {setting.name: setting.default for engine in engines() for setting in engine.settings}
    for name, value in values.items():
        value = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        if isinstance(value, bool):
            assert f"| {str(value).lower()} |" in told[name], name
        elif isinstance(value, int | float):
            assert re.search(rf"\| {value:g}(\.0)? \|", told[name]), name
        elif isinstance(value, str) and value:
            assert f'"{value}"' in told[name].rsplit(" | ", 2 if told[name].endswith("yes |") else 1)[-1] or (
                f'| "{value}" |' in told[name]
            ), name
