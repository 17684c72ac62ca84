"""Part 4: adapters of rank 64 on shapes of Llama-3.2-1B and 3.1-8B with random weights: whole training trials through
runner and worker, sequences of 2,048 tokens, step time, memory by part and energy."""

from __future__ import annotations

import msgspec

from benchmarks.on_gpu.notes import Notes, NotHere
from benchmarks.on_gpu.records import end_of, trial
from benchmarks.on_gpu.setting import Setting
from benchmarks.on_gpu.shape import column, figures, missing, rows_of, tell_verdict
from benchmarks.trials import own_runner, trial_order
from engines.protocol.orders import EngineOrder, ModelOrder, TechniqueOrder, Training, TrialOrder

METHOD = TechniqueOrder(id="finetune.lora", parameters={"rank": 64, "alpha": 128})
ROWS = (
    ("", "training_step_s", "ms", 1e-3),
    ("", "training_tokens_per_second", "tokens/s", 1.0),
    ("ST", "training_samples_per_parameter_second", "samples/param/s", 1.0),
    ("AMU", "memory_mean_bytes", "GiB", 2.0**30),
    ("PCU", "utilisation_ratio", "%", 0.01),
    ("AEC", "power_mean_watts", "W", 1.0),
    ("", "energy_per_step_joules", "J/step", 1.0),
    ("", "energy_per_token_joules", "J/token", 1.0),
    ("", "trained_parameters", "million", 1e6),
    ("", "training_weights_bytes", "GiB", 2.0**30),
    ("", "training_gradients_bytes", "GiB", 2.0**30),
    ("", "training_optimiser_bytes", "GiB", 2.0**30),
    ("", "training_activations_bytes", "GiB", 2.0**30),
    ("", "training_temporary_bytes", "GiB", 2.0**30),
    ("", "training_peak_bytes", "GiB", 2.0**30),
    ("", "allocator_peak_bytes", "GiB", 2.0**30),
)
"""Abbreviation, metric, unit and its size."""
_TITLE = "Training of adapters, rank 64"
_WARM_UP = 3


def run(setting: Setting, notes: Notes) -> None:
    if lacking := missing(METHOD.id):
        raise NotHere(f"{lacking} is not installed here")
    columns: dict[str, dict[str, str]] = {}
    longest_s, ran = 0.0, False
    with own_runner() as client:
        for place, model in enumerate(setting.tuned):
            begun_s = notes.left_s()
            # a larger model takes about as much longer to make as to train
            if place and begun_s < 2 * longest_s:
                notes.add(
                    model.title, None, note=f"no time left: {begun_s:.0f} s; the one before took {longest_s:.0f} s"
                )
                continue
            _, arranged = trial(client, order_of(setting, model, place), notes)
            longest_s = max(longest_s, begun_s - notes.left_s())
            notes.add(model.title, end_of(arranged), note=f"{begun_s - notes.left_s():.0f} s")
            notes.keep(f"{model.title}: facts", arranged.environment)
            found = figures(arranged)
            notes.keep(model.title, found)
            columns[model.title] = column(found, ROWS)
            notes.table(_TITLE, ("metric", *columns), rows_of(columns))
            tell_verdict(notes, model.title, arranged)
            ran = ran or bool(arranged.measured_steps)
    if not ran:
        raise RuntimeError("No trial measured a step; the outcome of each is above.")


def order_of(setting: Setting, model: ModelOrder, place: int) -> TrialOrder:
    """One sequence a step, weights in bfloat16 (float32 in a rehearsal), adapters in float32."""
    lengths = setting.lengths
    workload = Training(
        steps=lengths.steps,
        warmup_steps=_WARM_UP,
        batch_size=1,
        sequence_tokens=lengths.sequence_tokens,
        evaluation_tokens=0,
        learning_rate=1e-4,
    )
    made = trial_order(
        model,
        "precision.float32" if setting.rehearsal else "precision.bfloat16",
        workload=workload,
        engine=EngineOrder(),
        trial=f"finetuning-{place}",
        device=setting.device,
    )
    return msgspec.structs.replace(made, techniques=(*made.techniques, METHOD), experiment=made.trial)
