"""The page of the experiment file holds every key, as its setting describes it."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from engines.protocol.settings import Setting, settings_of
from workbench.experiment.key_tables import PAGE, rewritten, table, tables


def test_that_the_tables_of_the_page_are_those_of_the_settings() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page) == page, "run python -m workbench.experiment.key_tables"


@pytest.mark.parametrize("name", tables())
def test_that_the_page_has_every_table(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for setting in tables()[name]:
        assert f"\n| `{setting.name}` | " in page
        assert setting.title
        assert setting.help


class Dummy(msgspec.Struct):
    hidden: str = ""
    layers: Annotated[int, Setting(title="Layers", minimum=1, unit="layers", help="trained", sweep=True)] = 4
    limit: Annotated[float | None, Setting(title="Limit", help="of the loss", unset="none")] = None


def test_that_a_setting_is_described_from_its_field_alone() -> None:
    assert [s.name for s in settings_of(Dummy)] == ["layers", "limit"]
    assert table(settings_of(Dummy)).splitlines()[2:] == [
        "| `layers` | Trained | at least 1 layers | 4 | yes |",
        "| `limit` | Of the loss | number | none | |",
    ]
