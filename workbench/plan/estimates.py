"""How long one trial will take: estimates by formula, before anything is loaded; a plan says so wherever it shows
them. Pure; any thread. docs/experiment-file.md states every formula for users.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engines.protocol.orders import AnyTraining, EngineOrder, Inference, TechniqueOrder, Workload
from engines.protocol.tasks import OTHER_LOAD, OTHER_QUESTIONS, harness_name, harness_task, local_task
from engines.techniques import MachineFacts, ModelFacts
from workbench.plan.memory.inference import passes_of
from workbench.plan.pace import Pace, pace_of
from workbench.plan.training_time import evaluations, steps_made, training_step_seconds

_EVALUATION_CONTEXT = 4 / 3
"""A quarter of each window is context only."""

_START_S = 7.0
"""Process, imports and end of a trial."""
_WARMUP_REQUESTS = 4
"""Warm-up is usually steady after as many; the cap of the workload holds."""
_TEXTS, _TEXT_PROMPT_TOKENS = 6, 60
"""Built-in prompts that texts are written for, and their length with a chat template."""
_HARNESS_S = 8.0
"""The evaluation harness is imported and makes its requests."""


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
    pace = pace_of(facts, techniques, engine, machine)
    if isinstance(workload, AnyTraining):
        step = training_step_seconds(facts, techniques, workload, engine, machine)
        steps = steps_made(workload, step)
        judge = evaluations(workload, steps) * pace.work_s * workload.evaluation_tokens * _EVALUATION_CONTEXT
        return _START_S + pace.load_s + steps * step + judge
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
    pace = pace_of(facts, techniques, engine, machine)
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


def _task_seconds(name: str, samples: int, engine: EngineOrder, pace: Pace) -> float:
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
