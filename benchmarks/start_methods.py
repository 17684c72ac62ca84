"""Workers forked from a template against plainly started ones: throughput, memory, and how long each start takes.

    python -m benchmarks.start_methods [--pairs N] [--model FOLDER] [--window SECONDS]

Interleaved pairs of trials through a real runner with real telemetry, one started each way, in random order; the two
trials of a pair generate from the same prompts. Decode throughput is the tokens after the first of each measured
request over their time, as in the metric. Pairs are added until the interval decides about ±3 %
(`benchmarks.paired_comparison`).
On a busy machine it may not: tokens per second of processor time, given beside it, hardly feel neighbours.

Each pair is a block of its own and so has a template of its own, as in an experiment; a short trial that nobody looks
at makes it, so that the template start that is timed is one with the template already there. Start times are from the
submission to an idle runner to the end of the worker's start phase: libraries imported, engine ready, nothing loaded.
Memory is the largest reading of proportional memory of each trial, pages shared with the template included. The model
is a tiny llama, and the starter model where it is installed, unless one is named.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.paired_comparison import Ratio, compare, interval
from benchmarks.trials import own_runner, records_of, trial_order
from engines.protocol.client import RunnerClient
from engines.protocol.orders import EngineOrder, Inference, ModelOrder
from engines.protocol.places import places, starter_folder
from engines.protocol.records import (
    ModelLoaded,
    PhaseEnded,
    Record,
    Request,
    Stamps,
    Telemetry,
    TrialEnded,
    TrialStarted,
)

Method = Literal["plain", "template"]
MARGIN = 0.03
BAR_S = 1.0


@dataclass
class Samples:
    """What trials of one start method showed."""

    starts_s: list[float] = field(default_factory=list)
    loads_s: list[float] = field(default_factory=list)
    memory_bytes: list[float] = field(default_factory=list)
    per_processor_second: list[float] = field(default_factory=list)


class Bench:
    """Runs trials through one runner."""

    def __init__(self, client: RunnerClient, model: Path, window_s: float) -> None:
        self._client = client
        self._model = model
        self._workload = Inference(prompt_tokens=32, new_tokens=32, requests=2, window_s=window_s, warmup_requests=10)
        self._numbers = itertools.count()
        self.block = 0
        self.samples: dict[Method, Samples] = {"plain": Samples(), "template": Samples()}

    def pair(self) -> None:
        """A new block: a template nobody has used, made by a trial that is not looked at."""
        self.block += 1
        self._run("template", Inference(prompt_tokens=8, new_tokens=1, requests=1, window_s=0, warmup_requests=0))

    def throughput(self, method: Method) -> float:
        """Decode tokens/s of one trial."""
        submitted_ns, records = self._run(method, self._workload)
        started = next(r for r in records if isinstance(r, TrialStarted))
        if started.start_method != method:
            raise SystemExit(f"The runner started {started.start_method}ly where {method} was asked for.")
        samples = self.samples[method]
        start = next(r for r in records if isinstance(r, PhaseEnded) and r.name == "start")
        samples.starts_s.append((start.t_ns - submitted_ns) / 1e9)
        samples.loads_s.extend(r.load_s for r in records if isinstance(r, ModelLoaded))
        pss = [v for r in records if isinstance(r, Telemetry) for v in r.columns.get("pss_bytes", ()) if v]
        if pss:
            samples.memory_bytes.append(max(pss))
        samples.per_processor_second.append(processor_rate(records))
        return decode_rate(records)

    def _run(self, method: Method, workload: Inference) -> tuple[int, list[Record]]:
        name = f"{method}-{next(self._numbers)}"
        order = trial_order(
            ModelOrder(ref="bench", title=self._model.name, kind="folder", path=str(self._model)),
            "precision.float32",
            workload=workload,
            engine=EngineOrder(start_method=method),
            trial=name,
            block=self.block,
        )
        before_ns = time.monotonic_ns()
        records = [record for _, record in records_of(self._client, order)]
        ended = records[-1]
        if not isinstance(ended, TrialEnded) or ended.outcome != "completed":
            raise SystemExit(f"A trial did not complete: {ended}")
        return before_ns, records


def decode_rate(records: Sequence[Record]) -> float:
    """Tokens after the first of each measured request over the time from first to last token."""
    times: dict[int, int] = {}
    for record in records:
        if isinstance(record, Stamps):
            times.update(enumerate(record.times_ns, record.first))
    tokens = spent_ns = 0
    for record in records:
        if isinstance(record, Request) and not record.warmup:
            tokens += record.stamps - 1
            spent_ns += times[record.first_stamp + record.stamps - 1] - times[record.first_stamp]
    return tokens / (spent_ns / 1e9)


def processor_rate(records: Sequence[Record]) -> float:
    """Tokens of the measured requests per second of the worker's processor time, which neighbours hardly change."""
    measured = [r for r in records if isinstance(r, Request) and not r.warmup]
    times: list[int] = []
    spent_s: list[float] = []
    for record in records:
        if isinstance(record, Telemetry) and record.source == "proc.tree" and "cpu_seconds" in record.columns:
            for t, value in zip(record.times_ns, record.columns["cpu_seconds"], strict=True):
                if value is not None:
                    times.append(t)
                    spent_s.append(value)
    ends = np.array([measured[0].start_ns, measured[-1].end_ns]) - times[0]
    first, last = np.interp(ends, np.array(times) - times[0], spent_s)
    return sum(r.generated_tokens for r in measured) / float(last - first)


def report(bench: Bench, ratio: Ratio) -> None:
    print(ratio.line("template", "plain", "tokens/s"), flush=True)
    for method, found in bench.samples.items():
        starts = found.starts_s
        text = (
            f"  {method:<9} start {statistics.median(starts):.2f} s (least {min(starts):.2f}, most {max(starts):.2f})"
        )
        if method == "template":
            text += f", bar {BAR_S:g} s: {'within' if max(starts) < BAR_S else 'over'}"
        print(f"{text}; loading {statistics.median(found.loads_s):.2f} s; n={len(starts)}")
    template, plain = bench.samples["template"], bench.samples["plain"]
    beside(template.per_processor_second, plain.per_processor_second, 1.0, "tokens per second of processor time")
    beside(template.memory_bytes, plain.memory_bytes, 2.0**20, "MiB")


def beside(template: Sequence[float], plain: Sequence[float], unit: float, name: str) -> None:
    """Print the ratio of what was measured beside the throughput."""
    pairs = [(a / unit, b / unit) for a, b in zip(template, plain, strict=False)]
    if len(pairs) > 1:
        print("  " + interval(pairs, MARGIN, 0.95).line("template", "plain", name), flush=True)


@contextmanager
def tiny_model() -> Iterator[Path]:
    from tests.tiny_model import make_tiny_model

    with tempfile.TemporaryDirectory(prefix="lw-bench-tiny-") as folder:
        yield make_tiny_model(Path(folder) / "tiny")


def run(model: Path, pairs: int, window_s: float) -> None:
    with own_runner() as client:
        bench = Bench(client, model, window_s)
        turn = itertools.count()

        def one(method: Method) -> float:
            if next(turn) % 2 == 0:
                bench.pair()
            return bench.throughput(method)

        least = min(6, pairs)
        ratio = compare(
            lambda: one("template"), lambda: one("plain"), margin=MARGIN, least=least, most=max(pairs, least)
        )
        print(f"model {model.name}, load of the machine {np.round(os.getloadavg(), 2).tolist()}")
        report(bench, ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=24, help="at most")
    parser.add_argument("--window", type=float, default=3.0, help="measured seconds of each trial")
    parser.add_argument("--model", type=Path, help="a model's folder in place of the tiny and the starter model")
    options = parser.parse_args()
    starter = starter_folder(places())
    if options.model is not None:
        run(options.model.absolute(), options.pairs, options.window)
        return
    with tiny_model() as tiny:
        run(tiny, options.pairs, options.window)
    if starter is None:
        print("The starter model is not installed here: only the tiny model was measured.")
    else:
        run(starter, options.pairs, options.window)


if __name__ == "__main__":
    main()
