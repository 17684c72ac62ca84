"""What does a token cost in every precision? Processor time of decoding and prefill, beside float32's.

`python -m benchmarks.precisions [--model FOLDER] [--rounds 5] [--threads 1] [--only nf4,int8]`

One process holds the model in every precision that runs on a processor and takes them in turn, forwards and backwards,
so that all meet the same neighbours. Processor time, because neighbours on a busy machine hardly change it; the range
over the rounds is given beside each median. Precisions whose package is missing are left out and named.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from engines.protocol.orders import ModelOrder
from engines.protocol.places import places, starter_folder

NAMES = (
    "float32",
    "bfloat16",
    "float16",
    "int8",
    "llm-int8",
    "quanto-int8",
    "float8",
    "nf4",
    "fp4",
    "quanto-int4",
)
PROMPT, NEW = 128, 16


def main() -> int:
    options = _options()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    models = load(options)
    if "float32" not in models:
        print("float32 could not be loaded: there is nothing to compare with.")
        return 1
    prefill: dict[str, list[float]] = {name: [] for name in models}
    token: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():
        seconds(model, 2)  # the first use may repack
    for number in range(options.rounds):
        for name in list(models) if number % 2 == 0 else list(models)[::-1]:
            first = seconds(models[name], 1)
            prefill[name].append(first)
            token[name].append((seconds(models[name], 1 + NEW) - first) / NEW)
    report(models, token, prefill, options.rounds)
    return 0


def load(options: argparse.Namespace) -> dict[str, Any]:
    """The model in each precision that can be had here, by short name."""
    from engines.hf import quiet

    quiet.before_import()
    import torch

    from engines.hf.load import LoadRequest
    from engines.techniques import find
    from engines.worker.failures import WorkerFailure

    quiet.after_import()
    torch.set_num_threads(options.threads)
    order = ModelOrder(ref=str(options.model), title=options.model.name, kind="folder", path=str(options.model))
    found: dict[str, Any] = {}
    for name in options.only:
        technique = find(f"precision.{name}")
        assert technique is not None, name
        module, _, function = technique.implementation.partition(":")
        request = LoadRequest(
            model=order,
            technique=technique.id,
            device=torch.device("cpu"),
            attention="sdpa",
            parameters=technique.defaults(),
        )
        try:
            found[name] = getattr(importlib.import_module(module), function)(request)
        except WorkerFailure as failure:
            print(f"{name}: {failure.message}")
    return found


def seconds(model: Any, new_tokens: int) -> float:
    """Processor seconds of one request."""
    import torch

    ids = torch.arange(100, 100 + PROMPT)[None]
    before = time.process_time()
    with torch.no_grad():
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    return time.process_time() - before


def report(models: dict[str, Any], token: dict[str, list[float]], prefill: dict[str, list[float]], rounds: int) -> None:
    """One line a precision."""
    from engines.hf.count import count

    print(f"{rounds} rounds, prompt {PROMPT}, {NEW} new tokens; processor ms, ratio to float32: median [low, high]")
    for name, model in models.items():
        counted = count(model)
        print(
            f"{name:12} token {1e3 * statistics.median(token[name]):7.1f}  {_ratio(token, name)}   "
            f"prefill {1e3 * statistics.median(prefill[name]):7.0f}  {_ratio(prefill, name)}   "
            f"{counted.stored_bits:6.3f} bits  {counted.tensor_bytes:,} B"
        )


def _ratio(times: dict[str, list[float]], name: str) -> str:
    ratios = [own / its for own, its in zip(times[name], times["float32"], strict=True)]
    return f"{statistics.median(ratios):5.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.precisions")
    parser.add_argument("--model", type=Path, default=starter_folder(places()))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")), default=NAMES)
    options = parser.parse_args()
    if options.model is None:
        sys.exit("The starter model is not here: llm-workbench models --fetch-starter, or name a folder with --model.")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
