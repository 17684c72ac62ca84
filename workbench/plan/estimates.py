"""How long one trial will take: estimates by formula, before anything is loaded; a plan says so wherever it shows
them. Pure; any thread. docs/experiment-file.md states every formula for users.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engines.protocol.orders import EngineOrder, Inference, TechniqueOrder, Training, Workload
from engines.protocol.tasks import OTHER_LOAD, OTHER_QUESTIONS, harness_name, harness_task, local_task
from engines.techniques import MachineFacts, ModelFacts
from workbench.plan.memory.inference import passes_of
from workbench.plan.memory.weights import compute_bits, storing, weight_bytes

_EVALUATION_CONTEXT = 4 / 3
"""A quarter of each window is context only."""

# Throughputs behind the time estimate: round figures of ordinary hardware, good to a factor of three.
_CPU_FLOPS_A_THREAD = 4.0e10
_CPU_BYTES_A_THREAD = 8.0e9
_CPU_BYTES = 6.0e10
_GPU_FLOPS = 5.0e13
_GPU_BYTES = 1.0e12
_LAYER_CALL_S = 2.0e-4
"""Python and kernel calls of one layer for one token."""
_START_S = 7.0
"""Process, imports and end of a trial."""
_LOAD_BYTES = 5.0e8
_WARMUP_REQUESTS = 4
"""Warm-up is usually steady after as many; the cap of the workload holds."""
_TEXTS, _TEXT_PROMPT_TOKENS = 6, 60
"""Built-in prompts that texts are written for, and their length with a chat template."""
_HARNESS_S = 8.0
"""The evaluation harness is imported and makes its requests."""
_SLOW = 4.0
"""A format without instructions on a processor is emulated: about so much slower."""


@dataclass(frozen=True)
class _Pace:
    """A roofline: a token costs its weights' bytes or its arithmetic, whichever is longer, and its calls."""

    read_s: float
    """All weights once."""
    work_s: float
    """The arithmetic of one token."""
    calls_s: float
    load_s: float

    def prefill(self, tokens: int) -> float:
        return self.calls_s + max(self.read_s, self.work_s * tokens)

    def token(self, sequences: int = 1) -> float:
        return self.calls_s + max(self.read_s, self.work_s * sequences)


def estimate_seconds(
    facts: ModelFacts,
    techniques: Sequence[TechniqueOrder],
    workload: Workload,
    engine: EngineOrder,
    machine: MachineFacts,
) -> float:
    """Seconds of one trial, without what only a first trial does. 0 where the model's size is unknown. Good to a factor
    of three; known times of earlier trials replace it."""
    if facts.parameters <= 0:
        return 0.0
    pace = _pace(facts, techniques, engine, machine)
    if isinstance(workload, Training):
        step = 3 * pace.prefill(workload.batch_size * workload.sequence_tokens)  # there, and back at twice the cost
        judge = 2 * pace.work_s * workload.evaluation_tokens * _EVALUATION_CONTEXT
        return _START_S + pace.load_s + (workload.steps + workload.warmup_steps) * step + judge
    if not isinstance(workload, Inference):
        return 0.0
    prefill = pace.prefill(workload.batch_size * workload.prompt_tokens)
    request = prefill + pace.token(workload.batch_size) * (workload.new_tokens - 1)
    requests = max(workload.requests, math.ceil(workload.window_s / request))
    warmup = min(workload.warmup_requests, _WARMUP_REQUESTS)
    evaluate = pace.work_s * workload.perplexity_tokens * _EVALUATION_CONTEXT
    # computed once, where the cache can drop what came after it
    depth = pace.prefill(workload.batch_size * workload.depth_tokens) if workload.depth_tokens else 0.0
    return _START_S + pace.load_s + depth + (requests + warmup) * request + evaluate


def estimate_once_seconds(
    facts: ModelFacts,
    techniques: Sequence[TechniqueOrder],
    workload: Workload,
    engine: EngineOrder,
    machine: MachineFacts,
) -> float:
    """Seconds that a configuration's first trial takes beside: texts to read, and tasks by the tokens of their
    questions and answers (`engines.protocol.tasks`)."""
    if facts.parameters <= 0 or not isinstance(workload, Inference) or not (workload.text_tokens or workload.tasks):
        return 0.0
    pace = _pace(facts, techniques, engine, machine)
    texts = _TEXTS * (pace.prefill(_TEXT_PROMPT_TOKENS) + workload.text_tokens * pace.token())
    tasks = sum(_task_seconds(name, workload.task_samples, engine, pace) for name in workload.tasks)
    return (texts if workload.text_tokens else 0.0) + tasks + (_HARNESS_S if workload.tasks else 0.0)


def questions_asked(name: str, samples: int) -> int:
    """How many questions of a task are asked where `samples` of each of its parts are wanted (0: all)."""
    local, theirs = local_task(name), harness_task(harness_name(name))
    if local is not None:
        return min(samples or local.cases, local.cases)
    questions, parts = (theirs.questions, theirs.parts) if theirs is not None else (OTHER_QUESTIONS, 1)
    return min(samples * parts or questions, questions)


def _task_seconds(name: str, samples: int, engine: EngineOrder, pace: _Pace) -> float:
    known = local_task(name) or harness_task(harness_name(name))
    load = known.load if known is not None else OTHER_LOAD
    question = pace.prefill(load.prompt_tokens)
    if not load.answers:
        question += load.answer_tokens * pace.token()
    elif passes_of(engine).answers_together:
        question += pace.prefill(load.answers * load.answer_tokens)
    else:
        question += load.answers * pace.prefill(load.answer_tokens)
    return questions_asked(name, samples) * question


def _pace(facts: ModelFacts, techniques: Sequence[TechniqueOrder], engine: EngineOrder, machine: MachineFacts) -> _Pace:
    if machine.device_kind == "cuda":
        flops, speed = _GPU_FLOPS, _GPU_BYTES
    else:
        threads = engine.threads or machine.threads_default
        flops, speed = threads * _CPU_FLOPS_A_THREAD, min(_CPU_BYTES, threads * _CPU_BYTES_A_THREAD)
        if _is_emulated(techniques, machine):
            flops, speed = flops / _SLOW, speed / _SLOW
    weights = read = weight_bytes(facts, techniques, machine)
    if _is_widened(techniques, machine):
        read = max(read, facts.parameters * compute_bits(facts, techniques, machine) // 8)
    return _Pace(
        read_s=read / speed,
        work_s=2.0 * facts.parameters / flops,
        calls_s=facts.layers * _LAYER_CALL_S,
        load_s=weights / _LOAD_BYTES,
    )


def _is_emulated(techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> bool:
    """Whether this processor has no instructions for a 16-bit technique."""
    technique, _ = storing(techniques)
    return technique is not None and technique.changes == "all" and technique.slow(machine)


def _is_widened(techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> bool:
    """Whether smaller weights are unpacked at every use here: they save memory and no time."""
    technique, _ = storing(techniques)
    return technique is not None and technique.changes == "linear" and technique.slow(machine)
