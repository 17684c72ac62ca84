"""What a configuration will need: bytes on its device, seconds for one trial. Estimates by formula, before anything
is loaded; a plan says so wherever it shows them. Pure; any thread.

Memory counts what is alive while the trial measures. docs/experiment-file.md states every formula for users.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engines.catalogue import find as find_engine
from engines.catalogue.model import Passes
from engines.protocol.orders import EngineOrder, Inference, TechniqueOrder, Training, Workload
from engines.protocol.tasks import OTHER_LOAD, OTHER_QUESTIONS, harness_name, harness_task, local_task
from engines.techniques import MachineFacts, ModelFacts, Technique, find
from engines.techniques.finetune import LORA, trained_parameters
from engines.techniques.gguf import STORED
from engines.techniques.layers import cached_numbers
from engines.techniques.precision import BFLOAT16_FLAGS
from engines.techniques.precision_stored import AS_STORED
from workbench.plan.types import MemoryEstimate

PROCESS_BYTES = 430 * 2**20
"""What a worker takes before it holds a model: measured 397 MiB of proportional set size with torch 2.13 (CPU),
transformers 5.23 and torchao 0.18 imported and one forward pass done (Linux x86-64); a tenth more for the rest."""

CUDA_CONTEXT_BYTES = 600 * 2**20
"""A CUDA context with cuBLAS workspaces on the device. Not measured by us: an allowance."""

_EVALUATION_CONTEXT = 4 / 3
"""A quarter of each window is context only."""

_KEPT_STATES = 17
"""Of a layer, for each token of a training step."""

_STORED_BITS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}

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


def weight_bytes(facts: ModelFacts, techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> int:
    """Bytes of the weights as held: changed weights by their technique's bits, the rest in the compute type."""
    technique, order = _storing(techniques)
    if technique is None or order is None or technique.id in (STORED, AS_STORED):
        return facts.stored_bytes
    bits = technique.stored_bits(order.parameters) if technique.stored_bits else technique.bits
    if technique.shaped_bits is not None:
        bits = technique.shaped_bits(facts) or bits
    changed = facts.parameters if technique.changes == "all" else facts.linear_parameters
    rest = facts.parameters - changed
    return math.ceil((changed * bits + rest * compute_bits(facts, techniques, machine)) / 8)


def compute_bits(facts: ModelFacts, techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> int:
    """Bits of the type that activations and the KV cache are held in."""
    technique, order = _storing(techniques)
    if technique is None or order is None:
        return _STORED_BITS.get(facts.stored_dtype, 16)
    if technique.changes == "all":
        return max(16, round(technique.bits))
    chosen = order.parameters.get("compute", "auto")
    if isinstance(chosen, str) and chosen in _STORED_BITS:
        return _STORED_BITS[chosen]
    return 16 if machine.device_kind == "cuda" or machine.processor_flags & BFLOAT16_FLAGS else 32


def cache_bytes(facts: ModelFacts, workload: Inference, engine: EngineOrder, bits: float) -> int:
    """KV cache at the last token: for each sequence its depth + prompt + new tokens, of each layer's keys and values. A
    layer with a sliding window keeps no more than that, with room for what the engine computes in one pass if that is
    limited. Of a model whose layers are not known an upper bound: all layers keep everything."""
    tokens = workload.depth_tokens + workload.prompt_tokens + workload.new_tokens
    if facts.attention.unknown:
        numbers = tokens * 2 * facts.layers * facts.kv_heads * facts.head_dim
    else:
        numbers = cached_numbers(facts.attention.groups, tokens, _passes(engine).tokens)
    return math.ceil(workload.batch_size * numbers * bits / 8)


def cache_bits(techniques: Sequence[TechniqueOrder], compute: int) -> float:
    """Bits of a value in the KV cache, scales included: of its technique, else of the compute type."""
    order = next((t for t in techniques if t.id.startswith("kv_cache.")), None)
    technique = find(order.id) if order is not None else None
    if order is None or technique is None or technique.stored_bits is None:
        return compute
    return technique.stored_bits(order.parameters)


def activation_bytes(facts: ModelFacts, workload: Inference, engine: EngineOrder, bits: int) -> int:
    """The larger of prefill and evaluation: a dozen hidden states a token (residual, attention, feed-forward), eager
    attention's score matrix in float32, logits of the last token of each sequence or of the whole evaluation window.
    An engine that computes so many tokens in one pass has room for the logits of each (98 MiB for 512 of 49,152 words).
    """
    passes = _passes(engine)
    prefill_tokens, rows = workload.batch_size * workload.prompt_tokens, workload.batch_size
    if passes.tokens:
        prefill_tokens = rows = min(prefill_tokens, passes.tokens)
    prefill = prefill_tokens * facts.hidden * 12 * bits // 8 + rows * facts.vocabulary * 4
    longest = passes.text_tokens
    window = min(workload.perplexity_tokens, longest, facts.context_tokens or longest)
    evaluation = window * (facts.hidden * 12 * bits // 8 + 2 * facts.vocabulary * 4)
    if passes.holds_scores:
        prefill += workload.batch_size * facts.heads * workload.prompt_tokens**2 * 4 * 2
        evaluation += facts.heads * window**2 * 4 * 2
    return max(prefill, evaluation)


def kept_bytes(facts: ModelFacts, workload: Training, bits: int) -> int:
    """What a training step keeps for its way back: 17 hidden states a layer and token (Korthikanti et al. 2022, arXiv
    2205.05198, without attention's scores), and logits with their gradient in float32."""
    tokens = workload.batch_size * workload.sequence_tokens
    return tokens * (facts.layers * facts.hidden * _KEPT_STATES * bits // 8 + 2 * facts.vocabulary * 4)


def optimiser_bytes(facts: ModelFacts, techniques: Sequence[TechniqueOrder]) -> int:
    """Adapters in float32 with their gradient and the two moments of AdamW."""
    rank = next((order.parameters.get("rank") for order in techniques if order.id == LORA), 0)
    return 16 * trained_parameters(facts, rank) if isinstance(rank, int) else 0


def estimate_memory(
    facts: ModelFacts,
    techniques: Sequence[TechniqueOrder],
    workload: Workload,
    engine: EngineOrder,
    machine: MachineFacts,
) -> MemoryEstimate:
    """Bytes on the device. All parts are 0 but the overhead where nothing is known of the model (a hub id)."""
    bits = compute_bits(facts, techniques, machine)
    weights = weight_bytes(facts, techniques, machine)
    held = optimiser = 0
    if isinstance(workload, Training):
        held, optimiser = kept_bytes(facts, workload, bits), optimiser_bytes(facts, techniques)
    elif isinstance(workload, Inference):
        cache = cache_bytes(facts, workload, engine, cache_bits(techniques, bits))
        held = cache + activation_bytes(facts, workload, engine, bits)
    return MemoryEstimate(
        weights=weights,
        cache_or_activations=held,
        optimiser=optimiser,
        overhead=CUDA_CONTEXT_BYTES if machine.device_kind == "cuda" else PROCESS_BYTES,
        device_total=machine.memory_total_bytes,
        device_free=machine.memory_free_bytes,
    )


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
    elif _passes(engine).answers_together:
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


def _passes(engine: EngineOrder) -> Passes:
    known = find_engine(engine.id)
    return known.passes(engine) if known is not None else Passes()


def _is_emulated(techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> bool:
    """Whether this processor has no instructions for a 16-bit technique."""
    technique, _ = _storing(techniques)
    return technique is not None and technique.changes == "all" and technique.slow(machine)


def _is_widened(techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> bool:
    """Whether smaller weights are unpacked at every use here: they save memory and no time."""
    technique, _ = _storing(techniques)
    return technique is not None and technique.changes == "linear" and technique.slow(machine)


def _storing(techniques: Sequence[TechniqueOrder]) -> tuple[Technique | None, TechniqueOrder | None]:
    """The chosen technique that decides how weights are stored."""
    for order in techniques:
        technique = find(order.id)
        if technique is not None and technique.changes != "none":
            return technique, order
    return None, None
