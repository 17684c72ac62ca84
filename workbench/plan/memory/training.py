"""What a training step holds at the most, by part. Estimates by formula, before anything is loaded;
docs/experiment-file.md states them for users. Pure; any thread.

When the loss goes back, all activations are alive, with logits and their gradients; when it has come back to the first
block, all gradients are. On a GPU the parts are those of the larger moment. On a processor both count: the gradients
rarely fit into the holes that activations leave in the heap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engines.protocol.orders import AnyTraining, EngineOrder, TechniqueOrder
from engines.techniques import MachineFacts, ModelFacts
from workbench.plan.memory.block import Numbers, built_bytes, kept_bytes, shape_of, thrown_away_bytes
from workbench.plan.memory.inference import evaluation_bytes, passes_of
from workbench.plan.memory.methods import (
    blocks_with_gradients,
    kept_of,
    shares_rows,
    trained_of,
    virtual_tokens,
    with_method,
)
from workbench.plan.memory.weights import compute_bits, weight_bytes

FORMULA = 2
"""Version of these formulas: raised when they change, so that trials' ratios to older ones are not used."""
PROCESS_BYTES = 540 * 2**20
"""A worker that trains, beside the model: 490 MiB resident before it has one, with torch 2.13 (CPU), transformers 5.23,
peft 0.21, the tokenizer and the data (Linux x86-64), and 50 MiB for the look at an untimed step."""
_LOGITS = 3
"""Matrices of logits in float32 alive together: their logarithm of softmax and two gradients."""
CUDA_CONTEXT_BYTES = 600 * 2**20
"""A CUDA context with cuBLAS workspaces on the device. Not measured by us: an allowance."""
_HOLES = 0.8
"""Training adapters on a processor: what glibc's heap holds beyond what is alive, as a share of what the blocks keep,
with checkpointing too. Results of layer and adapter leave holes that later ones do not fit into. Measured."""
_EIGHT_BIT = 2 + 2 * 4 / 256
"""Bytes of a parameter's two moments in 8 bits: a scale in float32 for every 256."""


@dataclass(frozen=True)
class TrainingParts:
    """Bytes at the step's peak, but for `trained_parameters`."""

    weights: int = 0
    gradients: int = 0
    optimiser: int = 0
    activations: int = 0
    """Kept for the way back."""
    temporary: int = 0
    """Logits with their gradients, a block computed again, or what evaluation needs: whichever is most."""
    overhead: int = 0
    """The process with the holes of its heap, or the GPU's context."""
    trained_parameters: int = 0

    @property
    def needed(self) -> int:
        return self.weights + self.gradients + self.optimiser + self.activations + self.temporary + self.overhead


def training_parts(
    facts: ModelFacts,
    techniques: Sequence[TechniqueOrder],
    workload: AnyTraining,
    machine: MachineFacts,
    engine: EngineOrder,
) -> TrainingParts:
    """Only the overhead where nothing is known of the model (a hub id)."""
    on_gpu = machine.device_kind == "cuda"
    overhead = CUDA_CONTEXT_BYTES if on_gpu else PROCESS_BYTES
    if facts.parameters <= 0:
        return TrainingParts(overhead=overhead)
    techniques = with_method(techniques, workload)
    bits = compute_bits(facts, techniques, machine)
    numbers = Numbers(bits // 8, 2 if workload.autocast == "bfloat16" else bits // 8, workload.autocast != "off")
    method, trained = kept_of(techniques), trained_of(facts, techniques)
    a_number = numbers.weights if method.weights else 4  # adapters, their gradients and moments are in float32
    gradients = trained * a_number
    tokens = workload.batch_size * (workload.sequence_tokens + virtual_tokens(techniques))
    blocks = blocks_with_gradients(facts, techniques)
    shape, masked = shape_of(facts), shares_rows(workload)
    a_token = kept_bytes(shape, numbers, method, masked=masked) + _scores(facts, workload, engine)
    a_block = tokens * a_token + built_bytes(shape, numbers, method)
    stream = tokens * facts.hidden * 4
    kept = stream + blocks * (stream if workload.checkpointing else a_block)  # the last norm keeps its input too
    if workload.autocast != "off":
        kept += _casts(facts, blocks)
    logits = tokens * facts.vocabulary * 4 * _LOGITS
    tied = _tied_gradients(facts, trained, a_number)
    judging = evaluation_bytes(facts, workload.evaluation_tokens, engine, bits)
    again = a_block if workload.checkpointing else 0
    if on_gpu:
        activations, temporary, with_gradients = max(
            (kept, logits, workload.accumulation > 1),
            (kept + again, 0, workload.checkpointing),
            (0, tied, True),
            (0, judging, False),
            key=lambda moment: moment[0] + moment[1] + gradients * moment[2],
        )
    else:
        activations, with_gradients = kept, True
        temporary = max(logits, again, tied, judging)
        if trained and not method.weights:
            overhead += math.ceil(_HOLES * blocks * (a_block + thrown_away_bytes(shape, method)))
    return TrainingParts(
        weights=weight_bytes(facts, techniques, machine) + (0 if method.weights else 4 * trained),
        gradients=gradients * with_gradients,
        optimiser=math.ceil(trained * (_EIGHT_BIT if workload.optimiser == "adamw-8bit" else 2 * a_number)),
        activations=activations,
        temporary=temporary,
        overhead=overhead,
        trained_parameters=trained,
    )


def _scores(facts: ModelFacts, workload: AnyTraining, engine: EngineOrder) -> int:
    """Of a token in a block: a row of eager attention's scores and of their softmax, for each head, in float32."""
    return 2 * 4 * facts.heads * workload.sequence_tokens if passes_of(engine).holds_scores else 0


def _casts(facts: ModelFacts, blocks: int) -> int:
    """Autocast's copies of the matrices that the way back needs, output head included."""
    return 2 * (shape_of(facts).matrices * blocks + facts.vocabulary * facts.hidden)


def _tied_gradients(facts: ModelFacts, trained: int, a_number: int) -> int:
    """Where embeddings and output head are one matrix and trained, its two gradients are alive beside their sum."""
    embeddings = facts.vocabulary * facts.hidden
    return 2 * embeddings * a_number if facts.weights.tied and trained >= facts.parameters else 0
