"""The evaluate phase: perplexity, texts to be read side by side, accuracy on tasks. Torch-free; main thread of the
worker process, after everything that is timed.

Whatever goes wrong with a text or a task becomes a cue: the trial's other figures stand. Texts and tasks are greedy,
the same in every trial of a configuration, so the first block's trials do them and no others.
"""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import msgspec

from engines.protocol.orders import Inference, TrialOrder
from engines.protocol.records import TaskScore, WrittenText
from engines.worker.engine import Infers, Reader
from engines.worker.failures import explain
from engines.worker.progress import Progress
from engines.worker.record_writer import RecordWriter, RunnerGone
from engines.worker.stop import Stop, StopTrial

_REPORT_EVERY_S = 0.5


class ComparePrompt(msgspec.Struct, frozen=True):
    id: str
    text: str


def is_asked_for(workload: Inference) -> bool:
    return workload.perplexity_tokens > 0 or workload.text_tokens > 0 or bool(workload.tasks)


def compare_prompts() -> tuple[ComparePrompt, ...]:
    """The built-in prompts whose answers are read side by side."""
    file = files("assets") / "prompts" / "compare.toml"
    return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8"))["prompt"], tuple[ComparePrompt, ...])


class Evaluator:
    """The parts of one trial's evaluation, in order."""

    def __init__(
        self, engine: Infers, order: TrialOrder, channel: RecordWriter, stop: Stop, progress: Progress
    ) -> None:
        self._engine, self._order, self._channel, self._stop = engine, order, channel, stop
        self._progress = progress

    def run(self) -> None:
        """Do what the workload asks for. A stop ends it early and keeps what was told."""
        workload = self._order.inference
        if workload.perplexity_tokens > 0:
            self._perplexity()
        if self._stop.requested or not (workload.text_tokens or workload.tasks):
            return
        if self._order.block > 0:
            self._channel.log("Texts and tasks are left to the first block: they are the same in every trial.")
            return
        reader = self._engine.reader()
        if reader is None:
            self._channel.log("No texts and no tasks: the weights are random, or the model has no tokenizer.")
            return
        try:
            if workload.text_tokens > 0:
                with self._guarded("text_failed", "writing the texts"):
                    self._texts(reader)
            for number, name in enumerate(workload.tasks):
                with self._guarded("task_failed", f"running the task {name}"):
                    self._task(reader, number)
        except StopTrial:
            self._channel.log("Stopped in the evaluation: what it had finished is kept.")

    def _perplexity(self) -> None:
        self._progress.tell("perplexity", "Perplexity on held-out text")
        result = self._engine.evaluate()
        if result is not None:
            self._channel.send(result)
        elif not self._stop.requested:
            self._channel.log("Perplexity was not measured.")

    @contextmanager
    def _guarded(self, code: str, doing: str) -> Iterator[None]:
        """What the body raises becomes a log line and a cue."""
        self._stop.check()
        try:
            yield
        except RunnerGone:
            raise
        except Exception as error:  # noqa: BLE001  a harness, its data sets and the network may raise anything
            self._stop.check()  # a library may turn a stop into an error of its own
            failure = explain(error, doing)
            self._channel.log(f"{failure.message} {failure.advice}", "error")
            self._channel.cue(code, failure.message)

    def _texts(self, reader: Reader) -> None:
        prompts = compare_prompts()
        for number, prompt in enumerate(prompts):
            self._stop.check()
            self._progress.tell("texts", f"Text {number + 1} of {len(prompts)}", number / len(prompts))
            chat = reader.chat(prompt.text)
            written = reader.write(chat or prompt.text, self._order.inference.text_tokens)
            self._stop.check()  # a text that was cut short by it is none
            self._channel.send(
                WrittenText(
                    prompt_id=prompt.id,
                    prompt=prompt.text,
                    text=written.text,
                    tokens=written.tokens,
                    templated=chat is not None,
                    ended=written.ended,
                    begin=reader.begin.told,
                )
            )

    def _task(self, reader: Reader, number: int) -> None:
        with self._stop.interruptible():  # the harness may be in the middle of an import or a download
            score = self._scored(reader, number)
        self._channel.send(score)

    def _scored(self, reader: Reader, number: int) -> TaskScore:
        workload = self._order.inference
        name, share = workload.tasks[number], 1 / len(workload.tasks)
        title = f"Task {number + 1} of {len(workload.tasks)}, {name}"
        told_s, told_of = -math.inf, -1

        def report(done: int, of: int) -> None:
            """Ends the evaluation where the trial was stopped."""
            nonlocal told_s, told_of
            self._stop.check()
            now = time.monotonic()
            if of != told_of or now - told_s >= _REPORT_EVERY_S:
                told_s, told_of = now, of
                text = f"{title}: {done} of {of} answers" if of else f"{title}: getting its questions"
                with self._stop.sending():
                    self._progress.tell("tasks", text, share * (number + done / max(1, of)))

        report(0, 0)
        from engines.worker.lm_eval_tasks import score_task  # late: the harness is optional and takes seconds

        return score_task(name, workload.task_samples, reader, report)
