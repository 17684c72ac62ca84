"""What a trial says while it runs.

Every record is one frozen struct with a rising `seq` (given by the runner when it appends to the spool; 0
before that) and `t_ns`, monotonic nanoseconds of the machine under test. Units stand in every name:
`_ns` nanoseconds, `_s` seconds, `_bytes`, `_ratio`. Extend by adding a struct to `Record`; a reader that does
not know a kind gets an `UnknownRecord` and keeps it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

PhaseName = Literal[
    "start",
    "convert",
    "load",
    "warmup",
    "measure",
    "prefill",
    "decode",
    "step",
    "evaluate",
    "idle",
    "adapt",
    "unload",
    "prefill_energy",
]
"""Spans of a trial. `convert` makes files that an engine needs and does not have yet. `adapt` applies a fine-tuning
method to the loaded model. `measure` encloses the `prefill`
and `decode` of every measured request; `prefill_energy` encloses the `prefill` of requests of one token, which have no
`Request` record."""

Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What arrays and databases can hold: a line with a larger number is damaged."""

OutcomeName = Literal["completed", "stopped", "failed", "lost"]

LogLevel = Literal["debug", "info", "warning", "error"]


class _Base(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    seq: Whole = 0
    t_ns: Whole = 0


class ClockPair(msgspec.Struct, frozen=True):
    """Wall clock and monotonic clock read together: a suspend or a stepped clock shows as their difference."""

    wall_ns: Whole
    mono_ns: Whole


class TrialStarted(_Base, frozen=True, kw_only=True, tag="trial_started"):
    """The runner has started a worker."""

    clock: ClockPair
    worker_pid: Whole
    start_method: str = "plain"
    """"plain" or "template", as it really was: cold-start figures of a template start mean nothing."""
    threads: Whole = 0
    processors: tuple[int, ...] = ()
    """Processor numbers the worker may use."""


class PhaseStarted(_Base, frozen=True, kw_only=True, tag="phase_started"):
    name: PhaseName
    index: Whole = 0
    """Request or iteration number within the name; warm-up and measured requests count apart."""


class PhaseEnded(_Base, frozen=True, kw_only=True, tag="phase_ended"):
    """`t_ns` is the end; `start_ns` repeats the start so that one record describes the span."""

    name: PhaseName
    index: Whole = 0
    start_ns: Whole
    cpu_seconds: float | None = None
    """Processor time of the worker, all its threads, within the span; None where it was not read."""


class Progress(_Base, frozen=True, kw_only=True, tag="progress"):
    """How far the trial is, for people. `fraction` 0..1 over the whole trial, None when unknown."""

    text: str
    fraction: float | None = None


class ModelLoaded(_Base, frozen=True, kw_only=True, tag="model_loaded"):
    """Counted from the tensors, quantised sub-tensors included."""

    parameters: Whole
    tensor_bytes: Whole
    bytes_by_dtype: dict[str, int]
    original_bytes: Whole
    """Bytes of the same tensors in the model's own stored precision, for compression ratios."""
    nominal_bits: float
    """Bits per weight the technique promises (32, 16, 8, 4)."""
    stored_bits: float = 0.0
    """Bits per quantised or cast weight really stored (8 when a 4-bit format keeps one value per byte)."""
    attention: str = ""
    device: str = "cpu"
    load_s: float = 0.0
    details: dict[str, str] = {}


class Request(_Base, frozen=True, kw_only=True, tag="request"):
    """One finished request. `start_ns`..`end_ns` are read around the call, independent of the token stamps."""

    index: Whole
    warmup: bool
    start_ns: Whole
    end_ns: Whole
    first_stamp: Whole
    stamps: Whole
    """Its tokens are ring stamps `first_stamp` .. `first_stamp + stamps - 1`."""
    prompt_tokens: Whole
    """Of one sequence; every sequence of the batch has as many."""
    generated_tokens: Whole
    """Over the whole batch: batch_size x tokens per sequence."""
    batch_size: Whole
    synchronised: bool = True
    """Whether the loop waited for each token (a host stamp is then the token's true time)."""


class Step(_Base, frozen=True, kw_only=True, tag="step"):
    """One finished training step. `start_ns`..`end_ns` are read around the step, the optimiser's included."""

    index: Whole
    """From 0; warm-up steps come first and share the numbering."""
    warmup: bool
    start_ns: Whole
    end_ns: Whole
    tokens: Whole
    """Of this step alone, over all its sequences; padding does not count."""
    samples: Whole
    """Of this step alone."""
    loss: float | None = None
    """Mean loss a predicted token (nats), computed before the step changed the weights."""
    gradient_norm: float | None = None
    """Of all trained parameters together, before clipping."""
    learning_rate: float | None = None
    padding_tokens: Whole = 0
    """Computed, but part of no sequence; not in `tokens`."""
    data_s: float = 0.0
    """Time it waited for its batch to be made, before `start_ns`."""
    loss_tokens: Whole = 0
    """Predicted tokens that `loss` is the mean of, over all sequences; 0: not said, all are."""
    micro_batches: Whole = 1
    """Batches whose gradients the step added up."""


class MemoryParts(_Base, frozen=True, kw_only=True, tag="memory_parts"):
    """What the device's memory held at the peak of one untimed training step, by part."""

    weights_bytes: Whole
    gradients_bytes: Whole
    optimiser_bytes: Whole
    activations_bytes: Whole
    """Kept for the way back."""
    temporary_bytes: Whole
    peak_bytes: Whole
    """All parts together at the peak; parts are of that moment."""
    method: Literal["mem_tracker", "saved_tensors"]


class FlopCount(_Base, frozen=True, kw_only=True, tag="flop_count"):
    """Floating-point operations of one training step (a multiplication and an addition are two)."""

    formula_flops: float
    counted_flops: float | None = None
    """By torch's counter in an untimed step; None where it was not counted."""
    omitted: str = ""
    """What the counter does not see, in a phrase."""


class Resumed(_Base, frozen=True, kw_only=True, tag="resumed"):
    """The trial continued from a checkpoint of an earlier one."""

    step: Whole
    """Steps that were done."""
    path: str
    sha256: str


class Stamps(_Base, frozen=True, kw_only=True, tag="stamps"):
    """Token stamps the runner has read from the worker's ring: times of stamps `first`, `first + 1`, ..."""

    first: Whole
    times_ns: list[Whole]


class Evaluation(_Base, frozen=True, kw_only=True, tag="evaluation"):
    """Quality on held-out text. Perplexity = exp(nll_sum / tokens); bits per byte = nll_sum / ln 2 / bytes."""

    name: str = "perplexity"
    """"perplexity"; of a training trial "held_out_before", "held_out" (in between) and "held_out_after"."""
    step: Whole | None = None
    """Training steps done before it; None outside training."""
    split: Literal["", "validation", "test"] = ""
    """Of a training trial: which of the rows that training does not see."""
    nll_sum: float
    tokens: Whole
    text_bytes: Whole
    data_name: str
    data_hash: str
    context_tokens: Whole = 0
    begin: str | None = None
    """The begin token before every window, by the tokenizer's own rule ("<bos> (2)"); "" where it adds none. None: from
    a version that added none whatever the rule."""
    first_byte: Whole = 0
    """Where in the text the scored tokens begin."""
    part_tokens: Whole = 0
    """Scored tokens of each part but the last, which may be shorter; 0: no parts were kept."""
    part_nll: tuple[float, ...] = ()
    """Loss of the parts in order; they add up to `nll_sum`."""
    part_bytes: tuple[int, ...] = ()
    """Bytes of text of the parts."""


class WrittenText(_Base, frozen=True, kw_only=True, tag="written_text"):
    """What the model wrote, greedily, for a built-in prompt, for people to read; never inside a timed window."""

    prompt_id: str
    """Name of the prompt in the built-in set: "explain-gravity"."""
    prompt: str
    """As the user would type it; a chat template may have been put around it (`templated`)."""
    text: str
    tokens: Whole
    templated: bool = False
    ended: bool = False
    """Whether the model ended by itself before the limit."""
    begin: str | None = None
    """The begin token before the prompt, as in `Evaluation`."""


class TaskScore(_Base, frozen=True, kw_only=True, tag="task_score"):
    """Accuracy on one task. `score` is the mean over `samples`; `stderr` its standard error, None where the harness
    gives none; `chance` what guessing gets (free answers: 0), None where that is not known."""

    task: str
    measure: str
    """"acc", "acc_norm", "exact_match"."""
    score: float
    samples: Whole
    stderr: float | None = None
    chance: float | None = None
    shots: Whole = 0
    harness: str = ""
    """Program and version that scored: "lm-eval 0.4.9"."""
    data_name: str
    data_hash: str = ""
    begin: str | None = None
    """The begin token before every question, as in `Evaluation`."""


class TookEffect(_Base, frozen=True, kw_only=True, tag="took_effect"):
    """What one technique of the order changed, as counted in the loaded model after it was applied."""

    technique: str
    """Id: "finetune.lora"."""
    stage: str
    """Where it was applied: "load", "model", "cache"."""
    changed: dict[str, float]
    """Figures by name: "trainable_parameters", "tensor_bytes"."""


class Artifact(_Base, frozen=True, kw_only=True, tag="artifact"):
    """A file the trial made, on the machine under test."""

    artifact: str
    """What it is: "adapter"."""
    path: str
    """Absolute."""
    bytes: Whole
    sha256: str


class MemoryPeak(_Base, frozen=True, kw_only=True, tag="memory_peak"):
    """Peak of one phase as the worker knows it: `source` is "allocator" (torch CUDA) or "rusage" (the
    kernel's high-water mark of the resident set)."""

    phase: PhaseName
    source: Literal["allocator", "rusage"]
    peak_bytes: Whole


class Telemetry(_Base, frozen=True, kw_only=True, tag="telemetry"):
    """A batch of readings of one source: `columns[q][i]` was read at `times_ns[i]`; None = that reading failed."""

    source: str
    times_ns: list[Whole]
    columns: dict[str, list[float | None]]


class Sensor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One quantity of one source: what it is, how often it can be read, and whether it can be read here."""

    source: str
    """"proc.tree", "proc.host", "nvml.GPU-…"."""
    quantity: str
    """Column name in `Telemetry`; ends in its unit (`_bytes`, `_watts`, `_ratio`, `_celsius`, `_hertz`, `_joules`)."""
    title: str
    method: str
    rate_hz: float = 0.0
    available: bool = True
    reason: str = ""
    """Why it is not available, in a sentence."""
    hint: str = ""
    """What the user can do about it."""


class Sensors(_Base, frozen=True, kw_only=True, tag="sensors"):
    """What this trial's telemetry reads, and what it cannot read and why."""

    sensors: tuple[Sensor, ...]


class TelemetryTurn(_Base, frozen=True, kw_only=True, tag="telemetry_turn"):
    """A stretch of the measured phase with telemetry on, or off on purpose (`TelemetryOrder.turns_s`); told by the
    runner when it is over. `t_ns` is its end."""

    index: Whole
    """From 0 within the trial; 2n and 2n + 1 are a pair, one of them on."""
    on: bool
    start_ns: Whole
    runner_cpu_seconds: float | None = None
    """Processor time of the runner, all its threads, within the turn."""


class SensorLost(_Base, frozen=True, kw_only=True, tag="sensor_lost"):
    """A source stopped answering in the middle of a trial; its earlier readings stay."""

    source: str
    reason: str
    quantity: str = ""
    """The one quantity that is lost while the source goes on; "" when the whole source is."""


class Environment(_Base, frozen=True, kw_only=True, tag="environment"):
    """Everything about where the trial runs, flat: "gpu.0.driver" -> "580.82". Said by runner and worker, merged."""

    facts: dict[str, str]


class Log(_Base, frozen=True, kw_only=True, tag="log"):
    """A line for people. Libraries' prints arrive with source "stdout" or "stderr"."""

    level: LogLevel
    source: str
    text: str


class Cue(_Base, frozen=True, kw_only=True, tag="warning"):
    """Something that bears on the trial's validity, by code (see `workbench.metrics.checks.verdict`)."""

    code: str
    text: str


class LostRecord(_Base, frozen=True, kw_only=True, tag="lost_record"):
    """In the place of a record that cannot be read any more: the spool is damaged there. Whoever reads a spool makes it
    (`engines.protocol.sound_lines`); no trial says it."""


class TrialEnded(_Base, frozen=True, kw_only=True, tag="trial_ended"):
    """The last record of every trial."""

    outcome: OutcomeName
    failure: str = ""
    """Kind where failed or lost, see `engines.protocol.failures`."""
    message: str = ""
    """What happened, in a sentence."""
    advice: str = ""
    """What is safe and what to do."""
    clock: ClockPair
    exit_code: Whole | None = None


class UnknownRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a kind this version does not know: kept whole, skipped by readers."""

    kind: str
    seq: Whole
    t_ns: Whole
    raw: bytes


KnownRecord = (
    TrialStarted
    | PhaseStarted
    | PhaseEnded
    | Progress
    | ModelLoaded
    | Request
    | Step
    | MemoryParts
    | FlopCount
    | Resumed
    | Stamps
    | Evaluation
    | WrittenText
    | TaskScore
    | TookEffect
    | Artifact
    | MemoryPeak
    | Telemetry
    | Sensors
    | TelemetryTurn
    | SensorLost
    | Environment
    | Log
    | Cue
    | LostRecord
    | TrialEnded
)

Record = KnownRecord | UnknownRecord
