"""The transformers engine: one model in one trial. Main thread of the worker process; imports torch.

What trains or reads adapters is imported where it is needed: it brings peft and, where they are installed, the
libraries of several precisions, which a template must leave to its trials.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engines.hf import quiet

quiet.before_import()

import torch  # noqa: E402
from transformers import PreTrainedModel, PreTrainedTokenizerBase  # noqa: E402

from engines.data import held_out, text  # noqa: E402
from engines.data.begin import NONE  # noqa: E402
from engines.data.prompts import Prompts, make_prompts  # noqa: E402
from engines.hf import count, facts, files, shape  # noqa: E402
from engines.hf.architecture.build import architecture_facts, check_parameters  # noqa: E402
from engines.hf.artifacts.merging import asks_for_merged, merge, merged_model, with_merged  # noqa: E402
from engines.hf.generate import Discarded, Generator, Lengths  # noqa: E402
from engines.hf.load import LoadRequest, local_files, stored_of  # noqa: E402
from engines.hf.perplexity import bytes_to, window_losses, window_size  # noqa: E402
from engines.hf.precision import import_needed  # noqa: E402
from engines.hf.preflight import precision_of  # noqa: E402
from engines.hf.pretraining import PretrainingData, PretrainingText  # noqa: E402
from engines.hf.reader import HfReader, end_tokens  # noqa: E402
from engines.hf.settings import settings_of  # noqa: E402
from engines.hf.stages import ConfigEdits, Decoding, chosen_at  # noqa: E402
from engines.hf.tokenizer import begin_of, load_tokenizer  # noqa: E402
from engines.hf.training_data import TrainingData  # noqa: E402
from engines.models.identity import Digests  # noqa: E402
from engines.protocol.orders import AnyTraining, Inference, Pretraining, ResumeOrder, TrialOrder  # noqa: E402
from engines.protocol.places import places  # noqa: E402
from engines.protocol.plugins import imported  # noqa: E402
from engines.protocol.records import Artifact, Evaluation, FlopCount, MemoryParts, ModelLoaded, Step, TookEffect  # noqa: E402
from engines.protocol.ring import RingWriter  # noqa: E402
from engines.techniques import Technique, find  # noqa: E402
from engines.techniques import adapter as adapter_axis  # noqa: E402
from engines.techniques.architecture.edited import architectural  # noqa: E402
from engines.worker.budget import Budget  # noqa: E402
from engines.worker.engine import Finished, HeldOut, LentModel, Reader  # noqa: E402
from engines.worker.failures import WorkerFailure  # noqa: E402
from engines.worker.phases import AllocatorPeaks  # noqa: E402
from engines.worker.stop import Stop  # noqa: E402

if TYPE_CHECKING:
    from engines.hf.training.session import Session

quiet.after_import()


class CudaPeaks(AllocatorPeaks):
    """Peak of torch's CUDA allocator."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak_bytes(self) -> int | None:
        return int(torch.cuda.max_memory_allocated(self._device))


class HfEngine:
    """`engines.worker.engine.Engine` over transformers."""

    def __init__(self, order: TrialOrder, ring: RingWriter, stop: Stop) -> None:
        self._order = order
        self._adapter = order.model.adapter
        self._edits = ConfigEdits(order)
        self._ring = ring
        self._stop = stop
        self._device = torch.device("cpu")
        self._model: PreTrainedModel | None = None
        self._decoding: Decoding | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._prompts: Prompts | None = None
        self._generator: Generator | None = None
        self._one_token: Generator | None = None
        self._text_ids: list[int] = []
        self._ends: frozenset[int] = frozenset()
        self._begin = NONE
        load = order.workload
        self._text = PretrainingText(order, load) if isinstance(load, Pretraining) else None
        self._session: Session | None = None
        self._effects: list[TookEffect] = []
        self._adapted: list[TookEffect] = []
        self._trained_facts: dict[str, str] = {}
        self._cache_held: dict[str, str] | None = None

    def start(self) -> dict[str, str]:
        threads = self._order.engine.threads
        if threads > 0:
            torch.set_num_threads(threads)
            torch.set_num_interop_threads(1)
        if self._order.device != "cpu":
            if not torch.cuda.is_available():
                raise WorkerFailure(
                    "package",
                    f"torch {torch.__version__} cannot use the GPU {self._order.device.partition(':')[2]}.",
                    "Install a CUDA build of torch that fits the driver (see the README), or run on the processor.",
                )
            self._device = torch.device("cuda", 0)  # CUDA_VISIBLE_DEVICES holds the one under test
            torch.cuda.set_device(self._device)
        torch.manual_seed(self._order.seed)
        return facts.process_facts(self._order, self._device)

    def allocator(self) -> AllocatorPeaks:
        return CudaPeaks(self._device) if self._device.type == "cuda" else AllocatorPeaks()

    def files_missing(self) -> str:
        if self._text is not None:
            return self._text.missing()
        if not asks_for_merged(self._order) or merged_model(self._order.model):
            return ""
        return f"{self._order.model.title}, its adapter merged"

    def make_files(self, report: Callable[[str, float], None]) -> dict[str, str]:
        if self._text is not None:
            return self._text.make(report)
        return merge(self._order, settings_of(self._order.engine).attention)

    def reader(self) -> Reader | None:
        if self._order.model.kind == "random" or self._tokenizer is None:
            return None
        return HfReader(self._loaded(), self._tokenizer, self._ends, self._begin, self._stop, self._decoding)

    def load(self) -> ModelLoaded:
        order = with_merged(self._order)
        order = self._order = self._text.built_by(order) if self._text is not None else order
        technique, request = self._request()
        import_needed(technique.packages)
        start = time.monotonic()
        model = _read(technique, request)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        load_s = time.monotonic() - start
        if order.model.adapter:
            from engines.hf.artifacts.adapter import attach_for_inference

            attach_for_inference(model, order.model)
        self._model = model
        _check_context(model, order)
        self._decoding = Decoding(model, order)
        self._effects = [
            *(self._text.effects() if self._text is not None else ()),
            *self._edits.effects(request, model),
            *self._change_modules(only_trains=False),
            *self._decoding.effects(),
        ]
        counted = count.count(model)
        self._apply_to(model, technique, counted)
        if architectural(order.techniques):
            check_parameters(model, counted.parameters)
        return ModelLoaded(
            parameters=counted.parameters,
            tensor_bytes=counted.tensor_bytes,
            bytes_by_dtype=counted.bytes_by_dtype,
            original_bytes=_original_bytes(order, counted.parameters),
            nominal_bits=technique.bits or _stored_bits(request),
            stored_bits=counted.stored_bits,
            attention=str(model.config._attn_implementation) if shape.layers_of(model.config).attend else "none",
            device=str(self._device),
            load_s=load_s,
            details=_details(model, counted, all_trained=self._text is not None),
        )

    def _request(self) -> tuple[Technique, LoadRequest]:
        """The precision, and what it is asked to read. Raises `WorkerFailure`."""
        order = self._order
        technique, chosen = precision_of(order)
        return technique, LoadRequest(
            model=order.model,
            technique=technique.id,
            device=self._device,
            attention=settings_of(order.engine).attention,
            parameters={**technique.defaults(), **chosen.parameters},
            allow_network=order.allow_network,
            trains=isinstance(order.workload, AnyTraining),
            seed=self._text.seed if self._text is not None else None,
            configure=self._edits if self._edits else None,
        )

    def _apply_to(self, model: PreTrainedModel, precision: Technique, counted: count.Counted) -> None:
        """Note what those techniques of the order changed that have no function of their own, and the precision."""
        for chosen in self._order.techniques:
            technique = find(chosen.id)
            assert technique is not None
            if technique is precision:
                changed = {"tensor_bytes": counted.tensor_bytes, "stored_bits": counted.stored_bits}
            elif technique.axis == adapter_axis.AXIS.id:
                from engines.hf.artifacts.adapter import parameters_of

                changed = parameters_of(self._adapter)
            elif technique.id == "kv_cache.full":
                changed = {"bits": 8.0 * model.dtype.itemsize}
            else:
                continue
            self._effects.append(TookEffect(technique=technique.id, stage=technique.stage, changed=changed))

    def took_effect(self) -> Sequence[TookEffect]:
        return self._effects

    def adapt(self) -> Sequence[TookEffect]:
        if self._text is not None:  # from random numbers: everything is trained
            self._loaded().requires_grad_(True)
        self._adapted = self._change_modules(only_trains=True)
        return self._adapted

    def _change_modules(self, *, only_trains: bool) -> list[TookEffect]:
        """Apply the techniques of stage "model": those that only training uses, or all others."""
        model, order = self._loaded(), self._order
        # of the block, as the data are: what begins at random is a part of the spread between its trials
        seed = random.Random(f"adapters {order.seed} {order.block}").getrandbits(32)
        return [
            one.took_effect(one.function(model, one.order, seed))
            for one in chosen_at("model", order)
            if one.technique.only_trains is only_trains
        ]

    def _make_tokenizer(self) -> list[int]:
        """Tokenizer, end tokens and begin token; returns the ids of the whole text, [] without a tokenizer."""
        order, model = self._order, self._loaded()
        self._tokenizer = load_tokenizer(order.model, allow_network=order.allow_network)
        self._ends = end_tokens(model, self._tokenizer)
        if self._tokenizer is None:
            return []
        says = files.gguf_model(Path(order.model.path)).adds_bos if order.model.kind == "gguf" else None
        self._begin = begin_of(self._tokenizer, self._ends, adds_bos=says)
        return text.text_tokens(self._encode)

    def prepare(self) -> dict[str, str]:
        order, workload, model = self._order, self._order.inference, self._loaded()
        tokens = self._text_ids = self._make_tokenizer()
        if self._tokenizer is None:
            tokens = text.random_text(_vocabulary(model), workload.prompt_tokens, order.block)
        encode = self._encode if self._tokenizer else None
        # by block, not by the trial's seed: every configuration of a block gets the same prompts
        self._prompts = make_prompts(workload, order.block, tokens, encode, self._begin)
        self._generator = Generator(
            model,
            self._ring,
            self._stop,
            Lengths(workload.prompt_tokens, workload.new_tokens, workload.batch_size),
            decoding=self._decoding,
        )
        return {
            "workload.window_s": f"{workload.window_s:g}",
            "tokenizer.begin": self._begin.told or "none",
            **self._prompts.facts(),
            "generate.settings": _generates(self._decoding),
            **self._made_facts(),
        }

    def prepare_training(self) -> dict[str, str]:
        from engines.hf.training.session import Data, Session

        order, load = self._order, self._order.workload
        data: Data
        if self._text is not None and isinstance(load, Pretraining):
            self._tokenizer = self._text.tokenizer()
            data = PretrainingData(order, load, self._text.corpus)
        else:
            self._make_tokenizer()
            data = TrainingData(order, self._tokenizer, self._begin, _vocabulary(self._loaded()))
        self._session = Session(order, self._loaded(), data, self._stop)
        return {**self._session.facts(), "tokenizer.begin": self._begin.told or "none", **self._made_facts()}

    def _made_facts(self) -> dict[str, str]:
        return architecture_facts(self._loaded()) if architectural(self._order.techniques) else {}

    def lend_model(self) -> LentModel:
        self._make_tokenizer()
        return LentModel(self._loaded(), self._tokenizer)

    def begin(self) -> Iterator[MemoryParts | FlopCount | TookEffect]:
        return self._training().begin()

    def train(self, steps: range, budget: Budget) -> Iterator[Sequence[Step]]:
        return self._training().train(steps, budget)

    def trained(self) -> Sequence[TookEffect]:
        changed, hashes = self._training().changed()
        self._trained_facts = {**hashes, **{f"training.{name}": f"{value:g}" for name, value in changed.items()}}
        return [
            TookEffect(technique=t.technique, stage=t.stage, changed={**t.changed, **changed}) for t in self._adapted
        ]

    def checkpoint(self, steps: int, spent: Mapping[str, float]) -> Artifact:
        from engines.hf.artifacts.keep import keep_checkpoint

        return keep_checkpoint(self._order, steps, partial(self._training().save, spent))

    def resume(self, order: ResumeOrder) -> Mapping[str, float]:
        return self._training().restore(order)

    def keep(self, steps: int) -> Iterator[Artifact]:
        from engines.hf.artifacts.keep import keep_trained

        return keep_trained(self._order, self._loaded(), self._tokenizer, steps, self._read_again)

    def _read_again(self) -> PreTrainedModel:
        """The base without what was trained, which is let go."""
        self._model = self._session = None
        gc.collect()
        return _read(*self._request())

    def splits(self) -> frozenset[HeldOut]:
        return self._training().splits

    def held_out(self, split: HeldOut) -> Evaluation | None:
        found = self._training().held_out(split)
        if found is not None and self._training().trains and not math.isfinite(found.nll_sum):
            raise WorkerFailure(
                "diverged",
                "Training diverged: the loss on held-out data is no longer a finite number.",
                "The steps before are kept. Lower the learning rate, or raise schedule_warmup_steps.",
            )
        return None if found is None else self._finite(found)

    def request(self, number: int) -> Finished | None:
        assert self._generator is not None
        assert self._prompts is not None
        work = self._order.inference
        prompts = self._prompts.next_batch(work.batch_size)
        if self._cache_held is not None:
            return self._generator.run(prompts)
        with shape.LastCache(self._loaded()) as cache:  # of the first request: a warm-up, where there is one
            done = self._generator.run(prompts)
            if done is not None:  # the last token is generated, and not read again
                self._cache_held = cache.facts(done.batch_size, work.prompt_tokens + work.new_tokens - 1)
        return done

    def prefill(self) -> Finished | None:
        assert self._prompts is not None
        workload = self._order.inference
        if self._one_token is None:
            lengths = Lengths(workload.prompt_tokens, 1, workload.batch_size)
            self._one_token = Generator(self._loaded(), Discarded(), self._stop, lengths, decoding=self._decoding)
        return self._one_token.run(self._prompts.next_batch(workload.batch_size))

    def evaluate(self) -> Evaluation | None:
        return self._text_loss(self._order.inference.perplexity_tokens)

    def _text_loss(self, scored: int) -> Evaluation | None:
        """None also for random weights and without a tokenizer: there is no quality to measure."""
        if self._order.model.kind == "random" or self._tokenizer is None:
            return None
        model, tokenizer, ids = self._loaded(), self._tokenizer, self._text_ids
        found = held_out.evaluate(
            ids,
            scored,
            window_size(model),
            self._begin,
            window_losses(model, self._stop, self._new_cache()),
            lambda place: bytes_to(tokenizer, ids, place),
        )
        return None if found is None else self._finite(found)

    def _finite(self, found: Evaluation) -> Evaluation:
        """Raises `WorkerFailure` where it is not."""
        if not math.isfinite(found.nll_sum):
            model = self._loaded()
            raise WorkerFailure(
                "technique",
                f"With this precision {self._order.model.title} computes numbers that are not finite: it has no "
                f"perplexity. Computed in {str(model.dtype).removeprefix('torch.')}.",
                "Speed and memory were measured and are kept, but its answers are worthless. float16 overflows beyond "
                "65,504: choose bfloat16 or float32 (or that compute precision).",
            )
        return found

    def unload(self) -> dict[str, str]:
        facts = shape.cache_facts(self._model, self._new_cache()) if self._model is not None else {}
        facts |= self._trained_facts | (self._cache_held or {})
        self._model = self._generator = self._one_token = self._prompts = self._session = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        source = local_files(self._order.model)
        if source:
            digests = Digests(places().digests)
            facts |= {f"model.file.{name}": digest for name, digest in files.hashes(source, digests)}
            files.check_same(self._order.model, source, digests, read=True)
        return facts

    def _new_cache(self) -> shape.NewCache:
        return self._decoding.new_cache if self._decoding is not None else dict

    def _training(self) -> Session:
        assert self._session is not None, "prepare_training() comes first"
        return self._session

    def _loaded(self) -> PreTrainedModel:
        assert self._model is not None, "load() comes first"
        return self._model

    def _encode(self, words: str) -> list[int]:
        assert self._tokenizer is not None
        return list(self._tokenizer(words, add_special_tokens=False, verbose=False)["input_ids"])


def _read(technique: Technique, request: LoadRequest) -> PreTrainedModel:
    implementation: Callable[[LoadRequest], PreTrainedModel] = imported(technique.implementation)
    return implementation(request)


def _generates(decoding: Decoding | None) -> str:
    own = f", changed by {decoding.own}" if decoding is not None and decoding.own else ""
    return f"greedy, end of sequence ignored, dynamic cache, not compiled{own}"


def _vocabulary(model: PreTrainedModel) -> int:
    return int(model.config.get_text_config().vocab_size)


def _stored_bits(request: LoadRequest) -> float:
    """Nominal bits of a model that runs as its files are stored."""
    stored = stored_of(request)
    return stored.bits if stored is not None else 0.0


def _check_context(model: PreTrainedModel, order: TrialOrder) -> None:
    work = order.workload
    wanted, advice = 0, "Shorten the prompt or the output."
    if isinstance(work, AnyTraining):
        wanted, advice = work.sequence_tokens, "Lower sequence_tokens."
    elif isinstance(work, Inference):
        wanted = work.prompt_tokens + work.new_tokens
    own = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(own, int) and wanted > own:
        raise WorkerFailure(
            "model",
            f"{order.model.title} has a context of {own:,} tokens; {wanted:,} are asked for.",
            advice,
        )


def _original_bytes(order: TrialOrder, parameters: int) -> int:
    """Bytes of the model's tensors as its files store them; for random weights, in the precision its config names, and
    in float32 where it names none."""
    source = local_files(order.model)
    if source and (stored := files.stored_bytes(source)):
        return stored
    named = order.model.config.get("dtype") or order.model.config.get("torch_dtype")
    dtype = getattr(torch, str(named), torch.float32)
    return parameters * int(dtype.itemsize)


def _details(model: PreTrainedModel, counted: count.Counted, *, all_trained: bool) -> dict[str, str]:
    details = {
        "architecture": type(model).__name__,
        "compute": str(model.dtype).removeprefix("torch."),
        "quantised_parameters": str(counted.quantised_parameters),
        **shape.shape_facts(model, counted.parameters),
    }
    if all_trained:
        details["trained_parameters"] = str(sum(p.numel() for p in model.parameters()))
    experts = getattr(model.config, "_experts_implementation", None)
    if experts and shape.expert_count(model.config):  # transformers names one for dense models too
        details["experts"] = str(experts)
    return details
