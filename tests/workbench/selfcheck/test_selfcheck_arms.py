"""The self-check's arms: the order of their trials within a block, and the work they share."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.models.lookup.resolve import resolve
from engines.protocol.messages import Package
from engines.protocol.places import places
from engines.protocol.problems import ProblemsFound
from tests.builders import probe_result
from workbench.experiment.file import dump, parse
from workbench.selfcheck import load

MACHINE = probe_result(
    packages=(Package(name="torch", version="2.13.0"), Package(name="transformers", version="5.23.0"))
)


def test_that_a_block_holds_every_arm_once_in_random_order_and_the_window_before_or_after() -> None:
    firsts, orders = set(), set()
    for block in range(60):
        groups = load.block_order(load.ARMS, 7, block)
        assert sorted(arm.name for group in groups for arm in group) == sorted(a.name for a in load.ARMS)
        assert [len({arm.window for arm in group}) for group in groups] == [1, 1], "the window's trial by itself"
        firsts.add(groups[0][0].window)
        orders.add(tuple(arm.name for group in groups for arm in group if not arm.window))
    assert firsts == {True, False}, "which come first is drawn by lot"
    assert len(orders) == 6
    turned = [group[::-1] for group in reversed(load.block_order(load.ARMS, 7, 2))]
    assert list(load.block_order(load.ARMS, 7, 3)) == turned, "the second of two blocks runs the first backwards"
    assert load.block_order(load.ARMS, 7, 3) == load.block_order(load.ARMS, 7, 3)
    assert all(not arm.window for g in load.block_order(load.ARMS[:3], 7, 0) for arm in g)


def test_that_arms_do_the_same_work_watched_alike_and_turns_only_last_longer() -> None:
    pattern = load.pattern(load.experiment(), MACHINE, store="s", id="e-1")
    made = {arm.name: load.trial_order(pattern, arm, 3, 5, 8) for arm in load.ARMS}
    assert all(order.telemetry.enabled for order in made.values())
    assert [name for name, order in made.items() if order.telemetry.turns_s] == ["turns"]
    turns = made["turns"]
    assert turns.inference.window_s >= load.TURNS.turns * turns.telemetry.turns_s
    assert turns.expected_s > made["on"].expected_s
    assert len({order.configuration for order in made.values()}) == 4
    assert all(order.configuration.startswith(f"{pattern.configuration}+") for order in made.values())
    shared = {"trial": "", "configuration": "", "title": "", "color": 0, "model": pattern.model, "expected_s": 0.0}
    alike = {
        msgspec.json.encode(
            msgspec.structs.replace(
                order,
                workload=msgspec.structs.replace(order.inference, window_s=0.0),
                telemetry=msgspec.structs.replace(order.telemetry, turns_s=0.0),
                **shared,
            )
        )
        for order in made.values()
    }
    assert len(alike) == 1, "the same work, whatever the arm"


def test_that_the_stored_experiment_can_be_planned_again(tmp_path: Path) -> None:
    found = resolve(load.REF, places(), tmp_path)
    assert found == load.resolved_model()
    assert parse(dump(load.experiment("cpu")))[0] == load.experiment("cpu")


def test_that_a_device_that_is_not_there_is_refused_in_words() -> None:
    with pytest.raises(ProblemsFound, match="no device"):
        load.pattern(load.experiment("cuda:GPU-none"), MACHINE, store="s", id="e-1")
