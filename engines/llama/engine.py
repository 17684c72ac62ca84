"""The llama.cpp engine: one model in one trial. Main thread of the worker process; imports llama_cpp."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

from engines.data import held_out, text
from engines.data.begin import NONE
from engines.data.prompts import Prompts, make_prompts
from engines.data.windows import size_for
from engines.hf import files
from engines.llama import amx, facts, shape
from engines.llama.context import Context, Settings
from engines.llama.generate import Generator, Lengths
from engines.llama.info import PIECE_TOKENS
from engines.llama.ladder.files import local_source, make_file, plan_file
from engines.llama.library import Library, library
from engines.llama.model import LoadSettings, Model
from engines.llama.preflight import check_header, kv_cache_of, precision_of
from engines.llama.reading.reader import LlamaReader
from engines.llama.reading.score import window_losses
from engines.llama.settings import settings_of
from engines.llama.vocabulary import Vocabulary
from engines.models.gguf import GgufModel
from engines.models.identity import Digests
from engines.protocol.orders import TrialOrder
from engines.protocol.places import places
from engines.protocol.records import Evaluation, ModelLoaded, TookEffect
from engines.protocol.ring import RingWriter
from engines.techniques import find
from engines.worker.engine import Finished, Reader
from engines.worker.failures import WorkerFailure
from engines.worker.phases import AllocatorPeaks
from engines.worker.stop import Stop


class LlamaEngine:
    """`engines.worker.engine.Engine` over llama.cpp."""

    def __init__(self, order: TrialOrder, ring: RingWriter, stop: Stop) -> None:
        self._order = order
        self._own = settings_of(order.engine)
        self._ring = ring
        self._stop = stop
        self._on_gpu = order.device != "cpu"
        self._technique, _ = precision_of(order)
        self._kv_cache = kv_cache_of(order)
        self._extra_buffers = True
        self._found: Library | None = None
        self._model: Model | None = None
        self._vocabulary: Vocabulary | None = None
        self._context: Context | None = None
        self._reader: LlamaReader | None = None
        self._prompts: Prompts | None = None
        self._generator: Generator | None = None
        self._file: Path | None = None
        self._file_facts: dict[str, str] = {}
        self._text_ids: list[int] = []
        self._depth_ids: list[int] = []

    def start(self) -> dict[str, str]:
        found = self._found = library()
        if self._on_gpu and not found.api.llama_supports_gpu_offload():
            raise WorkerFailure(
                "package",
                f"This build of llama-cpp-python ({found.version}) cannot use a GPU.",
                "Install a build with CUDA: CMAKE_ARGS=-DGGML_CUDA=on pip install --force-reinstall --no-binary "
                "llama-cpp-python llama-cpp-python. Or run on the processor.",
            )
        told = facts.process_facts(self._order, found)
        if found.has("AMX_INT8"):
            self._extra_buffers = amx.works()
            told["llama.amx"] = "works" if self._extra_buffers else amx.BROKEN
        return told

    def allocator(self) -> AllocatorPeaks:
        return AllocatorPeaks()

    def files_missing(self) -> str:
        planned = plan_file(self._order)
        return "" if planned.exists else planned.title

    def make_files(self, report: Callable[[str, float], None]) -> dict[str, str]:
        return make_file(self._order, report)

    def load(self) -> ModelLoaded:
        order, found = self._order, self._library
        planned = plan_file(order)
        file = self._file = planned.path
        self._file_facts = dict(planned.facts)
        header = files.gguf_model(file)
        check_header(header, order)
        start = time.monotonic()
        settings = LoadSettings(
            memory_map=self._own.memory_map,
            gpu_layers=self._own.gpu_layers if self._on_gpu else 0,
            extra_buffers=self._extra_buffers,
        )
        self._model = Model(found, file, order.model.title, settings, self._stop)
        self._vocabulary = Vocabulary(found, self._model.pointer)
        self._context = self._made_context()
        load_s = time.monotonic() - start
        self._stop.check()
        file_type = self._model.file_type.decode(errors="replace")
        return ModelLoaded(
            parameters=header.parameters,
            tensor_bytes=header.tensor_bytes,
            bytes_by_dtype=header.bytes_by_type(),
            original_bytes=self._original_bytes(header),
            nominal_bits=self._technique.bits or shape.named_bits(file_type),
            stored_bits=shape.stored_bits(header),
            attention=f"llama.cpp, flash attention {self._context.flash}",
            device="cuda:0" if self._on_gpu else "cpu",
            load_s=load_s,
            details=shape.details(header, file_type) | {"compute": shape.compute_type(header, on_gpu=self._on_gpu)},
        )

    def took_effect(self) -> Sequence[TookEffect]:
        """The file's type is that of the precision, the context's cache that of the KV cache technique."""
        assert self._model is not None
        bits = {"precision": {"file_bits": shape.named_bits(self._model.file_type.decode(errors="replace"))}}
        if (cache := self._order.technique("kv_cache")) is not None:
            bits["kv_cache"] = {"bits": getattr(find(cache.id), "bits", 0.0)}
        return [
            TookEffect(technique=t.id, stage=known.stage, changed=bits.get(known.axis, {}))
            for t in self._order.techniques
            if (known := find(t.id)) is not None
        ]

    def prepare(self) -> dict[str, str]:
        order, workload = self._order, self._order.inference
        vocabulary, context, model = self._vocabulary, self._context, self._model
        assert vocabulary is not None
        assert context is not None
        assert model is not None
        if vocabulary.exists:
            ids = self._text_ids = text.text_tokens(vocabulary.encode)
        else:
            ids = text.random_text(vocabulary.size, workload.prompt_tokens, order.block)
        # by block, not by the trial's seed: every configuration of a block gets the same prompts
        encode = self._encode if vocabulary.exists else None
        begin = vocabulary.begin if vocabulary.exists else NONE
        # a sequence has one begin token: the context depth's, where there is one
        self._prompts = make_prompts(workload, order.block, ids, encode, NONE if workload.depth_tokens else begin)
        self._depth_ids = begin.before(ids * (1 + workload.depth_tokens // len(ids)))[: workload.depth_tokens]
        keeps = not model.recurrent and not model.window
        self._generator = Generator(
            self._library,
            context,
            self._ring,
            self._stop,
            Lengths(workload.prompt_tokens, workload.new_tokens, workload.batch_size, workload.depth_tokens),
            keeps_depth=keeps,
        )
        return {
            "workload.window_s": f"{workload.window_s:g}",
            "workload.depth_tokens": str(workload.depth_tokens),
            "tokenizer.begin": begin.told or "none",
            "workload.depth_computed": "before every request" if workload.depth_tokens and not keeps else "once",
            **self._prompts.facts(),
            "generate.settings": "greedy, end of sequence ignored, an empty KV cache for every request",
            "generate.sampler": "argmax of numpy over llama.cpp's logits",
            "generate.synchronous": "per token",
            "llama.load.memory_map": "yes" if self._own.memory_map else "no",
            "llama.load.gpu_layers": str(self._own.gpu_layers if self._on_gpu else 0),
            "llama.load.extra_buffers": "yes" if self._extra_buffers else "no",
            "llama.load.buffers": "; ".join(model.buffers),
            **context.facts(),
            **self._file_facts,
        }

    def request(self, number: int) -> Finished | None:
        return self._run(first_only=False)

    def prefill(self) -> Finished | None:
        return self._run(first_only=True)

    def evaluate(self) -> Evaluation | None:
        """None also for random weights: there is no quality to measure."""
        vocabulary, model, ids = self._vocabulary, self._model, self._text_ids
        if self._order.model.kind == "random" or vocabulary is None or model is None or not ids:
            return None
        tokens, size = self._order.inference.perplexity_tokens, size_for(model.context_tokens)
        ends = [0, *accumulate(len(vocabulary.piece(token)) for token in ids)]
        context = self._made_context_for(size)
        try:
            losses = window_losses(self._library, context, self._stop)
            found = held_out.evaluate(ids, tokens, size, vocabulary.begin, losses, ends.__getitem__)
        finally:
            context.close()
        if found is not None and not math.isfinite(found.nll_sum):
            raise WorkerFailure(
                "technique",
                f"{self._order.model.title} computes numbers that are not finite: it has no perplexity.",
                "Speed and memory were measured and are kept, but its answers are worthless. The file may be damaged, "
                "or its weights overflow in this precision: choose another rung of the ladder or another file.",
            )
        return found

    def reader(self) -> Reader | None:
        vocabulary, model = self._vocabulary, self._model
        if self._order.model.kind == "random" or vocabulary is None or model is None or not vocabulary.exists:
            return None
        if self._reader is None:
            self._reader = LlamaReader(self._library, model, vocabulary, self._made_context_for, self._stop)
        return self._reader

    def unload(self) -> dict[str, str]:
        late: dict[str, str] = {}
        if self._context is not None and self._model is not None:
            late = shape.cache_facts(self._library, self._context, windowed=self._model.window > 0)
        for part in (self._reader, self._context, self._model):
            if part is not None:
                part.close()
        self._reader = self._context = self._model = self._vocabulary = self._generator = self._prompts = None
        digests, model = Digests(places().digests), self._order.model
        hashed = files.hashes(self._file, digests) if self._file is not None else ()
        late |= {f"model.file.{name}": digest for name, digest in hashed}
        if model.kind in ("folder", "gguf"):
            files.check_same(model, Path(model.path), digests, read=True)
        return late

    def _run(self, *, first_only: bool) -> Finished | None:
        assert self._generator is not None
        assert self._prompts is not None
        prompts = self._prompts.next_batch(self._order.inference.batch_size)
        return self._generator.run(prompts, self._depth_ids, first_only=first_only)

    @property
    def context_pointer(self) -> int:
        """llama.cpp's context of the measured requests, for benchmarks."""
        assert self._context is not None
        return self._context.pointer

    @property
    def _library(self) -> Library:
        assert self._found is not None, "start() comes first"
        return self._found

    def _encode(self, words: str) -> list[int]:
        assert self._vocabulary is not None
        return self._vocabulary.encode(words, special=True)

    def _original_bytes(self, header: GgufModel) -> int:
        """Bytes of the tensors in the model's own files; of random weights in the precision their config names, in
        float32 where it names none, as for transformers."""
        model = self._order.model
        source = local_source(model, allow_network=False)
        if source is None:
            named = str(model.config.get("dtype") or model.config.get("torch_dtype"))
            return header.parameters * (2 if named in ("float16", "bfloat16") else 4)
        return files.stored_bytes(source) or header.tensor_bytes

    def _made_context(self) -> Context:
        """The context of the measured requests: as long as one, but for its last token, which is never computed."""
        workload, own = self._order.inference, self._own
        tokens = workload.depth_tokens + workload.prompt_tokens + workload.new_tokens - 1
        return self._context_of(tokens, workload.batch_size, own.batch_tokens, own.micro_batch_tokens)

    def _made_context_for(self, tokens: int) -> Context:
        """A context of one sequence for reading, beside the measured one; KV cache and flash attention are the same."""
        return self._context_of(tokens, 1, PIECE_TOKENS, PIECE_TOKENS)

    def _context_of(self, tokens: int, sequences: int, batch_tokens: int, micro_batch_tokens: int) -> Context:
        assert self._model is not None
        settings = Settings(
            tokens=tokens,
            sequences=sequences,
            batch_tokens=batch_tokens,
            micro_batch_tokens=micro_batch_tokens,
            threads=self._order.engine.threads,
            kv_cache=self._kv_cache,
            flash_attention=self._own.flash_attention,
            on_gpu=self._on_gpu,
        )
        return Context(self._library, self._model.pointer, settings)
