"""Stalls, drift, two paces and idling within the measured window: what is put in is found, noise alone is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.protocol.records import ModelLoaded, Record, Request, Stamps, Telemetry, TrialStarted
from tests.builders import request
from tests.workbench.synthetic import GPU, SECOND, FakeTrial, records
from workbench.metrics.checks.pace import PACE_CHECKS, low_utilisation, stall, uneven_pace
from workbench.metrics.checks.verdict import judge
from workbench.metrics.trial import arrange

Pace = Callable[[float], float]
"""Time of a token against the usual one, by the share of the trial's tokens before it."""


def trial(
    rng: np.random.Generator,
    *,
    requests: int = 3,
    tokens: int = 64,
    token_s: float = 0.02,
    noise: float = 0.03,
    correlation: float = 0.0,
    growth: float = 0.0,
    pace: Pace = lambda _share: 1.0,
    jitter: tuple[float, float] = (0.0, 0.0),
    stops: dict[int, float] | None = None,
    batch: int = 1,
    prefill_tokens: float = 10.0,
    pause_s: float = 0.001,
    late: dict[int, float] | None = None,
) -> list[Record]:
    """Requests of `tokens` tokens. `growth`: how much slower the last token of a request is than its first; `jitter`:
    chance of a token to be late and how late (s, mean); `stops`: seconds by token of the whole trial before which the
    worker stood still; `late`: the same by request, before its return."""
    made: list[Record] = []
    now, number, state = SECOND, 0, 0.0
    for index in range(requests):
        start, times = now, []
        for place in range(tokens):
            state = correlation * state + rng.normal(0, noise * np.sqrt(1 - correlation**2))
            work = prefill_tokens if place == 0 else 1 + growth * place / tokens
            taken = token_s * work * pace(number / (requests * tokens)) * float(np.exp(state))
            if rng.random() < jitter[0]:
                taken += rng.exponential(jitter[1])
            now += max(1, round((taken + (stops or {}).get(number, 0.0)) * SECOND))
            times.append(now)
            number += 1
        end = now + round((0.0002 + (late or {}).get(index, 0.0)) * SECOND)
        made.append(Stamps(first=number - tokens, times_ns=times))
        whole = tokens * batch
        made.append(request(index, start, end, number - tokens, tokens, generated_tokens=whole, batch_size=batch))
        now = end + round(pause_s * SECOND)
    return made


def said(made: list[Record]) -> dict[str, str]:
    return {r.code: r.severity for check in PACE_CHECKS for r in check(arrange(made))}


def seeds(count: int = 5) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


# --- clean ------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    requests=st.integers(1, 40),
    tokens=st.integers(1, 80),
    token_s=st.sampled_from((1e-4, 0.002, 0.02, 0.4)),
    noise=st.floats(0.0, 0.3),
    correlation=st.sampled_from((0.0, 0.5)),
    growth=st.floats(0.0, 3.0),
    batch=st.integers(1, 8),
)
def test_that_noise_and_a_growing_cache_alone_are_no_reason(
    seed: int, requests: int, tokens: int, token_s: float, noise: float, correlation: float, growth: float, batch: int
) -> None:
    """±30 % from token to token, tokens that get three times slower within a request, fast and slow ones."""
    made = trial(
        np.random.default_rng(seed),
        requests=requests,
        tokens=tokens,
        token_s=token_s,
        noise=noise,
        correlation=correlation,
        growth=growth,
        batch=batch,
    )
    assert said(made) == {}


def test_that_jitter_of_the_system_beside_tokens_of_a_tenth_of_a_millisecond_is_no_stall() -> None:
    for rng in seeds():
        assert said(trial(rng, requests=6, tokens=512, token_s=1e-4, noise=0.1, jitter=(0.002, 4e-4))) == {}


def test_that_requests_which_differ_by_tens_of_per_cent_at_random_have_no_two_paces() -> None:
    for rng in seeds(20):
        levels = rng.normal(0, 0.3, 30)
        made = trial(rng, requests=30, tokens=17, pace=lambda s, levels=levels: float(np.exp(levels[int(s * 30)])))  # type: ignore[misc]
        assert said(made) == {}


# --- stalls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [0, 1, 30, 63, 64, 100, 191])
def test_that_a_stop_of_eight_seconds_makes_the_trial_invalid_wherever_it_falls(token: int) -> None:
    for rng in seeds(3):
        assert said(trial(rng, stops={token: 8.0})) == {"stall": "invalid"}


def test_that_the_longest_stop_and_what_is_usual_there_are_told() -> None:
    (reason,) = stall(arrange(trial(seeds()[0], stops={100: 8.0})))
    assert reason.message.startswith("Decode stalled once, for up to 8 s where 20 ms is usual: 68 % of its time")


@pytest.mark.parametrize(("share", "severity"), [(0.02, None), (0.04, "warning"), (0.09, "warning"), (0.12, "invalid")])
def test_that_a_stall_is_judged_by_the_share_of_time_it_took(share: float, severity: str | None) -> None:
    decode_s = 3 * 63 * 0.02
    made = trial(seeds()[0], noise=0.0, stops={100: decode_s * share / (1 - share)})
    assert said(made) == ({"stall": severity} if severity else {})


def test_that_many_short_stops_are_a_caution_and_not_invalid() -> None:
    """A processor that is given back after 50 ms, every tenth token: that is how fast this machine is."""
    for rng in seeds():
        made = trial(rng, requests=3, tokens=200, token_s=0.005, stops=dict.fromkeys(range(5, 600, 10), 0.05))
        assert said(made) == {"stall": "warning"}


def test_that_a_stop_too_short_for_a_stop_never_makes_a_trial_invalid() -> None:
    made = trial(seeds()[0], requests=3, tokens=16, token_s=0.002, stops={20: 0.09})
    assert said(made) == {"stall": "warning"}


def test_that_a_stop_after_the_last_token_or_between_requests_is_found() -> None:
    assert said(trial(seeds()[0], late={1: 8.0})) == {"stall": "invalid"}
    stopped = trial(seeds()[0], requests=4)
    after = [r for r in stopped if isinstance(r, Request)][2].start_ns
    moved: list[Record] = []
    for record in stopped:
        if isinstance(record, Stamps) and record.times_ns[0] > after:
            moved.append(Stamps(first=record.first, times_ns=[t + 8 * SECOND for t in record.times_ns]))
        elif isinstance(record, Request) and record.start_ns >= after:
            times = {"start_ns": record.start_ns + 8 * SECOND, "end_ns": record.end_ns + 8 * SECOND}
            moved.append(Request(**({f: getattr(record, f) for f in record.__struct_fields__} | times)))
        else:
            moved.append(record)
    assert said(moved) == {"stall": "invalid"}


def test_that_the_growing_cache_of_a_long_request_is_no_stall_and_a_stop_in_it_is_one() -> None:
    made = trial(seeds()[0], requests=1, tokens=4000, token_s=0.001, growth=20.0)
    assert said(made) == {}
    assert said(trial(seeds()[0], requests=1, tokens=4000, token_s=0.001, growth=20.0, stops={40: 8.0})) == {
        "stall": "invalid"
    }


# --- drift and two paces ----------------------------------------------------------------------------

SHAPES = [(3, 64, 1.5), (5, 20, 1.5), (7, 200, 1.5), (12, 64, 1.25), (40, 16, 1.25), (100, 1, 1.25)]


@pytest.mark.parametrize(("requests", "tokens", "slower"), SHAPES)
def test_that_a_change_of_pace_is_found(requests: int, tokens: int, slower: float) -> None:
    for rng in seeds():

        def codes(pace: Pace, rng: np.random.Generator = rng) -> dict[str, str]:
            return said(trial(rng, requests=requests, tokens=tokens, growth=1.0, noise=0.05, pace=pace))

        assert codes(lambda s: slower if s > 0.5 else 1.0) == {"two_paces": "warning"}
        assert codes(lambda s: 1.0 if s > 0.4 else slower) == {"two_paces": "warning"}


@pytest.mark.parametrize(("requests", "tokens", "slower"), SHAPES[2:])
def test_that_a_drift_is_found_and_not_taken_for_two_paces(requests: int, tokens: int, slower: float) -> None:
    for rng in seeds():
        made = trial(
            rng, requests=requests, tokens=tokens, growth=1.0, noise=0.02, pace=lambda s: 1 + (slower * 1.2 - 1) * s
        )
        assert said(made) == {"drift": "warning"}


def test_that_a_neighbour_for_a_third_of_the_window_is_two_paces() -> None:
    for rng in seeds():
        made = trial(rng, requests=20, tokens=32, pace=lambda s: 1.4 if 0.3 < s < 0.65 else 1.0)
        (reason,) = uneven_pace(arrange(made))
        assert reason.code == "two_paces"
        assert "from " in reason.message
        assert "by -2" in reason.message, "slower in the middle, by 1 - 1/1.4"


def test_that_a_change_of_pace_is_cautioned_from_a_tenth_on() -> None:
    for slower, found in ((1.09, {}), (1.11, {"two_paces": "warning"})):
        made = trial(seeds()[0], requests=20, noise=0.01, pace=lambda s, slower=slower: slower if s > 0.5 else 1.0)  # type: ignore[misc]
        assert said(made) == found


def test_that_a_single_request_has_no_pace_to_compare_with() -> None:
    assert said(trial(seeds()[0], requests=1, pace=lambda s: 1.5 if s > 0.5 else 1.0)) == {}


# --- utilisation ------------------------------------------------------------------------------------


def busy(cores: float, threads: int) -> list[Record]:
    made = trial(seeds()[0])
    times = [i * SECOND // 10 for i in range(120)]
    return [
        *made,
        TrialStarted(clock=None, worker_pid=1, threads=threads),  # type: ignore[arg-type]
        Telemetry(source="proc.tree", times_ns=times, columns={"cpu_seconds": [cores * t / SECOND for t in times]}),
    ]


@pytest.mark.parametrize(
    ("cores", "threads", "low"), [(0.81, 1, 0), (0.79, 1, 1), (1.01, 2, 0), (0.99, 2, 1), (4.1, 8, 0), (3.9, 8, 1)]
)
def test_that_a_worker_which_idles_is_a_caution(cores: float, threads: int, low: bool) -> None:
    found = low_utilisation(arrange(busy(cores, threads)))
    assert [r.code for r in found] == ["low_utilisation"] * low
    assert not low or f"{cores:.2f} cores" in found[0].message


@pytest.mark.parametrize(("share", "low"), [(0.5, False), (0.49, True)])
def test_that_a_gpu_which_idles_is_a_caution(share: float, low: bool) -> None:
    stream: list[Record] = [r for r in records(FakeTrial(device="gpu")) if isinstance(r, ModelLoaded | Request)]
    times = [r.start_ns for r in stream if isinstance(r, Request)] + [
        r.end_ns for r in stream if isinstance(r, Request)
    ]
    stream.append(Telemetry(source=GPU, times_ns=times, columns={"utilisation_ratio": [share] * len(times)}))
    assert [r.code for r in low_utilisation(arrange(stream))] == ["low_utilisation"] * low


def test_that_the_verdict_asks_for_the_pace() -> None:
    stopped = trial(seeds()[0], stops={100: 8.0})
    assert ("stall", "invalid") in {(r.code, r.severity) for r in judge(arrange(stopped)).reasons}


def at_once(index: int, start: int, end: int, times: list[int]) -> list[Record]:
    first = index * len(times)
    return [Stamps(first=first, times_ns=times), request(index, start, end, first, len(times))]


@pytest.mark.parametrize("tokens", [1, 8, 20])
@pytest.mark.parametrize("length", [-10, 0, 1000])
@pytest.mark.parametrize("apart", [0, SECOND])
@pytest.mark.parametrize("late", [-5, 0])
def test_that_times_that_do_not_hold_have_a_verdict(tokens: int, length: int, apart: int, late: int) -> None:
    starts = [SECOND + apart * index for index in range(10)]
    made = [at_once(i, start, start + length, [start + late] * tokens) for i, start in enumerate(starts)]
    verdict = judge(arrange([record for request in made for record in request]))
    assert verdict.verdict == "invalid"
    assert not {"drift", "two_paces"} & {reason.code for reason in verdict.reasons}


@pytest.mark.parametrize(("tokens", "what"), [(1, "Requests"), (4, "Requests"), (5, "Decode")])
def test_that_short_requests_are_judged_whole_and_it_says_so(tokens: int, what: str) -> None:
    made = trial(np.random.default_rng(1), requests=20, tokens=tokens, pace=lambda share: 1.0 if share < 0.5 else 2.0)
    (reason,) = uneven_pace(arrange(made))
    assert reason.code == "two_paces"
    assert reason.message.startswith(f"{what} ran at two paces")
