"""Accuracy on tasks, scored by lm-evaluation-harness (`lm-eval`) over any engine's reader. Worker process, main thread;
imports the harness, which is optional.

Local samples are made into tasks of the harness here, from the files that `engines.data.task_data` fetched; tasks of
the harness's own are taken by name and fetch their questions from the network.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Any

import datasets
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from engines.protocol.places import places
from engines.protocol.records import TaskScore
from engines.protocol.tasks import FETCH, HARNESS, LocalTask, harness_name, harness_task, local_task, tasks_ready
from engines.worker.engine import Likelihood, Reader, Report
from engines.worker.failures import WorkerFailure, first_line
from engines.worker.hub import hub_name, why_unreachable, work_offline

_NEW_TOKENS = 256
"""Of an answer, where the task does not say."""
_MEASURES = ("acc_norm", "exact_match", "prompt_level_strict_acc", "acc")
"""What of a task's figures is its score, the first that it has."""
_ANSWER = r"(-?[$0-9.,]*[0-9])"


class ReaderModel(LM):
    """A reader as the harness wants it. `report` is called before every computation and may end the evaluation."""

    def __init__(self, reader: Reader, report: Report) -> None:
        super().__init__()
        self._reader, self._report = reader, report

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        pairs = [request.args for request in requests]
        found = self._reader.likelihoods(pairs, lambda done: self._report(done, len(pairs)))
        if not all(math.isfinite(likelihood.log_probability) for likelihood in found):
            raise WorkerFailure(
                "technique",
                "With this precision the model computes numbers that are not finite: it has no accuracy.",
                "Speed and memory were measured and are kept, but its answers are worthless. Choose another precision.",
            )
        return [(_number(likelihood), likelihood.greedy) for likelihood in found]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Texts longer than the context are scored in pieces of half of it, each after the piece before it."""
        found: list[float] = []
        for request in requests:
            total, before = 0.0, ""
            for piece in self._pieces(request.args[0]):
                self._report(len(found), len(requests))
                total += _number(self._reader.likelihood(before, piece))
                before = piece
            found.append(total)
        return found

    def generate_until(self, requests: list[Instance]) -> list[str]:
        found: list[str] = []
        for request in requests:
            self._report(len(found), len(requests))
            context, settings = request.args
            until = settings.get("until") or ()
            wanted = int(settings.get("max_gen_toks", _NEW_TOKENS))
            new_tokens = max(1, min(wanted, self._reader.context_tokens // 2))
            found.append(
                self._reader.write(context, new_tokens, (until,) if isinstance(until, str) else tuple(until)).text
            )
        return found

    def _pieces(self, text: str) -> list[str]:
        room = max(1, self._reader.context_tokens // 2)
        if len(self._reader.encode(text)) <= room or len(text) < 2:
            return [text]
        middle = text.rfind(" ", 1, len(text) // 2 + 1)
        middle = middle if middle > 0 else len(text) // 2
        return [*self._pieces(text[:middle]), *self._pieces(text[middle:])]


def _number(likelihood: Likelihood) -> float:
    """Its log probability. Raises `WorkerFailure` where that is no number: the harness would take the first answer for
    the likeliest, and that is often the right one."""
    if math.isnan(likelihood.log_probability):
        raise WorkerFailure(
            "technique",
            "The model computes numbers that are not finite: it has no accuracy.",
            "float16 overflows beyond 65,504: choose bfloat16 or float32, or another file of the model.",
        )
    return likelihood.log_probability


def score_task(name: str, samples: int, reader: Reader, report: Report) -> TaskScore:
    """The score on one task over its first `samples` questions (0: all). Raises `WorkerFailure`, whatever the harness
    raises, and what `report` raises."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    task = local_task(name)
    if task is not None:
        return _score_local(task, samples, reader, report)
    theirs = harness_name(name)
    if not theirs:
        raise WorkerFailure("order", f"There is no task {name}.", "`llm-workbench tasks` lists those there are.")
    return _score_theirs(name, theirs, samples, reader, report)


# --- the samples ----------------------------------------------------------------------------------


def _score_local(task: LocalTask, samples: int, reader: Reader, report: Report) -> TaskScore:
    raw = _questions(task)
    rows = _ROWS[task.id]([json.loads(line) for line in raw.decode().splitlines() if line.strip()])
    if samples:
        rows = rows[:samples]
    made = ConfigurableTask(config=_config(task, rows))
    figures = _evaluate({task.id: made}, None, reader, report)[task.id]
    score, stderr = _figure(figures, task.measure)
    choices = [len(row["choices"]) for row in rows if "choices" in row]
    return TaskScore(
        task=task.id,
        measure=task.measure,
        score=score,
        stderr=stderr,
        samples=len(rows),
        chance=sum(1 / count for count in choices) / len(rows) if choices else 0.0,
        shots=task.shots,
        harness=_harness(),
        begin=reader.begin.told,
        data_name=f"{task.title} ({task.source})",
        data_hash=f"sha256:{task.sha256}",
    )


def _questions(task: LocalTask) -> bytes:
    file = places().tasks / task.file
    try:
        raw = file.read_bytes()
    except FileNotFoundError as error:
        raise WorkerFailure(
            "package", f"The questions of {task.id} are not on this machine.", f"Run: {FETCH}"
        ) from error
    if hashlib.sha256(raw).hexdigest() != task.sha256:
        raise WorkerFailure("package", f"{file} is not the file it should be.", f"Remove it and run: {FETCH}")
    return raw


def _config(task: LocalTask, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A task of the harness over rows made here: examples are part of the question already."""
    shared: dict[str, Any] = {
        "task": task.id,
        "custom_dataset": lambda **_: datasets.DatasetDict({"test": datasets.Dataset.from_list(list(rows))}),
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "{{query}}",
        "metadata": {"version": 1.0},
        "metric_list": [{"metric": task.measure, "aggregation": "mean", "higher_is_better": True}],
    }
    if task.measure != "exact_match":
        return {
            **shared,
            "output_type": "multiple_choice",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{gold}}",
        }
    return {
        **shared,
        "output_type": "generate_until",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["Question:", "\n\n"], "do_sample": False, "max_gen_toks": _NEW_TOKENS},
        "filter_list": [
            {
                "name": "number",
                "filter": [
                    {"function": "regex", "group_select": -1, "regex_pattern": _ANSWER},
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "regexes_to_ignore": [",", "\\$", "\\.$"],
            }
        ],
    }


def _gsm8k(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Questions after five solved ones: the first five cases, which are then not asked."""

    def worked(case: Mapping[str, Any]) -> str:
        steps = re.sub(r"<<.*?>>", "", case["upstream_answer"]).replace("#### ", "The answer is ")
        return f"Question: {case['prompt']}\nAnswer: {steps}"

    sample = local_task("gsm8k-sample")
    shots = sample.shots if sample else 0
    examples = "\n\n".join(worked(case) for case in cases[:shots])
    return [
        {"query": f"{examples}\n\nQuestion: {case['prompt']}\nAnswer:", "answer": str(case["expected"])}
        for case in cases[shots:]
    ]


def _hellaswag(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "query": _plain(f"{case['activity_label']}: {case['ctx']}"),
            "choices": [_plain(ending) for ending in case["endings"]],
            "gold": int(case["expected_index"]),
        }
        for case in cases
    ]


def _truthfulqa(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"query": f"Q: {case['question']}\nA:", "choices": list(case["choices"]), "gold": int(case["expected_index"])}
        for case in cases
    ]


def _plain(text: str) -> str:
    """Without the marks that a part of HellaSwag has from the pages it was taken from."""
    return " ".join(re.sub(r"\[.*?\]", "", text.replace(" [title]", ". ")).split())


_ROWS = {"gsm8k-sample": _gsm8k, "hellaswag-sample": _hellaswag, "truthfulqa-sample": _truthfulqa}


# --- tasks of the harness ---------------------------------------------------------------------------


@cache
def _manager() -> TaskManager:
    """The harness's index of its thousands of tasks, which takes seconds to make."""
    return TaskManager()


def _score_theirs(name: str, theirs: str, samples: int, reader: Reader, report: Report) -> TaskScore:
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    unreachable = "the trial was given no network" if offline else why_unreachable()
    if unreachable:
        work_offline()  # what was fetched before is in the cache
    try:
        tasks = _manager().load([theirs])["tasks"]
    except ModuleNotFoundError as error:
        raise _lacks_packages(theirs, error) from error
    except OSError as error:
        raise _not_fetched(theirs, error, unreachable) from error
    except (KeyError, ValueError) as error:
        if unreachable and isinstance(error, ValueError):  # of its own questions only a part is in the cache
            raise _not_fetched(theirs, error, unreachable) from error
        raise WorkerFailure(
            "order",
            f"{HARNESS} has no task {theirs}, or cannot make it ({first_line(error)}).",
            "`lm-eval ls tasks` lists its tasks.",
        ) from error
    figures = _evaluate(tasks, samples or None, reader, report)
    parts = [_part(tasks[leaf], figures[leaf], samples) for leaf in figures if leaf in tasks]
    if not parts:
        raise WorkerFailure("engine", f"{HARNESS} gave no figures for {theirs}.", "The trial's log has the details.")
    total = sum(count for count, *_ in parts)
    known = [error for _, _, error, _, _, _ in parts if error is not None]
    chances = [chance for *_, chance in parts if chance is not None]
    return TaskScore(
        task=name,
        measure=parts[0][3],
        score=sum(count * score for count, score, *_ in parts) / total,
        stderr=math.sqrt(sum((count * (error or 0.0)) ** 2 for count, _, error, *_ in parts)) / total
        if len(known) == len(parts)
        else None,
        samples=total,
        chance=sum(count * (chance or 0.0) for count, *_, chance in parts) / total
        if len(chances) == len(parts)
        else None,
        shots=max(shots for _, _, _, _, shots, _ in parts),
        harness=_harness(),
        begin=reader.begin.told,
        data_name=", ".join(sorted({str(getattr(t.config, "dataset_path", "")) for t in tasks.values()}))[:300],
    )


def _part(
    task: Any, figures: Mapping[str, Any], samples: int
) -> tuple[int, float, float | None, str, int, float | None]:
    """Questions, score, standard error, measure, shots and chance of one of the harness's tasks."""
    named = {key.partition(",")[0] for key in figures}
    measure = next((m for m in _MEASURES if m in named), None) or next(iter(task.aggregation()))
    score, stderr = _figure(figures, measure)
    documents = task.eval_docs
    count = min(len(documents), samples) if samples else len(documents)
    chance = None
    if task.OUTPUT_TYPE == "multiple_choice":
        asked = (documents[i] for i in range(count))
        chance = sum(1 / max(1, len(task.doc_to_choice(doc))) for doc in asked) / max(1, count)
    return count, score, stderr, measure, int(task.config.num_fewshot or 0), chance


def _not_fetched(theirs: str, error: Exception, unreachable: str) -> WorkerFailure:
    ready = ", ".join(tasks_ready(places()))
    here = f"Tasks that run here without: {ready}." if ready else f"The samples need it once: {FETCH}"
    if unreachable:
        return WorkerFailure(
            "package",
            f"The questions of {theirs} are not on this computer, and {hub_name()} cannot be reached ({unreachable}).",
            f"The trial's other figures are kept. Tasks of the harness need the network the first time. {here}",
        )
    return WorkerFailure(
        "package",
        f"The questions of {theirs} could not be fetched ({first_line(error)}).",
        "The trial's other figures are kept. Some data sets ask for an account on the hub: agree to their terms on "
        f"their page and set HF_TOKEN. {here}",
    )


def _lacks_packages(theirs: str, error: ModuleNotFoundError) -> WorkerFailure:
    """A package of the task's own: the harness names some of them in its extras."""
    known = harness_task(theirs)
    extra = f"{HARNESS}[{known.extra}]" if known is not None and known.extra else ""
    return WorkerFailure(
        "package",
        f"{theirs} needs a package that is not installed: {error.name or extra or first_line(error)}.",
        f"The trial's other figures are kept. Install it: pip install '{extra or error.name or HARNESS}'",
    )


def _evaluate(
    tasks: Mapping[str, Any], limit: int | None, reader: Reader, report: Report
) -> Mapping[str, Mapping[str, Any]]:
    results = evaluate(lm=ReaderModel(reader, report), task_dict={"tasks": dict(tasks)}, limit=limit, log_samples=False)
    found: Mapping[str, Mapping[str, Any]] = results["results"] if results else {}
    return found


def _figure(figures: Mapping[str, Any], measure: str) -> tuple[float, float | None]:
    """A measure and its standard error, of the first filter that has it ("acc,none", "acc_stderr,none")."""
    key = next((key for key in figures if key.partition(",")[0] == measure), None)
    if key is None:
        raise WorkerFailure("engine", f"{HARNESS} gave no {measure}.", f"It gave: {', '.join(map(str, figures))}.")
    stderr = figures.get(f"{measure}_stderr,{key.partition(',')[2]}")
    known = isinstance(stderr, (int, float)) and math.isfinite(stderr)
    return float(figures[key]), float(stderr) if known and stderr is not None else None


def _harness() -> str:
    return f"{HARNESS} {metadata.version(HARNESS.replace('-', '_'))}"
