"""Titles of an experiment's models can be told apart."""

from __future__ import annotations

from pathlib import PurePath

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.orders import ModelOrder
from tests.workbench.plan.test_plan import experiment, probe, random_model
from workbench.models.titles import distinct
from workbench.plan.plan import make_plan


def model(path: str, title: str = "", *, kind: str = "folder", ref: str = "") -> ResolvedModel:
    order = ModelOrder(ref=ref or path, title=title or PurePath(path).stem, kind=kind, path=path)  # type: ignore[arg-type]
    return msgspec.structs.replace(random_model(), order=order)


def titles(*models: ResolvedModel) -> list[str]:
    return [found.order.title for found in distinct(models)]


def test_that_titles_that_differ_stay_as_they_are() -> None:
    assert titles(model("/a/run1"), model("/a/run2")) == ["run1", "run2"]
    assert titles() == []
    assert titles(model("/a/final")) == ["final"]


def test_that_shared_titles_get_the_shortest_part_of_the_path_that_distinguishes() -> None:
    assert titles(model("/w/run1/final"), model("/w/run2/final"), model("/w/other")) == [
        "run1/final",
        "run2/final",
        "other",
    ]
    assert titles(model("/w/run1/x/final"), model("/w/run2/x/final")) == ["run1/x/final", "run2/x/final"]
    assert titles(model("/w/a/final"), model("/w/b/final"), model("/v/b/final")) == [
        "a/final",
        "w/b/final",
        "v/b/final",
    ]
    assert titles(model("/final"), model("/w/final")) == ["/final", "w/final"]


def test_that_files_and_folders_and_names_of_the_hub_are_told_apart() -> None:
    assert titles(model("/w/final"), model("/w/final.gguf", kind="gguf")) == ["final", "final.gguf"]
    cached = "/hub/models--{}--m/snapshots/abc"
    assert titles(
        model(cached.format("one"), "m", ref="one/m"), model(cached.format("two"), "m", ref="two/m"), model("/w/m")
    ) == ["one/m", "two/m", "w/m"]
    blobs = [model(f"/ollama/blobs/sha256-{n}", "Small One", kind="gguf") for n in (1, 2)]
    assert titles(*blobs) == ["Small One (sha256-1)", "Small One (sha256-2)"]
    assert [found.order.aside for found in distinct(blobs)] == ["sha256-1", "sha256-2"]


def test_that_one_model_named_twice_keeps_its_title() -> None:
    assert titles(model("/w/final"), model("/w/final", ref="final")) == ["final", "final"]


@given(st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map(tuple), min_size=1, max_size=8))
def test_that_no_two_places_share_a_title(places: set[tuple[str, ...]]) -> None:
    found = titles(*(model("/".join(("", "w", *place, "final"))) for place in sorted(places)))
    assert len(set(found)) == len(places)


def test_that_configurations_of_a_plan_are_called_by_them() -> None:
    models = {path: model(path) for path in ("/w/run1/final", "/w/run2/final")}
    plan = make_plan(experiment(*models, precisions=("float32",)), models, probe())  # type: ignore[arg-type]
    assert [c.title for c in plan.configurations] == ["run1/final · float32", "run2/final · float32"]
    assert [c.model.title for c in plan.configurations] == ["run1/final", "run2/final"]
