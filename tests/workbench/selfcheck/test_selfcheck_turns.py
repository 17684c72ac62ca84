"""Telemetry's cost from turns within trials: worked examples, and simulated trials with a loss that is known.

The simulation: gaps between tokens are log-normal around 8 ms with an AR(1) of 0.5 and a standard deviation of 5 %; a
trial has a factor of its own (3 %), gets 5 % slower from its first token to its last, and one in two has a stretch of
up to three seconds that is 15 % slower. One gap in two hundred takes three times as long. With telemetry on, work goes
on at (1 - loss) of its speed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import signal

from engines.protocol.records import Record, Stamps, Telemetry, TelemetryTurn
from engines.runner.turns import sides
from tests.builders import request
from workbench.metrics.trial import TrialRecords, arrange
from workbench.selfcheck.blocks import OFF, ON, TrialFigures, effect, enough, turn_rates
from workbench.selfcheck.turns import LEAST_TOKENS, in_turns

SECOND = 1_000_000_000
TOKENS = 16
"""Of a request."""


def turn(index: int, on: bool, start_s: float, end_s: float, cpu: float | None = None) -> TelemetryTurn:
    return TelemetryTurn(
        index=index,
        on=on,
        start_ns=round(start_s * SECOND),
        t_ns=round(end_s * SECOND),
        runner_cpu_seconds=cpu,
    )


def readings(*times_s: float) -> Telemetry:
    times = [round(t * SECOND) for t in times_s]
    return Telemetry(source="proc.tree", times_ns=times, columns={"rss_bytes": [1.0] * len(times)})


def requests(times_s: Sequence[float], prefill_s: float = 0.01, tokens: int = TOKENS) -> list[Record]:
    """Token times cut into requests; what is left over is dropped."""
    times = [round(t * SECOND) for t in times_s]
    found: list[Record] = [Stamps(first=0, times_ns=times)]
    for index in range(len(times) // tokens):
        first, last = index * tokens, (index + 1) * tokens - 1
        found.append(request(index, times[first] - round(prefill_s * SECOND), times[last], first, tokens))
    return found


# --- worked examples ------------------------------------------------------------------------------


def example(*, prefill_s: float = 0.05) -> tuple[list[float], list[TelemetryTurn]]:
    """Two pairs of turns of 2 s: a token takes 10 ms without telemetry and 12.5 ms with it; requests of 16 tokens, and
    a pause of `prefill_s` before each."""
    turns = [turn(0, True, 0, 2), turn(1, False, 2, 4), turn(2, False, 4, 6), turn(3, True, 6, 8)]
    times, at = [], 0.0
    while at < 8:
        at += prefill_s
        for _ in range(TOKENS):
            on = next((t.on for t in turns if t.start_ns <= at * SECOND < t.t_ns), False)
            at += 0.0125 if on else 0.01
            times.append(at)
    return times, turns


EVERY = readings(0.5, 1.5, 6.5, 7.5)


def told(times: Sequence[float], turns: Sequence[TelemetryTurn], *others: Record) -> TrialRecords:
    return arrange([*requests(times), *turns, *others])


@pytest.mark.parametrize("prefill_s", [0.001, 0.05, 0.4])
def test_that_a_pairs_rates_are_those_of_decoding_whatever_lies_between_requests(prefill_s: float) -> None:
    times, turns = example(prefill_s=prefill_s)
    found = in_turns(told(times, turns, EVERY))
    assert found.pairs == 2
    assert found.ratios == pytest.approx([0.8, 0.8], rel=1e-6)
    assert found.on.tokens_per_second == pytest.approx(80, rel=1e-6)
    assert found.off.tokens_per_second == pytest.approx(100, rel=1e-6)


def test_that_what_happens_in_the_first_tenth_of_a_second_of_a_turn_does_not_count() -> None:
    times, turns = example()
    hasty = [2 + (t - 2) / 2 if 2.0 <= t < 2.09 else t for t in times]
    assert hasty != times
    found = in_turns(told(hasty, turns, EVERY))
    assert found.off.tokens_per_second == pytest.approx(100, rel=1e-6)


def test_that_a_turn_with_too_few_tokens_and_its_neighbour_are_left_out() -> None:
    times, turns = example()
    assert in_turns(told(times, turns, EVERY)) is not None
    short = [*turns[:3], turn(3, True, 6, 6.2)]
    found = in_turns(told(times, short, EVERY))
    assert found.pairs == 1
    assert in_turns(told(times[: LEAST_TOKENS - 1], turns, EVERY)) is None


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_that_the_neighbour_of_a_lost_turn_is_left_out(lost: int) -> None:
    times, turns = example()
    found = in_turns(told(times, [t for t in turns if t.index != lost], EVERY))
    assert found.pairs == 1
    assert found.on.tokens_per_second / found.off.tokens_per_second == pytest.approx(0.8)


def test_that_a_last_turn_without_a_partner_is_left_out_and_a_shortened_one_counts() -> None:
    times, turns = example()
    odd = in_turns(told(times, turns[:3], EVERY))
    assert odd.pairs == 1
    shortened = in_turns(told(times, [*turns[:3], turn(3, True, 6, 7.1)], EVERY))
    assert shortened.pairs == 2


def test_that_a_turn_that_is_on_without_a_reading_shows_nothing() -> None:
    times, turns = example()
    found = in_turns(told(times, turns, readings(0.5, 3.0)))
    assert found.pairs == 1, "nothing was read in the fourth"
    assert in_turns(told(times, turns)) is None


def test_that_two_turns_of_the_same_side_are_no_pair_and_no_turns_are_nothing() -> None:
    times, turns = example()
    assert in_turns(told(times, [turn(0, True, 0, 2), turn(1, True, 6, 8)], EVERY)) is None
    assert in_turns(told(times, [])) is None
    assert in_turns(told([], turns, EVERY)) is None


def test_that_a_stamp_that_was_never_read_makes_no_gap() -> None:
    times, turns = example()
    whole = requests(times)
    stamps = whole[0]
    assert isinstance(stamps, Stamps)
    holes = [
        Stamps(first=0, times_ns=stamps.times_ns[:30]),
        Stamps(first=33, times_ns=stamps.times_ns[33:]),
    ]
    found = in_turns(arrange([*holes, *whole[1:], *turns, EVERY]))
    assert found.on.tokens_per_second == pytest.approx(80, rel=1e-6)


def test_that_the_runners_processor_time_is_a_share_of_its_turns() -> None:
    times, turns = example()
    spent = [turn(t.index, t.on, t.start_ns / SECOND, t.t_ns / SECOND, 0.03 if t.on else 0.01) for t in turns]
    found = in_turns(told(times, spent, EVERY))
    assert (found.on.runner_share, found.off.runner_share) == pytest.approx((0.015, 0.005))
    unknown = in_turns(told(times, [*spent[:3], turns[3]], EVERY))
    assert unknown.on.runner_share is None
    assert unknown.off.runner_share == pytest.approx(0.005)


# --- the order of turns ---------------------------------------------------------------------------


def test_that_turns_come_in_mirrored_pairs_by_lot() -> None:
    lot = sides(7, "t-1")
    fours = [tuple(next(lot) for _ in range(4)) for _ in range(50)]
    assert set(fours) == {(True, False, False, True), (False, True, True, False)}
    again, other = sides(7, "t-1"), sides(7, "t-2")
    assert [next(again) for _ in range(200)] == [side for four in fours for side in four]
    assert [next(other) for _ in range(200)] != [side for four in fours for side in four]


# --- simulation -----------------------------------------------------------------------------------

TURN_S, TURNS, GAP_S = 1.5, 16, 0.008


def simulated(rng: np.random.Generator, trial: str, loss: float) -> TrialRecords:
    lot = sides(7, trial)
    on = [next(lot) for _ in range(TURNS)]
    count = round(TURN_S * TURNS / GAP_S * 1.05)
    noise = signal.lfilter([1.0], [1.0, -0.5], rng.normal(0, 0.05 * math.sqrt(0.75), count))
    gaps = GAP_S * np.exp(noise + rng.normal(0, 0.03)) * np.linspace(1.0, 1.05, count)
    gaps[rng.random(count) < 0.005] *= 3
    if rng.random() < 0.5:
        begin, length = rng.integers(count), rng.integers(round(3 / GAP_S))
        gaps[begin : begin + length] *= 1.15
    gaps[::TOKENS] = 0.015  # a prefill and what lies between requests
    # work done by the end of each turn, and so the time at which any amount of work is done
    walls = np.arange(TURNS + 1) * TURN_S
    done = np.concatenate(([0.0], np.cumsum([TURN_S * (1 - loss if side else 1.0) for side in on])))
    times = np.interp(np.cumsum(gaps), done, walls)
    times = times[times < walls[-1]]
    turns = [turn(i, side, walls[i], walls[i + 1]) for i, side in enumerate(on)]
    read = readings(*(walls[i] + 0.5 for i, side in enumerate(on) if side))
    return told(times.tolist(), turns, read)


@pytest.mark.parametrize("loss", [0.0, 0.02, -0.02])
def test_that_a_loss_is_found_without_bias_and_its_interval_holds_it(loss: float) -> None:
    experiments, blocks = 60, 7
    rng = np.random.default_rng(20_260_301)
    held, logs = 0, []
    for experiment in range(experiments):
        figures = []
        for block in range(blocks):
            found = in_turns(simulated(rng, f"t-{experiment}-{block}", loss))
            assert found.pairs == TURNS // 2
            logs.append(math.log(found.on.tokens_per_second / found.off.tokens_per_second))
            figures.append(TrialFigures(arm="turns", block=block, tokens_per_second=1.0, turns=found))
        result = effect(turn_rates(figures), ON, OFF)
        assert result.low is not None
        assert result.high is not None
        held += result.low <= 1 - loss <= result.high
    error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    assert error < 0.0006, "or the test would prove nothing"
    assert float(np.mean(logs)) == pytest.approx(math.log(1 - loss), abs=4 * error)
    assert held >= 0.88 * experiments, "95 % less three standard errors of so few experiments"


def test_that_blocks_end_by_the_turns_alone() -> None:
    rng = np.random.default_rng(5)
    figures = []
    for block in range(20):
        found = in_turns(simulated(rng, f"t-{block}", 0.003))
        figures += [
            TrialFigures(arm="turns", block=block, tokens_per_second=100.0, turns=found),
            TrialFigures(arm="on", block=block, tokens_per_second=float(rng.uniform(50, 150))),
        ]
    assert enough(figures, 0.02).stop
    assert not enough(figures[:12], 0.02).stop, "six blocks are too few whatever they say"
    assert not enough(figures, 0.0005).stop
    assert not enough([f for f in figures if f.turns is None], 0.02).stop
