"""Does our measured loop cost anything? Our requests against llama-bench's own timed loops, on one context.

`python -m benchmarks.llama_bench_loops [--model FILE.gguf ...] [--prompt-tokens 128] [--new-tokens 64]`

`benchmarks.llama_bench_parity` compares whole programs. Processes of one program differ by several per cent by where
their memory lies, which hides a difference of 1 %. Here llama-bench's `test_prompt` and `test_gen`, compiled from its
source, work on the very context of our engine, in turns with our requests: what is left is the loop.

- prompt: our prefill (from the call to the first token) against `test_prompt`. Ours includes the choice of the first
  token and its stamp.
- generation: our decode, N - 1 tokens after a prompt of P, against `test_gen` of as many after a `test_prompt` of P.
  Ours chooses every token (argmax over the vocabulary); llama-bench chooses none.

The figure is what each loop reaches in its best quarter: on a shared machine, one request in three may take half as
long again, whichever loop it is.
Beside it stands what the comparison cannot resolve: the share of our requests that is spent outside llama.cpp's calls.
Each file runs in a process of its own. Prints figure / reference / ratio [low, high] n and the verdict on the margin.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import llama_bench
from benchmarks.llama_bench_parity import order_for, starter_file
from benchmarks.paired_comparison import compare, quiet_quarter, report_progress
from benchmarks.trials import loaded_engine
from engines.llama.engine import LlamaEngine
from engines.worker.phases import collect_between, quiet_collector

_COUNTED = 20
"""Requests that are taken apart."""


def main() -> int:
    options = _options()
    if options.only_file:
        _measure_file(options, options.only_file)
        return 0
    try:
        for file in options.model or [starter_file()]:
            command = [sys.executable, "-m", "benchmarks.llama_bench_loops", *sys.argv[1:], "--only-file", str(file)]
            subprocess.run(command, check=True)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"Cannot measure: {error}")
        return 1
    return 0


def _measure_file(options: argparse.Namespace, file: Path) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    print(f"{file.name}, threads {options.threads}, prompt {options.prompt_tokens}, new {options.new_tokens}")
    with loaded_engine(order_for(options, file, options.new_tokens)) as (engine, _), quiet_collector():
        assert isinstance(engine, LlamaEngine)
        theirs, context = llama_bench.loops(), engine.context_pointer
        size, batch = (options.prompt_tokens, options.new_tokens - 1), options.batch_tokens
        number = 0

        def spent_by_ours(*, prompt: bool) -> tuple[int, int]:
            """From when to when, in ns."""
            nonlocal number
            collect_between()
            done = engine.prefill() if prompt else engine.request(number := number + 1)
            assert done is not None
            return (done.start_ns, done.first_token_ns) if prompt else (done.first_token_ns, done.last_token_ns)

        def ours(*, prompt: bool) -> float:
            start_ns, end_ns = spent_by_ours(prompt=prompt)
            return size[not prompt] / ((end_ns - start_ns) / 1e9)

        def reference(*, prompt: bool) -> float:
            if prompt:
                spent = theirs.prompt_ns(context, size[0], batch, options.threads)
            else:
                spent = theirs.generation_ns(context, *size, batch, options.threads)
            if spent <= 0:
                raise RuntimeError("llama-bench's loop failed")
            return size[not prompt] / (spent / 1e9)

        for name, prompt in (("prompt", True), ("generation", False)):
            ours(prompt=prompt)  # both warm up once, as llama-bench does
            reference(prompt=prompt)
            result = compare(
                lambda prompt=prompt: ours(prompt=prompt),  # type: ignore[misc]
                lambda prompt=prompt: reference(prompt=prompt),  # type: ignore[misc]
                margin=options.margin,
                least=12,
                most=options.most,
                by=quiet_quarter,
                report=report_progress,
            )
            print(f"{name}: {result.line('engine', 'llama-bench loop', 'tokens/s')}", flush=True)
            calls, shares = _outside(engine, lambda prompt=prompt: spent_by_ours(prompt=prompt))  # type: ignore[misc]
            middle, most = 100 * statistics.median(shares), 100 * max(shares)
            print(
                f"{name}: {calls} calls of llama_decode a request; outside llama.cpp our loop spends {middle:.4f} % "
                f"of its time (highest of {len(shares)}: {most:.4f} %)",
                flush=True,
            )


def _outside(engine: LlamaEngine, run: Callable[[], tuple[int, int]]) -> tuple[int, list[float]]:
    """How often a request calls `llama_decode`, and the share of its time that is spent neither there nor in waiting
    for logits: all that can differ from llama-bench's loop, which makes the same calls. The clock's own readings count
    as ours."""
    library = engine._library
    shares: list[float] = []
    spans: list[tuple[int, int, bool]] = []

    def timed(function: Callable[..., Any], *, decode: bool) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start_ns = time.monotonic_ns()
            result = function(*arguments)
            spans.append((start_ns, time.monotonic_ns(), decode))
            return result

        return call

    with (
        mock.patch.object(library.api, "llama_decode", timed(library.api.llama_decode, decode=True)),
        mock.patch.object(library, "logits_address", timed(library.logits_address, decode=False)),
    ):
        for _ in range(_COUNTED):
            spans.clear()
            first_ns, last_ns = run()
            inside = [span for span in spans if span[0] >= first_ns and span[1] <= last_ns]
            shares.append(1 - sum(end - start for start, end, _ in inside) / (last_ns - first_ns))
    return sum(decode for _, _, decode in inside), shares


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The llama.cpp engine against the loops of llama-bench.")
    parser.add_argument("--model", type=Path, action="append", help="GGUF file, once a file; otherwise the starter's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--margin", type=float, default=0.01)
    parser.add_argument("--most", type=int, default=200, help="pairs at the most")
    parser.add_argument("--only-file", type=Path, help=argparse.SUPPRESS)
    parser.set_defaults(
        batch_tokens=2048, micro_batch_tokens=512, flash="auto", kv_cache="full", no_memory_map=False, repetitions=1
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
