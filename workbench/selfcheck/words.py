"""A self-check in words: one row a figure, for the command and the window. Pure; any thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engines.protocol.instruments import QuantityRate, SourceRate
from workbench.selfcheck.result import (
    LOSS_BAR,
    SAMPLER_BAR,
    Effect,
    Method,
    SelfCheck,
    Share,
    Verdict,
    cannot_be,
    loss_verdict,
    same_verdict,
    share_verdict,
)
from workbench.units import counted, format_duration

BUSY_CORES = 0.1
"""Cores used by others from which the machine was busy: that much costs a two-thread worker several per cent."""
NOT_MEASURED = "not measured"

WHAT_IT_DOES = (
    "Runs short trials of a small model with and without a window, and longer ones in which telemetry is on and off in "
    "turns, and measures the clock and the sensors. It says what measuring costs here and how small a difference this "
    "computer can show. Run nothing else meanwhile."
)


@dataclass(frozen=True)
class Row:
    """A figure: its value with its interval, the bar where there is one, and what it means in a sentence."""

    title: str
    value: str
    meaning: str
    bar: str = ""
    verdict: Verdict | None = None


def rows(result: SelfCheck) -> tuple[Row, ...]:
    """In the order they are shown."""
    return (
        *_telemetry(result),
        *_runner(result),
        *_window(result),
        *_again(result),
        *_instruments(result),
    )


def headline(result: SelfCheck) -> str:
    """ "2026-03-01 14:02, 18 min, 31 blocks"."""
    return f"{when(result)}, {extent(result)}"


def extent(result: SelfCheck) -> str:
    """ "18 min, 31 blocks, 248 trials"."""
    blocks, trials = counted(result.blocks, "blocks"), counted(result.trials, "trials")
    return f"{format_duration(result.duration_s)}, {blocks}, {trials}"


def device_title(result: SelfCheck) -> str:
    """ "CPU", or a GPU as the experiment named it."""
    return "CPU" if result.device == "cpu" else result.device


def when(result: SelfCheck) -> str:
    """In the time zone of whoever reads."""
    try:
        return datetime.fromisoformat(result.started_at).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return result.started_at


def cautions(result: SelfCheck) -> tuple[str, ...]:
    """What is to be known with the figures."""
    found = []
    if result.foreign_cores is not None and result.foreign_cores > BUSY_CORES:
        found.append(
            f"The computer was busy: others used {result.foreign_cores:.1f} cores during the trials. "
            "Intervals are wider for it; run it again when it is quiet."
        )
    if result.ended == "time":
        found.append("Time ran out before the cost of telemetry was known as precisely as asked for.")
    if result.ended == "stopped":
        found.append("It was stopped; these figures are of the blocks until then.")
    if result.other_window:
        found.append("Another window or command had the database open throughout: its cost is in every figure.")
    if result.window_shown == "offscreen":
        found.append("The window was drawn offscreen: a display adds what its compositor takes.")
    if result.device != "cpu":
        found.append("Workers on a GPU start plainly: a block takes longer than on a processor.")
    return (*found, *result.notes)


def percent(effect: Effect) -> str:
    """ "−0.21 % (−0.60 to +0.18)": the change of a rate."""
    text = f"{_signed(effect.ratio)} %"
    if effect.low is None or effect.high is None:
        return f"{text} (no interval)"
    return f"{text} ({_signed(effect.low)} to {_signed(effect.high)})"


def of_a_core(share: Share) -> str:
    """ "0.92 % (0.69 to 1.15)", of one core."""
    text = f"{100 * share.mean:.2f} %"
    if share.low is None or share.high is None:
        return f"{text} (no interval)"
    return f"{text} ({100 * share.low:.2f} to {100 * share.high:.2f})"


def update_rate(rate: QuantityRate) -> str:
    """ "20 Hz", "≥ 870 Hz", "seldom"."""
    if rate.updates_hz is None:
        return "seldom"
    hertz = rate.updates_hz
    text = f"{hertz:.0f}" if hertz >= 10 else f"{hertz:.1f}"
    return f"{'≥ ' if rate.at_least else ''}{text} Hz"


def sensor_rows(sources: Sequence[SourceRate]) -> list[tuple[str, str, str, str]]:
    """Quantity, how often it changes, what a reading costs, where from; for a table."""
    found = []
    for source in sources:
        for rate in source.quantities:
            cost = source.read_us if rate.call_us is None else rate.call_us
            shared = " (whole source)" if rate.call_us is None and len(source.quantities) > 1 else ""
            found.append((rate.title, update_rate(rate), f"{cost:.0f} µs{shared}", source.source))
    return found


_HOW: dict[Method, str] = {
    "turns": "On and off in turns within trials, while they decode; opening the sensors at the start is not in it.",
    "trials": "By the older method, which compared separate trials: wide intervals.",
}


def _telemetry(result: SelfCheck) -> list[Row]:
    found = result.telemetry
    bar = f"loss ≤ {100 * LOSS_BAR:g} %"
    if found is None:
        return [Row("Telemetry, throughput", NOT_MEASURED, "No block was whole.", bar)]
    meaning = f"{_loss(found, 'Watching at 10 Hz')} {_HOW[result.method]}"
    return [
        Row("Telemetry, throughput", percent(found), meaning, bar, loss_verdict(found)),
        *_beside("Telemetry, CPU time", result.telemetry_processor),
    ]


def _runner(result: SelfCheck) -> list[Row]:
    bar = f"≤ {100 * SAMPLER_BAR:g} % of a core"
    if result.runner is None:
        return [Row("Runner and sampler", NOT_MEASURED, "No trial recorded the runner's processor time.", bar)]
    meaning = "Of one core: the whole runner with its sampler at 10 Hz, while a trial is measured"
    if result.runner_bare is not None:
        meaning += f"; without telemetry {of_a_core(result.runner_bare)}"
    return [Row("Runner and sampler", of_a_core(result.runner), f"{meaning}.", bar, share_verdict(result.runner))]


def _window(result: SelfCheck) -> list[Row]:
    if result.window is None:
        return [Row("Window open, throughput", NOT_MEASURED, "The window's own cost was left out.")]
    shown = f", {result.window_shown}" if result.window_shown else ""
    found = [
        Row("Window open, throughput", percent(result.window), _loss(result.window, f"A window on Monitor{shown}")),
        *_beside("Window open, CPU time", result.window_processor),
    ]
    if result.window_process is not None:
        meaning = "Of one core: its process while it draws a running trial and takes the records in."
        found.append(Row("The window itself", of_a_core(result.window_process), meaning))
    return found


def _again(result: SelfCheck) -> list[Row]:
    found = result.again
    if found is None:
        return [Row("The same twice (A/A)", NOT_MEASURED, "No block was whole.")]
    half = found.half_width
    if half is None:
        meaning = "One block carries no interval."
    else:
        meaning = (
            f"With {counted(found.blocks, 'blocks')} this computer can show differences from about {_size(half)} % on."
        )
        if same_verdict(found) == "missed":
            meaning += " The same differed from itself: by chance one time in twenty, or the computer was not quiet."
    return [
        Row("The same twice (A/A)", percent(found), meaning, "interval holds 0", same_verdict(found)),
        *_beside("The same twice, CPU time", result.again_processor),
    ]


def _instruments(result: SelfCheck) -> list[Row]:
    if result.instruments is None:
        return [Row("Clock", NOT_MEASURED, "Clocks and sensors could not be measured.")]
    clock = result.instruments.clock
    source = f"{clock.name}; " if clock.name else ""
    sources = result.instruments.sources
    total = sum(s.share for s in sources)
    return [
        Row(
            "Clock",
            f"{clock.read_ns:.0f} ns a reading",
            f"{source}states {clock.resolution_ns:g} ns, smallest step seen {clock.step_ns} ns.",
        ),
        Row("Stamp of a token", f"{clock.stamp_ns:.0f} ns", "All that the timed loop does beside its work."),
        Row(
            "Reading all sensors",
            f"{100 * total:.2f} %",
            f"Of one core, by what one reading costs: {counted(len(sources), 'sources')} at the rate trials read them.",
        ),
    ]


def _beside(title: str, effect: Effect | None) -> list[Row]:
    """The less noisy figure beside the wall clock's."""
    if effect is None:
        return []
    meaning = "Tokens per second of the worker's own processor time: less noise, blind to waiting."
    return [Row(title, percent(effect), meaning)]


def _loss(effect: Effect, what: str) -> str:
    if effect.low is None or effect.high is None:
        return f"{what}: one block carries no interval."
    if effect.high < 1:
        return f"{what} costs {_size(1 - effect.high)} to {_size(1 - effect.low)} % of the tokens per second."
    if cannot_be(effect):
        gain = f"{_size(effect.low - 1)} to {_size(effect.high - 1)} % more tokens per second"
        return f"{what} cannot give {gain}: something else moved them."
    if effect.low > 1:
        return f"{what} costs nothing that shows."
    return f"{what} costs at most {_size(1 - effect.low)} % of the tokens per second; none is shown."


def _signed(ratio: float) -> str:
    change = 100 * (ratio - 1)
    text = f"{change:+.2f}" if abs(change) < 10 else f"{change:+.0f}"
    return text.replace("-", "−")


def _size(share: float) -> str:
    value = 100 * share
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"
