"""The begin token: found by the tokenizer's own rule, carried into GGUF files, the same in both engines."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from engines.data.begin import Begin
from engines.hf.files import gguf_model
from engines.llama.convert.tokenizer import read_vocabulary
from engines.protocol.orders import Inference, ModelOrder
from engines.protocol.records import Evaluation, WrittenText
from engines.worker.stop import Stop
from tests.engines.worker_harness import QUICK, Outcome, folder_model, run_worker, trial_order
from tests.tiny_gguf import write_tiny_gguf
from tests.tiny_model import BEGINS, VOCABULARY, make_tiny_model

pytestmark = pytest.mark.real
BOS = Begin((0,), "<s>", 0)
WORKLOAD = msgspec.structs.replace(QUICK, perplexity_tokens=500, text_tokens=4)


def begin_of(folder: Path, adds_bos: bool | None = None) -> Begin:
    from transformers import AutoTokenizer

    from engines.hf import tokenizer

    return tokenizer.begin_of(AutoTokenizer.from_pretrained(folder), frozenset(), adds_bos=adds_bos)


# --- the rule --------------------------------------------------------------------------------------


def test_that_a_tokenizer_is_asked_what_it_adds(tmp_path: Path) -> None:
    assert begin_of(make_tiny_model(tmp_path / "none")) == Begin(empty=0)
    folder = make_tiny_model(tmp_path / "begins", begins=True)
    assert begin_of(folder) == BOS
    # of a GGUF file its own word counts
    assert begin_of(folder, adds_bos=False).ids == ()
    assert begin_of(tmp_path / "none", adds_bos=True) == BOS


@pytest.mark.parametrize("settings", [{}, {"add_bos_token": True}, {"add_bos_token": False}, {"add_eos_token": True}])
@pytest.mark.parametrize("template", [True, False])
def test_that_a_gguf_file_gets_the_rule_that_transformers_follows(
    tmp_path: Path, settings: dict[str, object], template: bool
) -> None:
    folder = make_tiny_model(tmp_path / "model")
    own = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**own, **settings}))
    document = json.loads((folder / "tokenizer.json").read_text())
    document["post_processor"] = BEGINS if template else None
    (folder / "tokenizer.json").write_text(json.dumps(document))
    assert begin_of(folder).ids == ((0,) if template else ())
    config = json.loads((folder / "config.json").read_text())
    assert read_vocabulary(folder, config, VOCABULARY).add_bos is template


@pytest.mark.parametrize("splits", ["gpt-2", "llama-bpe", "tekken", "smollm", "qwen2"])
@pytest.mark.parametrize("begins", [True, False, None])
def test_that_a_gguf_files_rule_is_read_as_llama_cpp_reads_it(tmp_path: Path, splits: str, begins: bool | None) -> None:
    file = write_tiny_gguf(tmp_path / "tiny.gguf", begins=begins, splits=splits)
    expected = begins if begins is not None else splits in ("llama-bpe", "tekken")
    assert gguf_model(file).adds_bos is expected
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (make gguf)")
    assert vocabulary_begin(file) == (BOS if expected else Begin(empty=0))


def vocabulary_begin(file: Path) -> Begin:
    import os

    from engines.llama.library import library
    from engines.llama.vocabulary import Vocabulary

    api = library().api
    settings = api.llama_model_default_params()
    settings.vocab_only = True
    model = api.llama_model_load_from_file(os.fsencode(file), settings)
    try:
        return Vocabulary(library(), model).begin
    finally:
        api.llama_model_free(model)


# --- what a model reads ----------------------------------------------------------------------------


def test_that_a_text_begins_with_it_once_also_after_a_chat_template(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from engines.hf.reader import HfReader

    folder = make_tiny_model(tmp_path / "model", begins=True)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "<s>{{ messages[0]['content'] }} and"
    reader = HfReader(model, tokenizer, frozenset(), BOS, Stop())
    seen: list[list[int]] = []
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"][0].tolist()), with_kwargs=True
    )
    try:
        reader.write("Names refer", 1)
        reader.write(reader.chat("Names refer") or "", 1)
        reader.likelihood("Names refer", " to objects")
        reader.likelihood("", "objects")
    finally:
        hook.remove()
    names = reader.encode("Names refer")
    assert seen[0] == [0, *names]
    assert seen[1] == [0, *reader.encode("Names refer and")]
    assert seen[2][: len(names) + 1] == [0, *names]
    assert seen[3][0] == 0
    assert [ids.count(0) for ids in seen] == [1, 1, 1, 1]


def run(folder: Path, begins: bool, tmp_path: Path, workload: Inference = WORKLOAD) -> Outcome:
    model = folder_model(make_tiny_model(folder, begins=begins))
    outcome = run_worker(trial_order(model, "float32", workload), tmp_path)
    assert outcome.failure == ""
    return outcome


def test_that_a_trial_follows_the_rule_and_records_it(tmp_path: Path) -> None:
    plain, begun = (run(tmp_path / f"m{begins}", begins, tmp_path / f"t{begins}") for begins in (False, True))
    without, with_it = plain.only(Evaluation), begun.only(Evaluation)
    assert (without.begin, with_it.begin) == ("", "<s> (0)")
    assert with_it.nll_sum != without.nll_sum
    scored = [(e.tokens, e.text_bytes, e.first_byte, e.part_bytes, e.context_tokens) for e in (without, with_it)]
    assert scored[0] == scored[1], "it is context and never scored"
    assert {text.begin for text in begun.all(WrittenText)} == {"<s> (0)"}
    assert {text.begin for text in plain.all(WrittenText)} == {""}
    assert (begun.facts["tokenizer.begin"], plain.facts["tokenizer.begin"]) == ("<s> (0)", "none")
    assert begun.facts["prompts.begin"] == "<s> (0)"


@pytest.mark.parametrize("begins", [True, False])
def test_that_both_engines_find_the_same_loss_after_it(tmp_path: Path, begins: bool) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (make gguf)")
    from tests.engines.llama.test_worker import order_for

    file = write_tiny_gguf(tmp_path / "tiny.gguf", begins=begins)
    outcome = run_worker(order_for(file, WORKLOAD), tmp_path / "llama")
    ours = outcome.only(Evaluation)
    model = ModelOrder(ref="t", title="t", kind="gguf", path=str(file))
    theirs = run_worker(trial_order(model, "float32", WORKLOAD), tmp_path / "hf").only(Evaluation)
    assert ours.begin == theirs.begin == ("<s> (0)" if begins else "")
    assert ours.nll_sum == pytest.approx(theirs.nll_sum, rel=1e-4)
    assert ours.part_nll == pytest.approx(theirs.part_nll, rel=1e-3)
    assert (ours.part_bytes, ours.first_byte) == (theirs.part_bytes, theirs.first_byte)


def test_that_a_converted_folder_gives_llama_cpp_the_same_loss(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (make gguf)")
    from tests.engines.llama.kit import gguf_order

    theirs = run(tmp_path / "model", True, tmp_path / "hf").only(Evaluation)
    order = gguf_order(folder_model(tmp_path / "model"), "precision.gguf-f16")
    ours = run_worker(msgspec.structs.replace(order, workload=WORKLOAD), tmp_path / "llama").only(Evaluation)
    assert ours.begin == theirs.begin == "<s> (0)"
    assert ours.nll_sum == pytest.approx(theirs.nll_sum, rel=2e-3)  # weights and cache are rounded to float16


def test_that_a_context_depth_begins_with_it_and_the_prompt_after_it_does_not(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (make gguf)")
    from tests.engines.llama.test_loop import SHAPE, Loaded

    file = write_tiny_gguf(tmp_path / "tiny.gguf", begins=True)
    for depth, starts in ((0, True), (15, False)):
        (tmp_path / str(depth)).mkdir()
        ready = Loaded(file, tmp_path / str(depth), msgspec.structs.replace(SHAPE, depth_tokens=depth))
        assert len(ready.engine._depth_ids) == depth
        assert ready.engine._depth_ids[:1] == ([0] if depth else [])
        (prompt,) = ready.engine._prompts.next_batch(1)
        assert (prompt[0] == 0) is starts
        assert len(prompt) == SHAPE.prompt_tokens
        ready.close()
