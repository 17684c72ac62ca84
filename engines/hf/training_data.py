"""What one trial trains on, and the rows that judge it. Worker process, main thread; imports torch."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from engines.data import held_out, text
from engines.data.begin import Begin
from engines.data.held_out import Losses
from engines.data.training import built_in
from engines.data.training.dataset import Dataset, read
from engines.data.training.documents import Batches, pieces
from engines.data.windows import tokens_needed
from engines.hf.perplexity import bytes_to
from engines.hf.tokenizer import TrainingTokenizer
from engines.protocol.orders import TrialOrder
from engines.protocol.records import Evaluation
from engines.protocol.text_file import FileError
from engines.protocol.work import Training
from engines.worker.engine import HeldOut
from engines.worker.failures import WorkerFailure

_HELD_OUT: tuple[HeldOut, ...] = ("validation", "test")


class TrainingData:
    """`batches` are by block, not by technique: every configuration of a block trains on the same ones."""

    def __init__(
        self, order: TrialOrder, tokenizer: PreTrainedTokenizerBase | None, begin: Begin, vocabulary: int
    ) -> None:
        """Random tokens without a tokenizer. Raises `WorkerFailure`."""
        training = order.workload
        assert isinstance(training, Training)
        self._training, self._tokenizer, self._begin = training, tokenizer, begin
        self._dataset: Dataset | None = None
        seed = f"{order.seed} {order.block}"
        if tokenizer is None:
            if training.data != built_in.BUILT_IN:
                raise WorkerFailure(
                    "order",
                    f"{order.model.title} has no tokenizer: it cannot read {training.data}.",
                    "Choose a model with a tokenizer, or the built-in data, of which it gets random tokens.",
                )
            ids = text.random_text(vocabulary, training.sequence_tokens, order.block)
            documents = pieces(ids, training.sequence_tokens, begin.ids, whole_only=True)
        else:
            try:
                self._dataset = read(training, TrainingTokenizer(tokenizer, begin), seed)
            except FileError as error:
                raise WorkerFailure("order", str(error), error.advice) from error
            _check_vocabulary(self._dataset, vocabulary, order.model.title)
            documents = list(self._dataset.train)
        self.batches = Batches(documents, training.sequence_tokens, training.batch_size, seed, packing=training.packing)

    def facts(self) -> dict[str, str]:
        facts = self._dataset.facts() if self._dataset is not None else {"training.data": "random tokens"}
        facts["training.sequences"] = str(len(self.batches))
        facts["training.padding_share"] = f"{self.batches.padding_share:.4f}"
        return facts

    def splits(self) -> frozenset[HeldOut]:
        """Which rows are held out."""
        dataset = self._dataset
        if dataset is None:
            return frozenset()
        if self._training.data == built_in.BUILT_IN:
            return frozenset(_HELD_OUT)
        return frozenset(split for split in _HELD_OUT if dataset.documents[split])

    def held_out(self, split: HeldOut, size: int, losses: Losses) -> Evaluation | None:
        """Loss on rows that training does not see; of the built-in text in windows of `size`. None when stopped, and
        where there are none. Raises what `losses` raises."""
        dataset, tokenizer, tokens = self._dataset, self._tokenizer, self._training.evaluation_tokens
        if dataset is None or tokenizer is None:
            return None
        if self._training.data != built_in.BUILT_IN:
            return held_out.evaluate_documents(
                dataset.documents[split],
                tokens,
                losses,
                lambda ids, place: bytes_to(tokenizer, ids, place),
                name=dataset.table.name,
                hash=dataset.hashes[split],
                begin=self._begin,
            )
        [ids] = TrainingTokenizer(tokenizer, self._begin).encode([built_in.held_out_part()])
        if split == "test":
            needed = tokens_needed(tokens, size)
            ids = ids[max(needed, len(ids) - needed) :]  # none that validation has
            if len(ids) < needed:
                return None
        return held_out.evaluate(ids, tokens, size, self._begin, losses, lambda place: bytes_to(tokenizer, ids, place))


def _check_vocabulary(dataset: Dataset, vocabulary: int, model: str) -> None:
    """Raises `WorkerFailure` for a token that the model has no embedding of, which a GPU would only crash at."""
    documents = (one for split in dataset.documents.values() for one in split)
    largest = max((max(one.ids) for one in documents), default=0)
    if largest >= vocabulary:
        raise WorkerFailure(
            "model",
            f"The tokenizer of {model} writes token {largest:,}, and the model has {vocabulary:,}, counted from 0.",
            "Nothing was trained. Tokens were added to the tokenizer only, or it is that of another model: put the "
            "tokenizer's files that the model came with into its folder.",
        )
