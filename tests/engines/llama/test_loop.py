"""The llama.cpp engine in this process: which tokens it makes, and what its reader reads and writes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.protocol.orders import Inference
from engines.protocol.ring import RingWriter, capacity_for, create_ring
from engines.worker.stop import Stop
from tests.engines.llama.test_worker import order_for
from tests.engines.worker_harness import QUICK
from tests.tiny_gguf import CONTEXT_TOKENS, write_tiny_gguf

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (make gguf)")

from engines.llama.engine import LlamaEngine
from engines.llama.reading.reader import LlamaReader

NEW = 12
SHAPE = msgspec.structs.replace(QUICK, prompt_tokens=20, new_tokens=NEW)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


class Loaded:
    """An engine that is ready for requests."""

    def __init__(self, file: Path, folder: Path, workload: Inference, **engine: object) -> None:
        order = order_for(file, workload, **engine)  # type: ignore[arg-type]
        create_ring(folder / "ring", capacity_for(order))
        self.ring = RingWriter(folder / "ring")
        self.stop = Stop()
        self.engine = LlamaEngine(order, self.ring, self.stop)
        self.engine.start()
        self.engine.load()
        self.facts = self.engine.prepare()

    def tokens(self, prompts: list[list[int]]) -> list[list[int]]:
        """What it makes of these prompts, a list for each."""
        generator = self.engine._generator
        assert generator.run(prompts, self.engine._depth_ids) is not None
        return generator.made.T.tolist()

    def close(self) -> None:
        self.engine.unload()
        self.ring.close()


@pytest.fixture
def load(tmp_path: Path, tiny: Path) -> Iterator[object]:
    made: list[Loaded] = []

    def ready(workload: Inference = SHAPE, **engine: object) -> Loaded:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Loaded(tiny, folder, workload, **engine))
        return made[-1]

    yield ready
    for one in made:
        one.close()


def prompts(count: int, length: int = 20) -> list[list[int]]:
    random = np.random.default_rng(5)
    return random.integers(2, 270, (count, length)).tolist()


def reference(reader: LlamaReader, prompt: list[int]) -> list[int]:
    """Greedy tokens, each found by scoring every candidate: the whole sequence is computed anew for each."""
    from engines.llama.reading.score import score

    ids, made = list(prompt), []
    for _ in range(NEW):
        context = reader._context_for(len(ids) + 1)
        score(reader._library, context, [*ids, 0], len(ids), Stop())
        made.append(int(context.rows(1)[0].argmax()))
        ids.append(made[-1])
    return made


def test_that_every_token_is_the_likeliest_after_all_before_it(load) -> None:  # type: ignore[no-untyped-def]
    ready = load()
    reader = ready.engine.reader()
    (prompt,) = prompts(1)
    (made,) = ready.tokens([prompt])
    assert made == reference(reader, prompt)
    assert len(set(made)) > 2


def test_that_sequences_of_a_batch_do_not_touch_each_other(load) -> None:  # type: ignore[no-untyped-def]
    three = prompts(3)
    alone = [load().tokens([prompt])[0] for prompt in three]
    together = load(msgspec.structs.replace(SHAPE, batch_size=3)).tokens(three)
    assert together == alone
    assert len({tuple(tokens) for tokens in alone}) == 3


@pytest.mark.parametrize("batch_tokens", [7, 20, 33])
def test_that_prompts_may_be_computed_in_pieces(load, batch_tokens: int) -> None:  # type: ignore[no-untyped-def]
    shape = msgspec.structs.replace(SHAPE, batch_size=3)
    whole = load(shape).tokens(prompts(3))
    assert load(shape, batch_tokens=batch_tokens, micro_batch_tokens=5).tokens(prompts(3)) == whole


def test_that_a_request_knows_nothing_of_the_one_before(load) -> None:  # type: ignore[no-untyped-def]
    ready = load()
    first, second = prompts(2)
    before = ready.tokens([first])
    ready.tokens([second])
    assert ready.tokens([first]) == before


@pytest.mark.parametrize("batch", [1, 2])
def test_that_the_depth_is_read_as_if_it_stood_before_the_prompt(load, batch: int) -> None:  # type: ignore[no-untyped-def]
    deep = load(msgspec.structs.replace(SHAPE, depth_tokens=15, batch_size=batch))
    depth = deep.engine._depth_ids
    assert len(depth) == 15
    some = prompts(batch)
    expected = load(msgspec.structs.replace(SHAPE, prompt_tokens=35, batch_size=batch)).tokens(
        [depth + prompt for prompt in some]
    )
    assert deep.tokens(some) == expected
    assert deep.tokens(some) == expected  # the second time the depth is there already


def test_that_a_prefill_stamps_nothing(load) -> None:  # type: ignore[no-untyped-def]
    ready = load()
    done = ready.engine.prefill()
    assert done.start_ns < done.end_ns
    assert ready.ring.written == 0
    assert ready.engine.request(0).stamps == NEW
    assert ready.ring.written == NEW


def test_that_a_stopped_request_is_none(load) -> None:  # type: ignore[no-untyped-def]
    ready = load(msgspec.structs.replace(SHAPE, perplexity_tokens=100))
    ready.stop.requested = True
    assert ready.engine.request(0) is None
    assert ready.engine.evaluate() is None


def test_that_the_prompts_are_those_of_any_engine_with_the_same_ids(load) -> None:  # type: ignore[no-untyped-def]
    from engines.data import text
    from engines.data.prompts import make_prompts

    ready = load()
    reader = ready.engine.reader()
    ids = text.text_tokens(reader.encode)
    assert ready.engine._prompts.next_batch(3) == make_prompts(SHAPE, 0, ids, reader.encode).next_batch(3)
    assert ready.facts["prompts.source"].startswith(text.text_name())


# --- the reader -----------------------------------------------------------------------------------


def test_that_text_survives_the_tokenizer(load) -> None:  # type: ignore[no-untyped-def]
    reader = load().engine.reader()
    text = "The string — naïve, 12 — ends.\n\n  Indented\ttoo."
    assert reader._vocabulary.decode(reader.encode(text)) == text.encode()
    assert reader.encode("<s>the") == [0, *reader.encode("the")]


def test_that_the_tokenizer_is_that_of_transformers(load, tiny: Path) -> None:  # type: ignore[no-untyped-def]
    transformers = pytest.importorskip("transformers")
    from engines.data.text import held_out_text

    theirs = transformers.AutoTokenizer.from_pretrained(str(tiny.parent), gguf_file=tiny.name)
    part = held_out_text()[:40_000]
    ids = load().engine.reader().encode(part)
    assert ids == theirs(part, add_special_tokens=False, verbose=False)["input_ids"]


def test_that_the_chat_template_is_the_files_own(load) -> None:  # type: ignore[no-untyped-def]
    assert load().engine.reader().chat("Why?") == "<s>user: Why?\nassistant:"


def test_that_writing_goes_on_as_the_measured_loop_does(load) -> None:  # type: ignore[no-untyped-def]
    ready = load()
    reader = ready.engine.reader()
    prompt = "the string is in the list"
    ids = reader.encode(prompt)
    expected = load(msgspec.structs.replace(SHAPE, prompt_tokens=len(ids))).tokens([ids])[0]
    written = reader.write(prompt, NEW)
    ends = [place for place, token in enumerate(expected) if reader._vocabulary.ends(token)]
    kept = expected[: ends[0]] if ends else expected
    assert written.text == reader._vocabulary.decode(kept).decode(errors="replace")
    assert written.ended == bool(ends)


def test_that_writing_stops_before_a_word_that_ends_it(load) -> None:  # type: ignore[no-untyped-def]
    reader = load().engine.reader()
    whole = reader.write("the", 30).text
    assert len(whole) > 4
    cut = reader.write("the", 30, until=(whole[3],))
    assert cut.text == whole[: whole.index(whole[3])]
    assert cut.tokens < 30


def test_that_likelihoods_of_parts_add_up(load) -> None:  # type: ignore[no-untyped-def]
    reader = load().engine.reader()
    both = reader.likelihood("one two", " three four")
    first = reader.likelihood("one two", " three")
    second = reader.likelihood("one two three", " four")
    assert math.isclose(both.log_probability, first.log_probability + second.log_probability, rel_tol=1e-3)
    assert both.tokens == first.tokens + second.tokens
    assert both.log_probability < 0


def test_that_likelihood_knows_what_greedy_decoding_writes(load) -> None:  # type: ignore[no-untyped-def]
    reader = load().engine.reader()
    prompt = "x = [1, 2"
    best = reader.write(prompt, 1).text
    assert reader.likelihood(prompt, best).greedy or best.encode() == b""
    assert not reader.likelihood(prompt, "zq").greedy


def test_that_an_empty_context_is_the_begin_of_sequence(load) -> None:  # type: ignore[no-untyped-def]
    reader = load().engine.reader()
    assert reader.likelihood("", "the").log_probability == reader.likelihood("<s>", "the").log_probability


def test_that_a_text_longer_than_the_context_is_refused_in_words(load) -> None:  # type: ignore[no-untyped-def]
    from engines.worker.failures import WorkerFailure

    reader = load().engine.reader()
    assert reader.context_tokens == CONTEXT_TOKENS
    with pytest.raises(WorkerFailure, match="too long"):
        reader.write("the", CONTEXT_TOKENS)
    with pytest.raises(WorkerFailure, match="too long"):
        reader.likelihood("the", "zq" * CONTEXT_TOKENS)
    assert reader.likelihood("the " * CONTEXT_TOKENS, "end").tokens > 0  # its beginning is left out


PAIRS = [
    ("the names of the list are the same", " as the string"),
    ("the names of the list are the same", " in every module"),
    ("the names of the list", " are objects"),
    ("", "the"),
    ("in the module", " is a name"),
    ("in the module", ""),
    ("the names of the list are the same", " as the string"),
    ("the list " * CONTEXT_TOKENS, "end"),
    ("the list " * CONTEXT_TOKENS, "of names"),
]


@pytest.mark.parametrize("rewinds", [True, False])
def test_that_what_is_still_in_the_cache_changes_no_likelihood(load, rewinds: bool) -> None:  # type: ignore[no-untyped-def]
    alone = []
    for pair in PAIRS:
        reader = load().engine.reader()
        alone.append(reader.likelihood(*pair))
    reader = load().engine.reader()
    reader._rewinds = rewinds
    told: list[int] = []
    together = reader.likelihoods(PAIRS, told.append)
    assert [(found.tokens, found.greedy) for found in together] == [(found.tokens, found.greedy) for found in alone]
    for found, expected in zip(together, alone, strict=True):
        assert found.log_probability == pytest.approx(expected.log_probability, rel=1e-4, abs=1e-4)
    assert told == list(range(len(PAIRS)))


def test_that_a_prompt_is_computed_once_for_all_its_answers(load, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    reader = load().engine.reader()
    computed: list[int] = []
    context = reader._context_for(200)
    decode = context.decode
    monkeypatch.setattr(context, "decode", lambda batch: (computed.append(batch.n_tokens), decode(batch)))
    prompt = "the names of the list are " * 5
    reader.likelihoods([(prompt, f"{word} name") for word in ("a", "no", "every")], lambda done: None)
    assert sum(computed) < 1.5 * len(reader.encode(prompt))


def test_that_writing_after_other_texts_with_the_same_beginning_is_the_same(load) -> None:  # type: ignore[no-untyped-def]
    prompts = ["the string is in the list", "the string is in the module", "the string", "a"]
    alone = [load().engine.reader().write(prompt, NEW) for prompt in prompts]
    reader = load().engine.reader()
    assert [reader.write(prompt, NEW) for prompt in prompts] == alone
    reader.likelihood(prompts[1], " is the name")
    assert [reader.write(prompt, NEW) for prompt in reversed(prompts)] == alone[::-1]
