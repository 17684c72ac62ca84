"""A step of our training loop against one of transformers' Trainer, what a user would take instead.

`python -m benchmarks.finetune_trainer [--rank 16] [--batch 2] [--sequence 128] [--threads 1]`; needs accelerate.

One process, two copies of one model with the same LoRA adapters, runs of some steps of each in turn. Trainer with its
defaults (fused AdamW, clipping to 1) and a cosine; nothing is saved, evaluated or reported. Two figures: the time of
its steps by its own callbacks, begin to end, and all the time from step to step, which holds its batches and its
bookkeeping. The first steps of each run of Trainer, which makes its optimiser and loader anew, do not count.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import sys
import tempfile
import time
from typing import Any

from benchmarks.finetuning import RATE, Ours, adapted, documents, options
from benchmarks.paired_comparison import Ratio, compare, quiet_quarter_of_times, report_progress

_FIRST = 2
"""Steps of a run of Trainer that do not count."""
_LEAST_STEPS = 8


def main() -> int:
    chosen = options("Our training loop against transformers' Trainer.")
    chosen.steps, chosen.most = max(chosen.steps, _LEAST_STEPS), min(chosen.most, 40)
    if importlib.util.find_spec("accelerate") is None:
        print("not available: transformers' Trainer needs accelerate (pip install accelerate)")
        return 0
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(chosen.threads)
    whole, inside = measure(chosen)
    print("from step to step:", whole.line("ours", "Trainer", "s/step"))
    print("within its steps:", inside.line("ours", "Trainer", "s/step"))
    return 0


def measure(chosen: argparse.Namespace) -> tuple[Ratio, Ratio]:
    """Ratios of seconds a step: all of it, and against what Trainer's callbacks enclose."""
    import torch

    torch.set_num_threads(chosen.threads)
    print(f"torch {torch.__version__}, {chosen.threads} threads, {chosen.batch} x {chosen.sequence} tokens a step")
    some = documents(chosen)
    ours, theirs = Ours(adapted(chosen.rank), chosen, some), Theirs(adapted(chosen.rank), chosen, some)
    ours.run(_FIRST)
    theirs.run()
    pairs: dict[str, list[float]] = {"ours": [], "inside": []}

    def first() -> float:
        gc.collect()
        pairs["ours"].append(ours.run().wall)
        return pairs["ours"][-1]

    def second() -> float:
        gc.collect()
        whole, inside = theirs.run()
        pairs["inside"].append(inside)
        return whole

    whole = compare(
        first, second, margin=chosen.margin, most=chosen.most, by=quiet_quarter_of_times, report=report_progress
    )
    return whole, quiet_quarter_of_times(list(zip(pairs["ours"], pairs["inside"], strict=True)), chosen.margin, 0.95)


class Theirs:
    """Runs of transformers' Trainer over one model."""

    def __init__(self, model: Any, chosen: argparse.Namespace, some: list[Any]) -> None:
        self._model, self._chosen = model, chosen
        self._rows = [{"input_ids": list(one.ids), "labels": list(one.ids)} for one in some]

    def run(self) -> tuple[float, float]:
        """Seconds a step: from step to step, and within steps by its callbacks."""
        from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

        begins, ends = list[float](), list[float]()

        class Watch(TrainerCallback):
            def on_step_begin(self, *_: object, **__: object) -> None:
                begins.append(time.perf_counter())

            def on_step_end(self, *_: object, **__: object) -> None:
                ends.append(time.perf_counter())

        chosen = self._chosen
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                max_steps=chosen.steps + _FIRST,
                per_device_train_batch_size=chosen.batch,
                learning_rate=RATE,
                lr_scheduler_type="cosine",
                save_strategy="no",
                logging_steps=1,  # ours reads the loss of every step too
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
            )
            trainer = Trainer(
                model=self._model,
                args=arguments,
                train_dataset=self._rows,
                data_collator=default_data_collator,
                callbacks=[Watch()],
            )
            trainer.pop_callback(_printer())
            trainer.train()
        counted = list(zip(begins, ends, strict=True))[_FIRST:]
        whole = (ends[-1] - ends[_FIRST - 1]) / len(counted)
        return whole, sum(end - begin for begin, end in counted) / len(counted)


def _printer() -> Any:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


if __name__ == "__main__":
    sys.exit(main())
