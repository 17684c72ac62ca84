"""The self-check: its blocks and verdicts by worked examples, whole runs through a real runner, and what is stored."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from engines.protocol.instruments import ClockFigures, Instruments, QuantityRate, SourceRate
from engines.protocol.messages import Device, Package, ProbeResult
from engines.protocol.places import places
from engines.protocol.records import ModelLoaded, PhaseEnded
from tests.house import House, until
from workbench.cli import selfcheck as cli
from workbench.cli.main import build_parser, main
from workbench.comparison import compare
from workbench.experiment import dump, parse
from workbench.metrics.trial import arrange
from workbench.models import resolve
from workbench.problems import ProblemsFound
from workbench.selfcheck import load
from workbench.selfcheck.blocks import by_block, effect, share
from workbench.selfcheck.load import TurnPlan
from workbench.selfcheck.processor_time import processor_seconds
from workbench.selfcheck.result import (
    Effect,
    SelfCheck,
    Share,
    loss_verdict,
    same_verdict,
    share_verdict,
)
from workbench.selfcheck.run import Options, Progress, SelfCheckError, self_check
from workbench.selfcheck.trials import Looks
from workbench.selfcheck.window import NoWindow, OwnWindow, has_display
from workbench.selfcheck.words import NOT_MEASURED, cautions, headline, rows, update_rate
from workbench.statistics import t_quantile
from workbench.store.local import LocalStore
from workbench.store.migrate import Scheme, current_scheme
from workbench.store.operations import AddSelfCheck, GetExperiment, ListSelfChecks, ListTrials
from workbench.store.records import replay

SHORT_TURNS = TurnPlan(turns=4, each_s=0.4)
FAST = Options(blocks=2, window=False, sensor_s=0.2, window_s=0.4, turns=SHORT_TURNS)
MACHINE = ProbeResult(
    machine="here",
    devices=(Device(id="cpu", title="CPU", memory_total_bytes=8 << 30, memory_free_bytes=6 << 30),),
    sensors=(),
    packages=(Package(name="torch", version="2.13.0"), Package(name="transformers", version="5.23.0")),
    facts={},
)


def quiet(_progress: Progress) -> None:
    """Nobody listens."""


def result(**changes: Any) -> SelfCheck:
    fields: dict[str, Any] = {
        "id": "c-1",
        "machine": "here",
        "device": "cpu",
        "started_at": "2026-03-01T14:02:00+00:00",
        "duration_s": 1080.0,
        "quick": False,
        "ended": "answered",
        "blocks": 31,
        "trials": 124,
        "method": "turns",
        "telemetry": Effect(ratio=0.998, low=0.994, high=1.002, blocks=31),
        "again": Effect(ratio=1.001, low=0.996, high=1.006, blocks=31),
        "runner": Share(mean=0.0092, low=0.0069, high=0.0115, trials=62),
    }
    return SelfCheck(**(fields | changes))


def ratio(low: float | None, high: float | None) -> Effect:
    middle = math.sqrt(low * high) if low is not None and high is not None else 1.0
    return Effect(ratio=middle, low=low, high=high, blocks=10)


# --- arithmetic -----------------------------------------------------------------------------------


def test_that_a_block_is_the_geometric_mean_of_its_trials_and_an_effect_the_mean_log_ratio_over_blocks() -> None:
    told = [("on", 0, 8.0), ("on", 0, 2.0), ("off", 0, 5.0), ("on", 1, 9.0), ("off", 1, 10.0), ("on", 2, None)]
    values = by_block(told)  # type: ignore[arg-type]
    assert values["on"] == pytest.approx({0: 4.0, 1: 9.0})
    found = effect(values, "on", "off")
    assert found is not None
    logs = [math.log(4 / 5), math.log(9 / 10)]
    mean = sum(logs) / 2
    half = t_quantile(0.95, 1) * math.sqrt(((logs[0] - mean) ** 2 + (logs[1] - mean) ** 2) / 1) / math.sqrt(2)
    assert (found.ratio, found.low, found.high) == pytest.approx(
        (math.exp(mean), math.exp(mean - half), math.exp(mean + half))
    )
    assert found.half_width == pytest.approx(math.exp(half) - 1)


def test_that_one_block_carries_no_interval_and_arms_without_a_common_block_no_effect() -> None:
    one = effect(by_block([("on", 0, 2.0), ("off", 0, 1.0)]), "on", "off")
    assert one is not None
    assert one.low is None
    assert one.half_width is None
    assert effect(by_block([("on", 0, 2.0), ("off", 1, 1.0)]), "on", "off") is None
    assert effect({}, "on", "off") is None


def test_that_values_which_are_not_positive_are_left_out() -> None:
    assert by_block([("on", 0, 0.0), ("on", 1, -1.0), ("on", 2, 3.0)]) == {"on": {2: pytest.approx(3.0)}}


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.991, 1.004, "passed"),
        (0.990, 0.995, "passed"),
        (0.980, 0.989, "missed"),
        (0.970, 0.999, "inconclusive"),
        (1.002, 1.009, "passed"),
        (1.011, 1.013, "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_that_the_loss_is_judged_by_the_upper_end_of_its_interval(low: float, high: float, verdict: str) -> None:
    assert loss_verdict(ratio(low, high)) == verdict


def test_that_a_share_is_judged_by_its_interval_too() -> None:
    assert share_verdict(Share(mean=0.01, low=0.008, high=0.012, trials=9)) == "passed"
    assert share_verdict(Share(mean=0.03, low=0.025, high=0.035, trials=9)) == "missed"
    assert share_verdict(Share(mean=0.02, low=0.015, high=0.025, trials=9)) == "inconclusive"
    assert share_verdict(Share(mean=0.01, low=None, high=None, trials=1)) == "inconclusive"


def test_that_two_arms_that_are_the_same_pass_when_the_interval_holds_one() -> None:
    assert same_verdict(ratio(0.99, 1.02)) == "passed"
    assert same_verdict(ratio(1.01, 1.02)) == "missed"
    assert same_verdict(None) is None


def test_that_a_share_is_a_mean_over_trials_with_its_interval_and_never_below_zero() -> None:
    found = share([0.01, None, 0.03])
    assert found is not None
    assert found.mean == pytest.approx(0.02)
    assert found.trials == 2
    assert found.low == 0.0
    assert share([None, None]) is None
    alone = share([0.01])
    assert alone is not None
    assert alone.high is None


# --- arms and order -------------------------------------------------------------------------------


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
    assert load.block_order(load.ARMS, 7, 3) == load.block_order(load.ARMS, 7, 3)
    assert all(not arm.window for g in load.block_order(load.ARMS[:3], 7, 0) for arm in g)


def test_that_arms_do_the_same_work_watched_alike_and_turns_only_last_longer() -> None:
    pattern = load.pattern(load.experiment(), MACHINE, store="s", id="e-1")
    made = {arm.name: load.trial_order(pattern, arm, 3, 5, 8) for arm in load.ARMS}
    assert all(order.telemetry.enabled for order in made.values())
    assert [name for name, order in made.items() if order.telemetry.turns_s] == ["turns"]
    turns = made["turns"]
    assert turns.workload.window_s >= load.TURNS.turns * turns.telemetry.turns_s
    assert turns.expected_s > made["on"].expected_s
    assert len({order.configuration for order in made.values()}) == 4
    assert all(order.configuration.startswith(f"{pattern.configuration}+") for order in made.values())
    shared = {"trial": "", "configuration": "", "title": "", "color": 0, "model": pattern.model, "expected_s": 0.0}
    alike = {
        msgspec.json.encode(
            msgspec.structs.replace(
                order,
                workload=msgspec.structs.replace(order.workload, window_s=0.0),
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


# --- words ----------------------------------------------------------------------------------------


def test_that_every_figure_is_said_with_its_interval_its_bar_and_what_it_means() -> None:
    said = {row.title: row for row in rows(result())}
    assert said["Telemetry, throughput"].value == "−0.20 % (−0.60 to +0.20)"
    assert "in turns within trials" in said["Telemetry, throughput"].meaning
    assert "opening the sensors at the start is not in it" in said["Telemetry, throughput"].meaning
    assert said["Telemetry, throughput"].verdict == "passed"
    assert "at most 0.60 %" in said["Telemetry, throughput"].meaning
    assert said["Runner and sampler"].value == "0.92 % (0.69 to 1.15)"
    assert "0.50 %" in said["The same twice (A/A)"].meaning
    assert all(row.meaning.endswith(".") for row in said.values())
    assert headline(result()).endswith("18 min, 31 blocks, 124 trials")


def test_that_what_was_not_measured_has_no_number() -> None:
    bare = result(telemetry=None, again=None, runner=None, blocks=0, trials=0)
    said = rows(bare)
    assert {row.value for row in said} == {NOT_MEASURED}
    assert all(row.verdict is None for row in said)


def test_that_a_loss_that_shows_and_a_gain_are_said_as_such() -> None:
    slower = rows(result(telemetry=ratio(0.97, 0.98)))[0]
    assert "costs 2.0 to 3.0 %" in slower.meaning
    assert slower.verdict == "missed"
    assert "nothing that shows" in rows(result(telemetry=ratio(1.001, 1.02)))[0].meaning
    assert "cannot give 10 to 12 % more" in rows(result(telemetry=ratio(1.10, 1.12)))[0].meaning


def test_that_one_stored_by_the_older_method_is_read_and_says_so(tmp_path: Path) -> None:
    older = json.loads(msgspec.json.encode(result(telemetry_processor=ratio(0.98, 1.01))))
    del older["method"]  # as they were stored
    store = LocalStore(tmp_path / "a.duckdb")
    try:
        store.execute(AddSelfCheck(result=msgspec.convert(older, SelfCheck)))
        (found,) = store.execute(ListSelfChecks())
    finally:
        store.close()
    assert found.method == "trials"
    said = {row.title: row for row in rows(found)}
    assert "compared separate trials" in said["Telemetry, throughput"].meaning
    assert "Telemetry, CPU time" in said
    assert "Telemetry, CPU time" not in {row.title for row in rows(result())}


def test_that_a_busy_computer_a_second_window_and_an_early_end_are_cautions() -> None:
    said = " ".join(cautions(result(foreign_cores=0.9, other_window=True, ended="time", window_shown="offscreen")))
    for word in ("busy", "0.9 cores", "Another window", "time was over", "offscreen"):
        assert word in said
    assert cautions(result(foreign_cores=0.02)) == ()


def test_that_rates_are_said_with_what_is_known_of_them() -> None:
    rate = QuantityRate(quantity="power_watts", title="Power", changes=9, updates_hz=19.96)
    assert update_rate(rate) == "20 Hz"
    assert update_rate(msgspec.structs.replace(rate, at_least=True, updates_hz=873.0)) == "≥ 873 Hz"
    assert update_rate(msgspec.structs.replace(rate, updates_hz=None)) == "seldom"


def test_that_clock_and_sensors_are_rows() -> None:
    clock = ClockFigures(name="tsc", resolution_ns=1.0, step_ns=30, read_ns=51.0, stamp_ns=157.0)
    source = SourceRate(source="nvml.GPU-1", period_s=0.1, reads=9, span_s=1.0, read_us=500.0, read_us_most=900.0,
                        quantities=())  # fmt: skip
    said = {row.title: row for row in rows(result(instruments=Instruments(clock=clock, sources=(source,))))}
    assert said["Stamp of a token"].value == "157 ns"
    assert said["Reading all sensors"].value == "0.50 %", "half a millisecond ten times a second"


# --- store ----------------------------------------------------------------------------------------


def test_that_self_checks_are_kept_by_machine_newest_first(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "a.duckdb")
    try:
        for number, machine in enumerate(("here", "there", "here")):
            store.execute(AddSelfCheck(result=result(id=f"c-{number}", machine=machine)))
        store.execute(AddSelfCheck(result=result(id="c-2", machine="here")))
        assert [r.id for r in store.execute(ListSelfChecks(machine="here"))] == ["c-2", "c-0"]
        assert len(store.execute(ListSelfChecks())) == 3
        assert store.execute(ListSelfChecks(machine="here", limit=1))[0] == result(id="c-2")
        assert store.execute(ListSelfChecks(machine="nowhere")) == ()
    finally:
        store.close()


def test_that_a_database_of_the_version_before_gets_the_table_and_one_of_another_form_is_passed_over(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.duckdb"
    whole = current_scheme().schema
    start = whole.index("CREATE TABLE selfchecks")
    before = whole[:start] + whole[whole.index(");", start) + 2 :]
    LocalStore(path, scheme=Scheme(1, before)).close()
    store = LocalStore(path)
    try:
        assert store.execute(ListSelfChecks()) == ()
        store.execute(AddSelfCheck(result=result()))
    finally:
        store.close()
    import duckdb

    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO selfchecks VALUES ('c-9', 'here', now()::TIMESTAMP, '', '{\"other\": 1}')")
    store = LocalStore(path)
    try:
        assert [r.id for r in store.execute(ListSelfChecks(machine="here"))] == ["c-1"]
    finally:
        store.close()


# --- whole runs -----------------------------------------------------------------------------------


def test_that_a_whole_self_check_runs_stores_its_figures_and_its_trials_stand_in_compare(house: House) -> None:
    told: list[Progress] = []
    found = self_check(FAST, told.append, places_=house.places)
    assert (found.blocks, found.trials, found.failed) == (2, 6, 0)
    assert (found.ended, found.method) == ("blocks", "turns")
    assert found.telemetry_processor is None, "turns do not know it"
    for shared in (found.runner, found.runner_bare):
        assert shared is not None
        assert shared.trials == 2
    for one in (found.telemetry, found.again, found.again_processor):
        assert one is not None
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


def test_that_processor_time_counts_between_two_looks_within_the_measured_window_only() -> None:
    second = 1_000_000_000
    looks = Looks(pid=0, seconds=[(2 * second, 5.0), (4 * second, 5.03)])
    assert looks.share(1 * second, 5 * second) == pytest.approx(0.015)
    assert looks.share(3 * second, 5 * second) is None, "the first look came before the window"
    assert looks.share(1 * second, 3 * second) is None, "the second came after it"
    assert Looks(pid=0, seconds=[(2 * second, 5.0)]).share(0, 9 * second) is None


def test_that_this_process_has_used_a_processor_and_one_that_is_gone_has_not() -> None:
    before = processor_seconds(os.getpid())
    sum(range(2_000_000))
    assert processor_seconds(os.getpid()) > before > 0
    looks = Looks(pid=2**22 + 1)
    looks.look()
    assert looks.seconds == []


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
    monkeypatch.setattr(load, "WORKLOAD", msgspec.structs.replace(load.WORKLOAD, prompt_tokens=(666,)))
    with pytest.raises(SelfCheckError, match="3 trials"):
        self_check(FAST, quiet, places_=house.places)
    session = house.open()
    assert session.store.execute(ListTrials(state="waiting")) == ()
    assert session.store.execute(ListSelfChecks()) == ()


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


def test_that_sigterm_ends_it_without_leftovers(house: House) -> None:
    process = house.start("selfcheck", "--blocks", "50", "--no-window", "--json")
    session = house.open()
    until(lambda: session.queue().in_state("running"), seconds=120, what="a trial runs")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode in (0, 1, 130)
    until(lambda: not session.queue().in_state("running"), what="the trial is stopped")
    session.catch_up()
    until(lambda: not session.store.execute(ListTrials(state="waiting")), what="nothing waits")


# --- command --------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command in this process, its trials short."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "chosen", lambda _options: replace(FAST, blocks=1))
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("short")
def test_that_the_command_prints_a_table_json_and_the_stored_one(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["selfcheck", "--show"]) == 5
    assert "llm-workbench selfcheck" in capsys.readouterr().err
    assert main(["selfcheck", "--blocks", "1", "--no-window", "--json"]) in (0, 1)
    done = capsys.readouterr()
    found = json.loads(done.out)
    assert found["blocks"] == 1
    progress = [json.loads(line)["progress"] for line in done.err.splitlines()]
    assert all(0 <= p["fraction"] <= 1 and p["text"] for p in progress)
    shown = house.command("selfcheck", "--show")
    assert shown.returncode == 0, shown.stderr
    for word in ("Telemetry, throughput", "Runner and sampler", "not measured", "Stamp of a token", "Resident memory"):
        assert word in shown.stdout
    assert house.json("selfcheck", "--show")["id"] == found["id"]


def test_that_the_commands_wishes_are_those_of_its_options() -> None:
    parser = build_parser()
    plain = cli.chosen(parser.parse_args(["selfcheck"]))
    assert plain is not None
    assert (plain.minutes, plain.blocks, plain.window, plain.turns) == (20.0, None, True, load.TURNS)
    quick = cli.chosen(parser.parse_args(["selfcheck", "--quick", "--blocks", "3", "--no-window", "--device", "cpu"]))
    assert quick is not None
    assert (quick.minutes, quick.blocks, quick.window, quick.device, quick.quick) == (4.0, 3, False, "cpu", True)


@pytest.mark.parametrize("wrong", [("--blocks", "0"), ("--minutes", "0"), ("--minutes", "-3")])
def test_that_no_blocks_and_no_time_are_wrong_use(house: House, wrong: tuple[str, str]) -> None:
    done = house.command("selfcheck", *wrong)
    assert done.returncode == 2
    assert "above 0" in done.stderr


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
        assert one is not None
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
