"""Part 6: one trial with telemetry on and off in turns, as the self-check does it; the ratio is formed within pairs."""

from __future__ import annotations

import math
import statistics

import msgspec

from benchmarks.median import median_interval
from benchmarks.on_gpu.notes import Notes
from benchmarks.on_gpu.records import end_of, trial
from benchmarks.on_gpu.setting import Setting
from benchmarks.trials import own_runner, trial_order
from engines.protocol.orders import EngineOrder, Inference, TelemetryOrder
from workbench.selfcheck.turns import in_turns

_SHARE = 0.55
"""Of the time that is left: the rest is for starting, loading and warming up."""
_LONGEST_S = 90.0


def run(setting: Setting, notes: Notes) -> None:
    lengths = setting.lengths
    workload = Inference(
        prompt_tokens=lengths.prompt_tokens,
        new_tokens=lengths.new_tokens * 4,  # fewer prefills, which do not count
        window_s=min(_LONGEST_S, notes.left_s() * _SHARE, lengths.turn_s * lengths.turns),
        idle_s=0.0,
        prefill_energy_s=0.0,
    )
    order = trial_order(
        setting.small,
        "precision.bfloat16",
        workload=workload,
        engine=EngineOrder(),
        trial="telemetry",
        device=setting.device,
    )
    order = msgspec.structs.replace(order, telemetry=TelemetryOrder(turns_s=lengths.turn_s))
    with own_runner() as client:
        _, arranged = trial(client, order, notes)
    notes.add(
        "the trial",
        end_of(arranged),
        note=f"{len(arranged.turns)} turns of {lengths.turn_s:g} s, {workload.window_s:.0f} s",
    )
    found = in_turns(arranged)
    if found is None:
        raise RuntimeError(f"No two turns could be compared; the trial {end_of(arranged)}.")
    low, high = median_interval(found.ratios)
    interval = "too few pairs for an interval" if math.isnan(low) else f"at least 95 %: [{low:.4f}, {high:.4f}]"
    note = f"median of {found.pairs} pairs of turns; {interval}; bar 0.99"
    notes.add("decode tokens/s with telemetry / without", statistics.median(found.ratios), note=note)
    notes.add("decode throughput with telemetry", found.on.tokens_per_second, "tokens/s")
    notes.add("decode throughput without", found.off.tokens_per_second, "tokens/s")
    for name, side in (("on", found.on), ("off", found.off)):
        share = side.runner_share
        notes.add(f"runner, telemetry {name}", None if share is None else share * 100, "% of a core", "bar 2 %")
    notes.keep("ratios", found.ratios)
