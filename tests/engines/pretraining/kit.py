"""A small text with structure, and orders that pretrain a small model on it."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np

from engines.data.text_corpus import read_text
from engines.data.tokenised import Corpus, kept, key_of
from engines.data.training.windows import Windows
from engines.protocol.canonical import digest
from engines.protocol.orders import EngineOrder, ModelOrder, Pretraining, TechniqueOrder, TrialOrder, Workload
from engines.protocol.places import places
from tests import builders

CONFIG: dict[str, object] = {
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
    "dtype": "float32",
}
MODEL = ModelOrder(ref="shape/test", title="test", kind="random", config=CONFIG, fingerprint=digest(CONFIG))


def sentences(count: int, seed: int = 1) -> str:
    """Each word follows from the one before it, but for a number."""
    source = random.Random(seed)
    who = ["The sailor", "A gardener", "My neighbour", "Their teacher"]
    what = {"sailor": "mends the old sail", "gardener": "waters every rose", "neighbour": "paints a long fence"}
    lines = []
    for _ in range(count):
        person = source.choice(who)
        act = what.get(person.split()[1], "reads another letter")
        lines.append(f"{person} {act} at {source.randrange(1, 12)} o'clock, and then goes home again.\n")
    return "".join(line + ("\n" if n % 40 == 39 else "") for n, line in enumerate(lines))


def text_file(folder: Path, count: int = 3000) -> Path:
    file = folder / "text.txt"
    file.write_text(sentences(count))
    return file


def pretraining(data: Path | str, **changes: object) -> Pretraining:
    values: dict[str, object] = {
        "data": str(data),
        "vocabulary_tokens": 400,
        "sequence_tokens": 32,
        "batch_size": 8,
        "steps": 60,
        "learning_rate": 0.01,
        "schedule_warmup_steps": 5,
        "evaluate_every": 20,
        "evaluation_tokens": 600,
    }
    return Pretraining(**{**values, **changes})  # type: ignore[arg-type]


def order(
    load: Workload, model: ModelOrder = MODEL, trial: str = "t-1", block: int = 0, method: str = ""
) -> TrialOrder:
    return builders.trial_order(
        trial,
        block=block,
        seed=7,
        model=model,
        techniques=tuple(TechniqueOrder(id=id) for id in ("precision.float32", method) if id),
        workload=load,
        engine=EngineOrder(threads=1),
    )


def corpus_of(load: Pretraining) -> Corpus:
    """What a trial with this home has made of the text."""
    text = read_text(load)
    found = kept(places().corpora, key_of(load, text))
    assert found is not None
    return found


def unigram_loss(load: Pretraining) -> float:
    """Nats a token of a model that knows how often each token comes in the training text, on the validation tokens
    that are scored."""
    corpus = corpus_of(load)
    counts = np.bincount(corpus.ids("train"), minlength=corpus.vocabulary) + 1.0
    windows = Windows(corpus.ids("validation"), load.sequence_tokens)
    scored = [id for n in range(min(len(windows), math.ceil(load.evaluation_tokens / 31))) for id in windows[n].ids[1:]]
    return float(-np.log(counts[scored] / counts.sum()).mean())
