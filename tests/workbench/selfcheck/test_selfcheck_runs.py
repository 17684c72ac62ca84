"""Whole self-checks through a real runner: what is measured and stored, what is refused, the window of its own."""

from __future__ import annotations

import psutil
import pytest

from engines.protocol.records import ModelLoaded, PhaseEnded
from tests.house import House, until
from tests.workbench.selfcheck.selfcheck_kit import FAST, SHORT_TURNS, quiet
from workbench.comparison.comparison import compare
from workbench.metrics.trial import arrange
from workbench.selfcheck import load
from workbench.selfcheck.load import TurnPlan
from workbench.selfcheck.run import Options, Progress, SelfCheckError, self_check
from workbench.selfcheck.window import NoWindow, OwnWindow, has_display
from workbench.store.operations import GetExperiment, ListSelfChecks, ListTrials
from workbench.store.records import replay


def test_that_a_whole_self_check_runs_stores_its_figures_and_its_trials_stand_in_compare(house: House) -> None:
    told: list[Progress] = []
    found = self_check(FAST, told.append, places_=house.places)
    assert (found.blocks, found.trials, found.failed) == (2, 6, 0)
    assert (found.ended, found.method) == ("blocks", "turns")
    assert found.telemetry_processor is None, "turns do not know it"
    for shared in (found.runner, found.runner_bare):
        assert shared.trials == 2
    for one in (found.telemetry, found.again, found.again_processor):
        assert one.blocks == 2
        assert one.low is not None
        assert one.high is not None
        assert one.low <= one.ratio <= one.high
    assert found.window is None
    assert found.instruments is not None
    assert [p.fraction for p in told] == sorted(p.fraction for p in told)
    session = house.open()
    assert session.store.execute(ListSelfChecks(machine=found.machine)) == (found,)
    detail = session.store.execute(GetExperiment(experiment=found.experiment))
    assert detail.experiment.name.startswith("Self-check")
    assert {t.outcome for t in detail.trials} == {"completed"}
    assert all(t.verdict for t in detail.trials), "every trial was judged"
    table = compare(detail)
    assert len(table.rows) == 3
    (turns, *_) = [t.trial for t in detail.trials if t.title.startswith("Telemetry in turns")]
    arranged = arrange(replay(session.store, turns))
    assert len(arranged.turns) >= SHORT_TURNS.turns
    assert "sampling_gap" not in {r.code for r in detail.reasons if r.trial == turns}, "off on purpose is no hole"


def test_that_a_queue_in_use_or_paused_refuses_and_runs_nothing(house: House) -> None:
    session = house.open()
    session.follow()
    session.run(session.plan(house.experiment(trials=1, new_tokens=(800,))))
    until(lambda: session.queue().in_state("running"))
    with pytest.raises(SelfCheckError, match="to itself") as refused:
        self_check(FAST, quiet, places_=house.places)
    assert refused.value.advice
    until(lambda: not session.queue().in_state("running"), what="the trial ends")
    session.pause(True)
    with pytest.raises(SelfCheckError, match="paused"):
        self_check(FAST, quiet, places_=house.places)
    assert session.store.execute(ListSelfChecks()) == ()


def test_that_three_trials_that_fail_end_it_and_leave_nothing_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "WORKLOAD", load.WORKLOAD.with_values({"prompt_tokens": 666}))
    with pytest.raises(SelfCheckError, match="3 trials"):
        self_check(FAST, quiet, places_=house.places)
    session = house.open()
    assert session.store.execute(ListTrials(state="waiting")) == ()
    assert session.store.execute(ListSelfChecks()) == ()


# --- the window of its own ------------------------------------------------------------------------


def test_that_without_a_window_to_open_the_rest_is_measured_and_the_reason_noted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: OwnWindow) -> None:
        raise NoWindow("No display took it.")

    monkeypatch.setattr(OwnWindow, "open", refuse)
    found = self_check(Options(blocks=1, sensor_s=0.2, window_s=0.3, turns=SHORT_TURNS), quiet, places_=house.places)
    assert found.window is None
    assert found.telemetry is not None
    assert any("No display took it." in note for note in found.notes)
    assert not house.open().store.execute(ListTrials(state="waiting")), "the window's trials were taken back"


def test_that_a_window_that_ends_at_once_is_said_with_its_last_words(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "no-such-platform")
    window = OwnWindow(house.places, house.places.database, offscreen=False)
    try:
        with pytest.raises(NoWindow, match="ended at once: "):
            window.open()
    finally:
        window.end()


def test_that_the_own_window_settles_closes_and_leaves_the_users_settings_alone(house: House) -> None:
    house.open().close()
    window = OwnWindow(house.places, house.places.database, offscreen=True)
    try:
        window.open()
        pid = window.pid
        assert pid is not None
        assert psutil.pid_exists(pid)
        window.close()
        assert not psutil.pid_exists(pid)
        window.close()
        assert window.pid is None
    finally:
        window.end()
    assert not (house.places.config / "window.ini").exists()


def test_that_a_display_is_what_qt_would_find(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert not has_display()
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    assert has_display()
    monkeypatch.delenv("QT_QPA_PLATFORM")
    assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()


@pytest.mark.real
def test_that_a_real_block_with_a_real_window_measures_every_part(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_WORKBENCH_WORKER")
    found = self_check(
        Options(blocks=1, sensor_s=0.2, window_s=1.0, turns=TurnPlan(turns=4, each_s=1.0)), quiet, places_=house.places
    )
    assert found.notes == ()
    assert (found.trials, found.failed) == (4, 0)
    for one in (found.telemetry, found.window, found.again, found.window_processor):
        assert one.ratio > 0
    assert found.window_shown == "offscreen"
    session = house.open()
    trials = session.store.execute(GetExperiment(experiment=found.experiment)).trials
    records = list(replay(session.store, trials[0].trial))
    loaded = next(r for r in records if isinstance(r, ModelLoaded))
    assert loaded.parameters == load.resolved_model().facts.parameters
    measured = next(r for r in records if isinstance(r, PhaseEnded) and r.name == "measure")
    assert measured.cpu_seconds is not None
    assert measured.cpu_seconds > 0.3, "the work keeps its thread busy"
