"""Restarting a runner: its queue stays, and a trial that runs is never ended by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines.protocol.client import RunnerClient, RunnerError, connect_local
from engines.protocol.messages import GetQueue, QueueState, SetPaused, Stop, Submit
from engines.protocol.orders import Inference, TrialOrder
from tests.engines.runner_harness import end_runner, make_order
from tests.house import House, until
from workbench.machines.machine import THIS_COMPUTER
from workbench.machines.restart import restart_runner


@pytest.fixture
def runner(house: House) -> Iterator[House]:
    yield house
    end_runner(house.places)


def client(house: House) -> RunnerClient:
    return connect_local(house.places, client="test")


def order(trial: str, window_s: float) -> TrialOrder:
    work = Inference(prompt_tokens=4, new_tokens=4, requests=1, window_s=window_s, warmup_requests=0)
    return make_order(trial, workload=work)


def state(house: House) -> QueueState:
    with client(house) as runner:
        found = runner.call(GetQueue())
    assert isinstance(found, QueueState)
    return found


def in_state(house: House, name: str) -> list[str]:
    return [entry.trial for entry in state(house).in_state(name)]


def test_that_an_idle_runner_is_another_process_afterwards_and_a_paused_queue_stays_paused(runner: House) -> None:
    with client(runner) as first:
        old = first.welcome.pid
        first.call(SetPaused(paused=True))
        first.call(Submit(orders=(order("a", 0.0),)))
    new = restart_runner(THIS_COMPUTER, runner.places)
    assert new != old
    with client(runner) as second:
        assert second.welcome.pid == new
    assert state(runner).paused
    assert in_state(runner, "waiting") == ["a"]


def test_that_a_running_trial_is_left_alone_and_named(runner: House) -> None:
    with client(runner) as first:
        first.call(Submit(orders=(order("a", 600.0),)))
    until(lambda: in_state(runner, "running") == ["a"])
    with pytest.raises(RunnerError, match="fake a is running on This computer"):
        restart_runner(THIS_COMPUTER, runner.places)
    assert in_state(runner, "running") == ["a"]
    assert not state(runner).paused
    refused = runner.command("machines", "restart", "this")
    assert refused.returncode != 0
    assert "llm-workbench machines restart this --wait" in refused.stderr
    with client(runner) as last:
        last.call(Stop(trial="a", how="kill"))


def test_that_it_waits_for_the_running_trial_and_starts_no_other_before(runner: House) -> None:
    with client(runner) as first:
        old = first.welcome.pid
        first.call(Submit(orders=(order("a", 2.0), order("b", 0.0))))
    until(lambda: in_state(runner, "running") == ["a"])
    seen: list[tuple[list[str], list[str]]] = []

    def wait(found: QueueState) -> None:
        seen.append(tuple([e.trial for e in found.in_state(name)] for name in ("running", "waiting")))  # type: ignore[arg-type]

    assert restart_runner(THIS_COMPUTER, runner.places, wait) != old
    assert seen
    assert all(one == (["a"], ["b"]) for one in seen)
    until(lambda: not in_state(runner, "waiting") and not in_state(runner, "running"))
    ended = {entry.trial: entry.outcome for entry in state(runner).in_state("ended")}
    assert ended["b"] == "completed", "the queue continues in the new runner"


def test_that_who_stops_waiting_leaves_the_runner_as_it_was(runner: House) -> None:
    with client(runner) as first:
        old = first.welcome.pid
        first.call(Submit(orders=(order("a", 600.0),)))
    until(lambda: in_state(runner, "running") == ["a"])

    def interrupted(_state: QueueState) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restart_runner(THIS_COMPUTER, runner.places, interrupted)
    with client(runner) as last:
        assert last.welcome.pid == old
        last.call(Stop(trial="a", how="kill"))
    assert not state(runner).paused
