"""Does our training loop cost anything? A step of it against a bare loop of peft and torch.

`python -m benchmarks.finetune_loop [--pretraining] [--rank 16] [--batch 2] [--sequence 128] [--threads 1]`

One process, two copies of one model with the same LoRA adapters, or with `--pretraining` without any and all weights
trained by windows of one row of tokens, a few steps of each in turn. The bare loop is what the
documentation of peft shows: batch, forward with labels, backward, clipping, fused AdamW, schedule, and the loss read.
Ours is `engines.hf.training` with its batches, clocks and records. Counted is everything a step takes, in pairs
until the interval of the ratio of the best quarters decides about the margin; the mean of processor time stands beside
it. `--optimisers` times the forms of AdamW before.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.finetuning import (
    RATE,
    Ours,
    Timed,
    adapted,
    documents,
    model_of,
    options,
    random_batches,
    stopwatch,
    training,
)
from benchmarks.paired_comparison import Ratio, compare, interval, quiet_quarter_of_times, report_progress

_WARM_UP = 3
_OPTIMISER_STEPS = 9


def main() -> int:
    chosen = options("Our training loop against a bare loop of peft and torch.")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(chosen.threads)
    wall, processor = measure(chosen)
    print(wall.line("ours", "bare loop", "s/step"))
    print("in processor time:", processor.line("ours", "bare loop", "cpu-s/step"))
    return 0


def measure(chosen: argparse.Namespace) -> tuple[Ratio, Ratio]:
    """The ratio of seconds a step, by the clock and of the processor."""
    import torch

    torch.set_num_threads(chosen.threads)
    print(f"torch {torch.__version__}, {chosen.threads} threads, {chosen.batch} x {chosen.sequence} tokens a step")
    if chosen.optimisers:
        for form, seconds in optimiser_forms(chosen).items():
            print(f"  AdamW {form}: {1e3 * seconds:.2f} ms a step")
    some = documents(chosen)
    ours, bare = Ours(model_of(chosen), chosen, some), Bare(model_of(chosen), chosen, some)
    spent: dict[str, list[float]] = {"ours": [], "bare": []}

    def timed(name: str, run: Callable[[], Timed]) -> Callable[[], float]:
        def once() -> float:
            gc.collect()
            found = run()
            spent[name].append(found.processor)
            return found.wall

        return once

    def processor() -> Ratio:
        return interval(list(zip(spent["ours"], spent["bare"], strict=True)), chosen.margin, 0.95)

    def report(state: Ratio) -> None:
        report_progress(state)
        print(
            f"    in processor time {processor().ratio:.4f} [{processor().low:.4f}, {processor().high:.4f}]", flush=True
        )

    ours.run(_WARM_UP)
    bare.run(_WARM_UP)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        wall = compare(
            timed("ours", ours.run),
            timed("bare", bare.run),
            margin=chosen.margin,
            most=chosen.most,
            by=quiet_quarter_of_times,
            report=report,
        )
    finally:
        gc.enable()
    return wall, processor()


class Bare:
    """A training loop as a script has it."""

    def __init__(self, model: Any, chosen: argparse.Namespace, some: Sequence[Any]) -> None:
        import torch

        from engines.hf.training.schedule import rate_factor

        load = training(chosen)
        self._model, self._steps = model, chosen.steps
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(
            self._trained, lr=RATE, betas=(load.beta1, load.beta2), weight_decay=load.weight_decay, fused=True
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser,
            lambda step: rate_factor(step, load.steps, load.schedule_warmup_steps, floor=load.rate_floor),
        )
        self._batches = random_batches(some, chosen)
        self.losses: list[float] = []

    def run(self, steps: int = 0) -> Timed:
        import torch

        count = steps or self._steps
        with stopwatch() as timed:
            for _ in range(count):
                ids = next(self._batches)
                loss = self._model(input_ids=ids, labels=ids, use_cache=False).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
                self._optimiser.step()
                self._schedule.step()
                self._optimiser.zero_grad(set_to_none=True)
                self.losses.append(loss.item())
        return Timed(timed[0] / count, timed[1] / count)


def optimiser_forms(chosen: argparse.Namespace) -> dict[str, float]:
    """Seconds that a step of each form of AdamW takes, over the adapters and over the whole model; bitsandbytes' too,
    where that is installed."""
    import torch

    forms = ["fused", "foreach", "plain"]
    with contextlib.suppress(ImportError):
        import bitsandbytes

        forms.append("8-bit")
    model, found = adapted(chosen.rank), dict[str, float]()
    adapters = [p for p in model.parameters() if p.requires_grad]
    for what, parameters in (("adapters", adapters), ("whole model", list(model.parameters()))):
        for parameter in parameters:
            parameter.requires_grad_(True)
            parameter.grad = torch.randn_like(parameter) * 1e-3
        for form in forms:
            optimiser: torch.optim.Optimizer
            if form == "8-bit":
                optimiser = bitsandbytes.optim.AdamW8bit(parameters, lr=RATE)
            else:
                optimiser = torch.optim.AdamW(parameters, lr=RATE, fused=form == "fused", foreach=form == "foreach")
            times = []
            for _ in range(_OPTIMISER_STEPS):
                start = time.perf_counter()
                optimiser.step()
                times.append(time.perf_counter() - start)
            found[f"{form}, {what}"] = sorted(times)[len(times) // 2]
    return found


if __name__ == "__main__":
    sys.exit(main())
