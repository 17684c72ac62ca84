"""Do both engines answer the same questions in the same way? Tasks through transformers and through llama.cpp.

`python -m benchmarks.task_parity [--samples 20] [--tasks NAME ...] [--precisions float32 gguf-f16 q8_0] [--threads 1]`

Each precision is a process of its own that goes the worker's way: the order, its preflight, the engine, its reader,
the harness over it. Needs the starter model (or `--model FOLDER`), lm-eval and the questions (`llm-workbench tasks
--fetch`).

Prints the score of each with its standard error and its seconds. Then, against the first precision: log probabilities
of the same answers (largest and mean difference, a token), how many texts are the same, and every question that was
answered otherwise, with the first precision's margin: the difference between its two likeliest answers, a character
where the task divides by length.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.trials import in_own_process, loaded_engine, trial_order
from engines.protocol.codec import decode_order
from engines.protocol.orders import EngineOrder, Inference, ModelOrder, TrialOrder
from engines.protocol.places import places, starter_folder
from engines.protocol.tasks import LOCAL_TASKS, local_task


@dataclass
class Answers:
    """What one precision said to one task."""

    likelihoods: list[tuple[str, str, float, int]] = field(default_factory=list)
    """Question, answer, its log probability and tokens, in the harness's order."""
    texts: list[str] = field(default_factory=list)
    score: float = 0.0
    stderr: float | None = None
    samples: int = 0
    seconds: float = 0.0


def main() -> int:
    options = _options()
    if options.order:
        print(json.dumps(_answer(decode_order(options.order.read_bytes()))))
        return 0
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    folder = options.model or starter_folder(places())
    if folder is None:
        print("Cannot measure: the starter model is not here (llm-workbench models --fetch-starter), and no --model.")
        return 1
    first: dict[str, Answers] = {}
    for precision in options.precisions:
        try:
            found = _run(_order(options, folder, precision))
        except RuntimeError as error:
            print(f"Cannot measure: {error}")
            return 1
        for task, answers in found.items():
            _tell(precision, task, answers)
            if first:
                _compare(task, first[task], answers)
        first = first or found
    return 0


def _tell(precision: str, task: str, answers: Answers) -> None:
    error = "" if answers.stderr is None else f" +- {100 * answers.stderr:.1f}"
    said = f"{100 * answers.score:.1f} %{error} of {answers.samples} questions"
    print(f"{task}, {precision}: {said}, {answers.seconds:.0f} s", flush=True)


def _compare(task: str, first: Answers, other: Answers) -> None:
    if first.texts:
        same = sum(a == b for a, b in zip(first.texts, other.texts, strict=True))
        print(f"  texts the same: {same} of {len(first.texts)}")
    if not first.likelihoods:
        return
    pairs = list(zip(first.likelihoods, other.likelihoods, strict=True))
    apart = [abs(mine - theirs) / max(1, tokens) for (_, _, mine, tokens), (_, _, theirs, _) in pairs]
    print(f"  log probability a token: largest difference {max(apart):.2g}, mean {sum(apart) / len(apart):.2g}")
    by_length = (known := local_task(task)) is not None and known.measure == "acc_norm"
    questions: dict[str, list[tuple[float, float]]] = {}
    for (question, answer, mine, tokens), (same_question, same_answer, theirs, same_tokens) in pairs:
        assert (question, answer, tokens) == (same_question, same_answer, same_tokens), (
            "other questions or other tokens"
        )
        length = len(answer.strip()) if by_length else 1
        questions.setdefault(question, []).append((mine / length, theirs / length))
    for question, answers in questions.items():
        mine_all, theirs_all = ([answer[side] for answer in answers] for side in (0, 1))
        if mine_all.index(max(mine_all)) != theirs_all.index(max(theirs_all)):
            least, most = sorted(mine_all)[-2:]
            print(f"  other answer, by {most - least:.2g}: {question[:60]!r}")


def _run(order: TrialOrder) -> dict[str, Answers]:
    found = in_own_process("benchmarks.task_parity", order)
    return {task: Answers(**said) for task, said in found.items()}


def _answer(order: TrialOrder) -> dict[str, dict[str, Any]]:
    """In the process of one precision."""
    found: dict[str, dict[str, Any]] = {}
    with loaded_engine(order) as (engine, _):
        reader = engine.reader()
        assert reader is not None
        from engines.worker.lm_eval_tasks import score_task

        for task in order.inference.tasks:
            asked = _Asked(reader)
            start = time.perf_counter()
            score = score_task(task, order.inference.task_samples, asked, lambda done, of: None)
            asked.answers.seconds = time.perf_counter() - start
            asked.answers.score, asked.answers.stderr = score.score, score.stderr
            asked.answers.samples = score.samples
            found[task] = asdict(asked.answers)
    return found


class _Asked:
    """A reader that keeps what it was asked and what it answered."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.context_tokens = reader.context_tokens
        self.answers = Answers()

    def likelihoods(self, pairs: Sequence[tuple[str, str]], report: Callable[[int], None]) -> Any:
        found = self._reader.likelihoods(pairs, report)
        for (context, continuation), likelihood in zip(pairs, found, strict=True):
            said = (context, continuation, likelihood.log_probability, likelihood.tokens)
            self.answers.likelihoods.append(said)
        return found

    def write(self, prompt: str, new_tokens: int, until: tuple[str, ...] = ()) -> Any:
        written = self._reader.write(prompt, new_tokens, until)
        self.answers.texts.append(written.text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def _order(options: argparse.Namespace, folder: Path, precision: str) -> TrialOrder:
    is_llama = precision.startswith(("gguf-", "q"))
    return trial_order(
        ModelOrder(ref=str(folder), title=folder.name, kind="folder", path=str(folder.resolve())),
        f"precision.{precision}",
        workload=Inference(
            prompt_tokens=16,
            new_tokens=8,
            requests=1,
            window_s=0.0,
            tasks=tuple(options.tasks),
            task_samples=options.samples,
        ),
        engine=EngineOrder(id="llama.cpp" if is_llama else "transformers", threads=options.threads),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task_parity", description=__doc__)
    parser.add_argument("--model", type=Path, help="a model folder (default: the starter model)")
    parser.add_argument("--tasks", nargs="+", default=[task.id for task in LOCAL_TASKS])
    parser.add_argument("--samples", type=int, default=20, help="questions of each task; 0: all")
    parser.add_argument("--precisions", nargs="+", default=["float32", "gguf-f16", "q8_0"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--order", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
