"""What pretraining brings instead of a model's own files: a text, a vocabulary made of it, and a model with random
weights that fits the vocabulary. Worker process; the model is built by `engines.hf.load`."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from engines.data import bpe, held_out, tokenised
from engines.data.begin import NONE
from engines.data.held_out import Losses
from engines.data.text_corpus import Text, read_text
from engines.data.tokenised import Corpus, Report
from engines.data.training.documents import Batches
from engines.data.training.windows import Windows
from engines.hf.stages import chosen_at
from engines.protocol.orders import TrialOrder
from engines.protocol.places import places
from engines.protocol.records import Evaluation, TookEffect
from engines.protocol.text_file import FileError
from engines.protocol.work import Pretraining
from engines.worker.engine import HeldOut
from engines.worker.failures import WorkerFailure

_HELD_OUT: tuple[HeldOut, ...] = ("validation", "test")


class PretrainingText:
    """The text of one trial on its way to tokens."""

    def __init__(self, order: TrialOrder, load: Pretraining) -> None:
        self._load = load
        self._text: Text | None = None
        self._key = ""
        self._corpus: Corpus | None = None
        self._filters = tuple(chosen_at("data", order))
        self._seed = random.Random(f"weights {order.seed} {order.block}").getrandbits(32)

    def missing(self) -> str:
        """What has to be made first, in words; "" where it is kept from before. Raises `WorkerFailure`."""
        try:
            self._text = read_text(self._load)
        except FileError as error:
            raise WorkerFailure("order", str(error), error.advice) from error
        named = [[one.order.id, one.order.parameters] for one in self._filters]
        self._key = tokenised.key_of(self._load, self._text, named)
        self._corpus = tokenised.kept(places().corpora, self._key)
        return "" if self._corpus is not None else f"the vocabulary and tokens of {self._text.name}"

    def make(self, report: Report) -> dict[str, str]:
        """Raises `WorkerFailure`, OSError."""
        assert self._text is not None, "missing() comes first"
        try:
            rules = [rule for one in self._filters for rule in one.function(one.order)]
            self._corpus = tokenised.make(places().corpora, self._key, self._load, self._text, report, rules)
        except FileError as error:
            raise WorkerFailure("order", str(error), error.advice) from error
        self._text = None
        return {"tokenizer.made": "in this trial"}

    def effects(self) -> list[TookEffect]:
        """What the filter of the text left out; nothing is a finding, not a fault."""
        made = self.corpus.made
        return [
            one.took_effect({"removed_documents": made.removed_documents, "removed_bytes": made.removed_bytes})
            for one in self._filters
        ]

    @property
    def corpus(self) -> Corpus:
        assert self._corpus is not None, "missing() and make() come first"
        return self._corpus

    def built_by(self, order: TrialOrder) -> TrialOrder:
        """The order with the configuration of a model for this vocabulary. Raises `WorkerFailure`."""
        if order.model.kind != "random":
            raise WorkerFailure(
                "order",
                f"{order.model.title} has weights already: pretraining begins with random ones.",
                "Choose a shape (shape/tiny), or fine-tune it.",
            )
        ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
        config = {**order.model.config, **ends, "vocab_size": self.corpus.vocabulary}
        return msgspec.structs.replace(order, model=msgspec.structs.replace(order.model, config=config))

    @property
    def seed(self) -> int:
        """Of the first weights: of the block, as the order of the data is."""
        return self._seed

    def tokenizer(self) -> PreTrainedTokenizerBase:
        file = str(self.corpus.tokenizer_file)
        made: PreTrainedTokenizerBase = PreTrainedTokenizerFast(tokenizer_file=file, eos_token=bpe.END)
        return made


class PretrainingData:
    """Windows of a text that was made into tokens (`engines.hf.training.session.Data`)."""

    def __init__(self, order: TrialOrder, load: Pretraining, corpus: Corpus) -> None:
        self._load, self._corpus = load, corpus
        self._windows = {split: Windows(corpus.ids(split), load.sequence_tokens) for split in _HELD_OUT}
        self._bytes = tokenised.lengths_of(corpus.tokenizer_file)
        seed = f"{order.seed} {order.block}"
        train = Windows(corpus.ids("train"), load.sequence_tokens)
        self.batches = Batches(train, load.sequence_tokens, load.batch_size, seed, packing=False)

    def facts(self) -> dict[str, str]:
        load = self._load
        rows = (load.warmup_steps + load.steps) * load.accumulation * load.batch_size
        return {
            **self._corpus.facts(),
            "training.sequences": str(len(self.batches)),
            "training.epochs_at_most": f"{rows / len(self.batches):.3g}",
            "training.padding_share": "0.0000",
        }

    def splits(self) -> frozenset[HeldOut]:
        return frozenset(split for split in _HELD_OUT if len(self._windows[split]))

    def held_out(self, split: HeldOut, size: int, losses: Losses) -> Evaluation | None:
        """Loss on the first windows of a split, each alone. None when stopped, and where there are none."""
        return held_out.evaluate_documents(
            self._windows[split],
            self._load.evaluation_tokens,
            losses,
            self._bytes_to,
            name=self._corpus.made.name,
            hash=self._corpus.made.splits[split].sha256,
            begin=NONE,
        )

    def _bytes_to(self, ids: Sequence[int], place: int) -> int:
        return int(self._bytes[np.asarray(ids[:place], dtype=np.int64)].sum())
