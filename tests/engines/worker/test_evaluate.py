"""The evaluate phase: texts and tasks after what is timed, in the first block only, and never at its cost."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines.data.begin import Begin
from engines.protocol.orders import Inference
from engines.protocol.places import Places
from engines.protocol.records import Cue, Log, Request, TaskScore, WrittenText
from engines.protocol.tasks import LOCAL_TASKS, harness_name, local_task, tasks_ready
from engines.worker.engine import Continuation, Likelihood
from engines.worker.evaluate import Evaluator, compare_prompts, is_asked_for
from engines.worker.progress import Progress
from engines.worker.stop import Stop
from engines.worker.works.inference import WEIGHTS
from tests.engines.worker_harness import QUICK, folder_model, run_worker, trial_order
from tests.tiny_model import make_tiny_model

WANTED = msgspec.structs.replace(QUICK, text_tokens=6)


class Told:
    """In place of the channel: keeps what is said."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def send(self, record: Any) -> None:
        self.records.append(record)

    def progress(self, text: str, fraction: float | None = None) -> None:
        assert fraction is None or 0 <= fraction <= 1

    def cue(self, code: str, text: str) -> None:
        self.send(Cue(code=code, text=text))

    def log(self, text: str, level: str = "info") -> None:
        self.send(Log(level=level, source="worker", text=text))  # type: ignore[arg-type]

    def all(self, kind: type) -> list[Any]:
        return [r for r in self.records if isinstance(r, kind)]


class EchoReader:
    """Likes continuations that contain `right`; answers with `answer`."""

    context_tokens = 256
    begin = Begin((5,), "<s>")

    def __init__(self, right: str = "", answer: str = "") -> None:
        self.right, self.answer, self.asked = right, answer, 0

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def chat(self, prompt: str) -> str | None:
        return f"<{prompt}>"

    def write(self, prompt: str, new_tokens: int, until: tuple[str, ...] = ()) -> Continuation:
        self.asked += 1
        return Continuation(self.answer, 3, ended=True)

    def likelihood(self, context: str, continuation: str) -> Likelihood:
        self.asked += 1
        return Likelihood(-1.0 if self.right and self.right in continuation else -50.0, False, len(continuation))

    def likelihoods(self, pairs: Sequence[tuple[str, str]], report: Callable[[int], None]) -> list[Likelihood]:
        found: list[Likelihood] = []
        for pair in pairs:
            report(len(found))
            found.append(self.likelihood(*pair))
        return found


class FakeEngine:
    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def reader(self) -> Any:
        return self._reader


def evaluate(workload: Inference, reader: Any, *, block: int = 0, stop: Stop | None = None) -> Told:
    told, order = Told(), trial_order(folder_model(Path("/none")), workload=workload)
    order = msgspec.structs.replace(order, block=block)
    Evaluator(FakeEngine(reader), order, told, stop or Stop(), Progress(told, WEIGHTS)).run()  # type: ignore[arg-type]
    return told


# --- texts ------------------------------------------------------------------------------------------


def test_that_each_built_in_prompt_gets_its_text_in_the_chat_template() -> None:
    texts = evaluate(WANTED, EchoReader(answer="so")).all(WrittenText)
    assert [t.prompt_id for t in texts] == [p.id for p in compare_prompts()]
    assert len({t.prompt_id for t in texts}) == len(texts) >= 5
    assert all(t.templated and t.ended and (t.text, t.tokens) == ("so", 3) for t in texts)
    assert not texts[0].prompt.startswith("<")


def test_that_later_blocks_leave_it_to_the_first_and_say_so() -> None:
    told = evaluate(WANTED, EchoReader(), block=1)
    assert told.all(WrittenText) == []
    assert "first block" in told.all(Log)[0].text


def test_that_a_model_that_cannot_read_says_why_there_is_nothing() -> None:
    told = evaluate(WANTED, None)
    assert "no tokenizer" in told.all(Log)[0].text
    assert told.all(Cue) == []


def test_that_a_failing_text_is_a_warning_and_the_tasks_go_on() -> None:
    class Broken(EchoReader):
        def write(self, prompt: str, new_tokens: int, until: tuple[str, ...] = ()) -> Continuation:
            raise RuntimeError("out of luck")

    told = evaluate(msgspec.structs.replace(WANTED, tasks=("nothing",)), Broken())
    assert [c.code for c in told.all(Cue)] == ["text_failed", "task_failed"]
    assert "out of luck" in told.all(Cue)[0].text


def test_that_a_stop_keeps_what_was_written_and_drops_what_it_cut_short() -> None:
    stop = Stop()

    class Interrupted(EchoReader):
        def write(self, prompt: str, new_tokens: int, until: tuple[str, ...] = ()) -> Continuation:
            stop.requested = self.asked == 2
            return super().write(prompt, new_tokens, until)

    told = evaluate(WANTED, Interrupted(), stop=stop)
    assert len(told.all(WrittenText)) == 2
    assert "Stopped in the evaluation" in told.all(Log)[-1].text
    assert told.all(Cue) == []


def test_that_nothing_asked_for_is_no_phase() -> None:
    assert not is_asked_for(QUICK)
    assert all(
        is_asked_for(msgspec.structs.replace(QUICK, **{k: v})) for k, v in (("text_tokens", 1), ("tasks", ("a",)))
    )


# --- tasks ------------------------------------------------------------------------------------------


@pytest.fixture
def questions(home: Places, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Our own questions in the form of the samples, with the hashes they have."""
    pytest.importorskip("lm_eval")
    from engines.worker import lm_eval_tasks

    home.tasks.mkdir(parents=True)
    gsm = [
        {"prompt": f"{n} and {n}?", "expected": str(2 * n), "upstream_answer": f"<<x>>so\n#### {2 * n}"}
        for n in range(9)
    ]
    swag = [
        {
            "activity_label": "Tea",
            "ctx": "she",
            "endings": ["sits.", "right it is.", "runs.", "eats."],
            "expected_index": 1,
        },
        {"activity_label": "Tea", "ctx": "he", "endings": ["right one.", "no.", "b.", "c."], "expected_index": 3},
    ]
    truth = [{"question": "Who?", "choices": ["right", "wrong"], "expected_index": 0}]
    for task, rows in zip(LOCAL_TASKS, (gsm, swag, truth), strict=True):
        (home.tasks / task.file).write_text("\n".join(json.dumps(row) for row in rows))
    monkeypatch.setattr(lm_eval_tasks, "_questions", lambda task: (home.tasks / task.file).read_bytes())
    return home


def tasks(*names: str, samples: int = 0) -> Inference:
    return msgspec.structs.replace(QUICK, tasks=names, task_samples=samples)


@pytest.mark.usefixtures("questions")
def test_that_choices_are_scored_with_error_and_chance() -> None:
    found = {
        s.task: s for s in evaluate(tasks("hellaswag-sample", "truthfulqa-sample"), EchoReader("right")).all(TaskScore)
    }
    swag, truth = found["hellaswag-sample"], found["truthfulqa-sample"]
    assert (swag.score, swag.samples, swag.chance, swag.measure) == (0.5, 2, 0.25, "acc_norm")
    assert swag.stderr == pytest.approx(0.5)
    assert (truth.score, truth.samples, truth.chance) == (1.0, 1, 0.5)
    assert truth.harness.startswith("lm-eval ")


@pytest.mark.usefixtures("questions")
def test_that_a_free_answer_counts_by_its_last_number_after_five_examples() -> None:
    reader = EchoReader(answer="first 3, so it is $1,0.\nThe answer is 12.")
    (score,) = evaluate(tasks("gsm8k-sample"), reader).all(TaskScore)
    assert (score.samples, score.shots, score.chance) == (4, 5, 0.0)
    assert score.score == pytest.approx(0.25)
    assert reader.asked == 4


@pytest.mark.usefixtures("questions")
def test_that_fewer_questions_may_be_asked() -> None:
    (score,) = evaluate(tasks("hellaswag-sample", samples=1), EchoReader("right")).all(TaskScore)
    assert (score.samples, score.score) == (1, 1.0)


@pytest.mark.usefixtures("questions")
def test_that_answers_that_are_no_numbers_give_no_score() -> None:
    """Of likelihoods that are not a number the first is taken for the largest; it is often the right answer."""

    class Overflowing(EchoReader):
        def likelihood(self, context: str, continuation: str) -> Likelihood:
            return Likelihood(math.nan, False, 1)

    told = evaluate(tasks("truthfulqa-sample"), Overflowing())
    assert told.all(TaskScore) == []
    assert [(cue.code, "not finite" in cue.text) for cue in told.all(Cue)] == [("task_failed", True)]


@pytest.mark.usefixtures("questions")
def test_that_a_stop_within_a_task_gives_no_score() -> None:
    stop = Stop()

    class Interrupted(EchoReader):
        def likelihood(self, context: str, continuation: str) -> Likelihood:
            stop.requested = True
            return super().likelihood(context, continuation)

    told = evaluate(tasks("hellaswag-sample"), Interrupted(), stop=stop)
    assert told.all(TaskScore) == told.all(Cue) == []


@pytest.mark.usefixtures("questions")
def test_that_likelihoods_that_are_no_numbers_give_no_score_but_a_reason() -> None:
    class Overflowing(EchoReader):
        def likelihood(self, context: str, continuation: str) -> Likelihood:
            return Likelihood(float("nan"), False, 1)

    told = evaluate(tasks("hellaswag-sample"), Overflowing())
    assert told.all(TaskScore) == []
    assert "not finite" in told.all(Cue)[0].text


def test_that_missing_and_changed_questions_are_told_with_the_command(home: Places) -> None:
    pytest.importorskip("lm_eval")
    told = evaluate(tasks("gsm8k-sample"), EchoReader())
    assert "not on this machine" in told.all(Cue)[0].text
    assert "tasks --fetch" in told.all(Log)[0].text
    home.tasks.mkdir(parents=True)
    (home.tasks / "gsm8k.jsonl").write_text("{}")
    assert "not the file it should be" in evaluate(tasks("gsm8k-sample"), EchoReader()).all(Cue)[0].text


def test_that_without_the_harness_a_task_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "engines.worker.lm_eval_tasks", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)
    told = evaluate(tasks("gsm8k-sample"), EchoReader())
    assert told.all(Cue)[0].code == "task_failed"
    assert "pip install datasets" in told.all(Log)[0].text


def test_that_a_long_text_is_scored_in_pieces_that_lose_nothing() -> None:
    lm_eval_tasks = pytest.importorskip("engines.worker.lm_eval_tasks", exc_type=ImportError)
    asked: list[tuple[str, str]] = []

    class Keeping(EchoReader):
        def likelihood(self, context: str, continuation: str) -> Likelihood:
            asked.append((context, continuation))
            return Likelihood(-1.0, False, 1)

    model = lm_eval_tasks.ReaderModel(Keeping(), lambda done, of: None)
    text = "word " * 200
    request = type("R", (), {"args": (text,)})
    (total,) = model.loglikelihood_rolling([request])
    assert "".join(piece for _, piece in asked) == text
    assert all(len(piece) <= 128 for _, piece in asked)
    assert [context for context, _ in asked[1:]] == [piece for _, piece in asked[:-1]]
    assert total == -len(asked)


class Manager:
    """The harness's index of tasks, as it fails."""

    def load(self, names: list[str]) -> dict[str, object]:
        raise {
            "arc_easy": ConnectionError("no route"),
            "half": ValueError("Couldn't find cache for half"),
            "leaderboard_ifeval": ModuleNotFoundError("No module named 'langdetect'", name="langdetect"),
        }.get(names[0], KeyError("no such task"))


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A trial that may use the network, and a hub that answers."""
    lm_eval_tasks = pytest.importorskip("engines.worker.lm_eval_tasks", exc_type=ImportError)
    monkeypatch.setattr(lm_eval_tasks, "_manager", Manager)
    monkeypatch.setattr(lm_eval_tasks, "why_unreachable", lambda: "")
    monkeypatch.setattr(lm_eval_tasks, "work_offline", lambda: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return monkeypatch


@pytest.mark.usefixtures("harness")
def test_that_a_task_that_cannot_be_fetched_an_unknown_one_and_a_lacking_package_are_told() -> None:
    told = evaluate(tasks("lm-eval:arc_easy", "lm-eval:nothing", "lm-eval:leaderboard_ifeval"), EchoReader())
    first, second, third = (cue.text for cue in told.all(Cue))
    assert "could not be fetched (ConnectionError: no route)." in first
    assert "has no task nothing" in second
    assert third == "leaderboard_ifeval needs a package that is not installed: langdetect."
    logs = [log.text for log in told.all(Log)]
    assert "set HF_TOKEN" in logs[0]
    assert "pip install 'lm-eval[ifeval]'" in logs[2]


def test_that_without_a_network_the_task_says_so_and_what_runs_here(harness: pytest.MonkeyPatch, home: Places) -> None:
    from engines.worker import lm_eval_tasks

    offline: list[bool] = []
    harness.setattr(lm_eval_tasks, "why_unreachable", lambda: "Name or service not known")
    harness.setattr(lm_eval_tasks, "work_offline", lambda: offline.append(True))
    told = evaluate(tasks("lm-eval:arc_easy"), EchoReader())
    assert offline == [True]  # what is in the cache is still used
    assert "huggingface.co cannot be reached (Name or service not known)" in told.all(Cue)[0].text
    said = told.all(Log)[0].text
    assert "other figures are kept" in said
    assert "llm-workbench tasks --fetch" in said
    home.tasks.mkdir(parents=True)
    (home.tasks / "hellaswag.jsonl").write_text("{}")
    again = evaluate(tasks("lm-eval:half"), EchoReader())
    assert "are not on this computer" in again.all(Cue)[0].text
    assert "Tasks that run here without: hellaswag-sample." in again.all(Log)[0].text


def test_that_a_trial_that_may_not_use_the_network_never_asks(harness: pytest.MonkeyPatch) -> None:
    from engines.worker import lm_eval_tasks

    harness.setenv("HF_HUB_OFFLINE", "1")
    harness.setattr(lm_eval_tasks, "why_unreachable", lambda: pytest.fail("it asked"))
    assert "given no network" in evaluate(tasks("lm-eval:arc_easy"), EchoReader()).all(Cue)[0].text


def test_that_the_parts_of_a_group_are_weighed_by_their_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    lm_eval_tasks = pytest.importorskip("engines.worker.lm_eval_tasks", exc_type=ImportError)

    class Part:
        OUTPUT_TYPE = "multiple_choice"

        def __init__(self, documents: int, choices: int) -> None:
            self.eval_docs = list(range(documents))
            self.choices = choices
            self.config = type("Config", (), {"num_fewshot": 3, "dataset_path": "org/set"})

        def doc_to_choice(self, document: int) -> list[str]:
            return ["a"] * self.choices

    parts = {"one": Part(30, 2), "two": Part(10, 4)}
    figures = {
        "group": {"acc,none": 0.9},
        "one": {"acc,none": 0.5, "acc_stderr,none": 0.1, "acc_norm,none": 0.6, "acc_norm_stderr,none": 0.1},
        "two": {"acc_norm,none": 0.2, "acc_norm_stderr,none": 0.2},
    }
    manager = type("Manager", (), {"load": lambda self, names: {"tasks": parts}})
    monkeypatch.setattr(lm_eval_tasks, "_manager", manager)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(lm_eval_tasks, "work_offline", lambda: None)
    monkeypatch.setattr(lm_eval_tasks, "_evaluate", lambda *_: figures)
    (score,) = evaluate(tasks("lm-eval:group"), EchoReader()).all(TaskScore)
    assert (score.measure, score.samples, score.shots, score.data_name) == ("acc_norm", 40, 3, "org/set")
    assert score.score == pytest.approx((30 * 0.6 + 10 * 0.2) / 40)
    assert score.stderr == pytest.approx(((30 * 0.1) ** 2 + (10 * 0.2) ** 2) ** 0.5 / 40)
    assert score.chance == pytest.approx((30 * 0.5 + 10 * 0.25) / 40)
    (fewer,) = evaluate(tasks("lm-eval:group", samples=5), EchoReader()).all(TaskScore)
    assert fewer.samples == 10


def test_that_names_of_tasks_are_told_apart(home: Places) -> None:
    assert local_task("gsm8k-sample") is not None
    assert local_task("arc_easy") is None
    assert [harness_name(n) for n in ("lm-eval:arc_easy", "arc_easy", "other:x", "lm-eval:")] == [
        "arc_easy",
        "",
        "",
        "",
    ]
    assert tasks_ready(home) == ()


# --- a real worker ----------------------------------------------------------------------------------


@pytest.mark.real
def test_that_a_real_trial_with_own_prompts_writes_texts_and_survives_an_unknown_task(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "tiny")
    file = tmp_path / "own.txt"
    file.write_text("What is a module?\nName the parts of a class statement, please.\nWhy?\n")
    load = msgspec.structs.replace(QUICK, prompt_file=str(file), text_tokens=5, tasks=("nothing",), prompt_tokens=32)
    outcome = run_worker(trial_order(folder_model(model), workload=load), tmp_path / "trial")
    assert (outcome.exit_code, outcome.failure) == (0, "")
    assert {r.prompt_tokens for r in outcome.all(Request)} == {32}
    texts = outcome.all(WrittenText)
    assert len(texts) == len(compare_prompts())
    assert all(0 < t.tokens <= 5 and not t.templated for t in texts)
    assert outcome.cue("task_failed") is not None
    facts = outcome.facts
    assert facts["prompts.source"].startswith("own.txt sha256:")
    assert float(facts["prompts.filler_tokens_mean"]) > 0
