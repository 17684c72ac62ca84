"""The same questions through real workers of both engines: the same answers, and nearly the same likelihoods."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import EngineOrder, Inference, TechniqueOrder
from engines.protocol.places import HOME_VARIABLE
from engines.protocol.records import Cue, Log, PhaseEnded, Progress, Request, TaskScore, TrialEnded
from engines.protocol.tasks import LOCAL_TASKS
from tests.engines.llama.kit import FAMILIES, make_family, need_llama
from tests.engines.worker_harness import QUICK, Outcome, Worker, folder_model, start_worker, trial_order

pytest.importorskip("lm_eval", reason="lm-eval is not installed (pip install 'llm-workbench[tasks]')")
need_llama()

pytestmark = pytest.mark.real
PRECISIONS = {"transformers": "float32", "llama.cpp": "gguf-f16"}
ASKED = tuple(task.id for task in LOCAL_TASKS)
WORDS = ["names", "objects", "blocks", "modules", "scopes", "classes", "values", "types", "strings", "lists"]


def questions() -> dict[str, list[dict[str, object]]]:
    """Eight of each task, in the form of the samples; answers of very different length."""
    gsm, swag, truth = [], [], []
    for n in range(8):
        one, other = WORDS[n % 10], WORDS[(3 * n + 1) % 10]
        endings = [one, f"{other} and {one}", f"no {other}", f"a {one} is bound to {other} in the block"]
        gsm.append({"prompt": f"{n} {one} and {n}?", "expected": str(2 * n), "upstream_answer": f"so\n#### {2 * n}"})
        swag.append({"activity_label": one, "ctx": f"The {other}", "endings": endings, "expected_index": n % 4})
        truth.append({"question": f"What are {one}?", "choices": endings[: 2 + n % 3], "expected_index": 0})
    return dict(zip((task.file for task in LOCAL_TASKS), (gsm, swag, truth), strict=True))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    tasks = folder / "cache" / "tasks"
    tasks.mkdir(parents=True)
    for file, rows in questions().items():
        (tasks / file).write_text("\n".join(json.dumps(row) for row in rows))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_family(tmp_path_factory.mktemp("models") / "small", FAMILIES["llama"])


def asking(model: Path, home: Path, engine: str, folder: Path, workload: Inference) -> Worker:
    order = trial_order(folder_model(model), workload=workload)
    order = msgspec.structs.replace(
        order,
        techniques=(TechniqueOrder(id=f"precision.{PRECISIONS[engine]}"),),
        engine=EngineOrder(id=engine, threads=1),
    )
    return start_worker(order, folder, module="tests.engines.asking_worker", environment={HOME_VARIABLE: str(home)})


@pytest.fixture(scope="module")
def outcomes(model: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    load = msgspec.structs.replace(QUICK, tasks=ASKED, task_samples=7)
    return {
        engine: asking(model, home, engine, tmp_path_factory.mktemp("trial"), load).finish() for engine in PRECISIONS
    }


@pytest.mark.parametrize("engine", PRECISIONS)
def test_that_every_sample_is_scored_with_its_error(outcomes: dict[str, Outcome], engine: str) -> None:
    outcome = outcomes[engine]
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.all(Cue) == [] or outcome.cue("task_failed") is None, outcome.all(Log)
    scores = {score.task: score for score in outcome.all(TaskScore)}
    assert tuple(scores) == ASKED
    assert [scores[task].samples for task in ASKED] == [3, 7, 7]  # five of GSM8K's are its examples
    assert all(score.stderr is not None and score.harness.startswith("lm-eval ") for score in scores.values())
    assert (scores["hellaswag-sample"].chance, scores["gsm8k-sample"].chance) == (0.25, 0.0)
    assert 0.25 < (scores["truthfulqa-sample"].chance or 0) < 0.5
    texts = [p.text for p in outcome.all(Progress) if p.text.startswith("Task ")]
    assert any("hellaswag-sample: 0 of 28 answers" in text for text in texts)


def test_that_both_engines_give_the_same_scores(outcomes: dict[str, Outcome]) -> None:
    first, second = ([(s.task, s.score, s.samples) for s in outcome.all(TaskScore)] for outcome in outcomes.values())
    assert first == second
    assert any(0 < score < 1 for _, score, _ in first)


def test_that_both_engines_find_the_same_answers_alike_likely(model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from engines.hf.reader import HfReader
    from engines.hf.tokenizer import begin_of
    from engines.llama.engine import LlamaEngine
    from engines.llama.ladder.files import make_file
    from engines.protocol.ring import RingWriter, capacity_for, create_ring
    from engines.worker.stop import Stop

    order = msgspec.structs.replace(
        trial_order(folder_model(model)),
        techniques=(TechniqueOrder(id="precision.gguf-f16"),),
        engine=EngineOrder(id="llama.cpp", threads=1),
    )
    make_file(order, lambda text, share: None)
    create_ring(tmp_path / "ring", capacity_for(order))
    llama = LlamaEngine(order, RingWriter(tmp_path / "ring"), Stop())
    llama.start()
    llama.load()
    llama.prepare()
    theirs = llama.reader()
    assert theirs is not None
    network = AutoModelForCausalLM.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    ours = HfReader(network, tokenizer, frozenset(), begin_of(tokenizer, frozenset()), Stop())
    pairs = [
        (f"Tea: The {row['ctx']}", f" {ending}")
        for row in questions()["hellaswag.jsonl"]
        for ending in row["endings"]  # type: ignore[attr-defined]
    ]
    found = [reader.likelihoods(pairs, lambda done: None) for reader in (ours, theirs)]
    llama.unload()
    assert len(found[0]) == 32
    for one, other in zip(*found, strict=True):
        assert one.tokens == other.tokens > 0
        # weights and cache are rounded to float16 there
        assert one.log_probability == pytest.approx(other.log_probability, rel=2e-3)
    assert len({round(one.log_probability, 1) for one in found[0]}) > 16


@pytest.mark.parametrize("engine", PRECISIONS)
def test_that_a_stop_within_a_task_keeps_what_was_measured(
    model: Path, home: Path, tmp_path: Path, engine: str
) -> None:
    load = msgspec.structs.replace(QUICK, tasks=ASKED * 50)  # minutes of work
    worker = asking(model, home, engine, tmp_path / "trial", load)
    worker.wait_for(lambda r: isinstance(r, Progress) and "getting its questions" in r.text)
    worker.terminate()
    outcome = worker.finish()
    assert outcome.exit_code == 0
    assert len(outcome.all(TaskScore)) < len(load.tasks)
    assert outcome.cue("task_failed") is None
    assert any("Stopped in the evaluation" in log.text for log in outcome.all(Log))
    assert len([r for r in outcome.all(Request) if not r.warmup]) == 2
    assert "unload" in {ended.name for ended in outcome.all(PhaseEnded)}
    assert outcome.all(TrialEnded) == []  # the runner's to say
