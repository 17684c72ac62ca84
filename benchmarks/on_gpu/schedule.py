"""Shares the time out among the parts and runs each in a process of its own. Parent process; no torch.

A part's limit is its share, by weight, of what is left when it begins, and its least time at the least: what a part
does not use goes to those behind it. The order is that of worth, so a part that lacks its least time is passed over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.on_gpu.notes import read
from benchmarks.on_gpu.report import PartReport
from engines.runner.workers.leftovers import become_subreaper, kill_leftovers

RESERVE_S = 3.0
"""Kept for writing the report."""
_LAST_WORDS = 1500


@dataclass(frozen=True)
class Part:
    id: str
    title: str
    question: str
    weight: float
    least_s: float
    """With less it could not even start up and measure once."""


PARTS = (
    Part(
        "nvml",
        "NVML against its documented fields",
        "Do the sensors say what the documentation says: energy counter against the integral of power, how often each "
        "value changes, which power field is instantaneous, idle level, memory by process, clocks and throttling?",
        2.0,
        20.0,
    ),
    Part(
        "stamps",
        "Token stamps: events against host clocks",
        "Do time to first token and gaps from CUDA events fit the host's own clocks, how far ahead does the host run, "
        "and what do the events cost?",
        1.5,
        20.0,
    ),
    Part(
        "shape",
        "A 7B shape in four precisions",
        "Do whole trials give the six metrics of EfficientLLM on a GPU?",
        5.0,
        40.0,
    ),
    Part(
        "finetuning",
        "Adapters on two llama shapes",
        "What do a step of LoRA (rank 64, sequences of 2,048 tokens) on shapes of Llama-3.2-1B and 3.1-8B take: time, "
        "memory by part, energy?",
        3.0,
        40.0,
    ),
    Part(
        "templates",
        "Template starts",
        "Does a worker forked from a template use the GPU, and does the template itself never open it?",
        1.5,
        30.0,
    ),
    Part(
        "telemetry",
        "Cost of telemetry",
        "How much slower is decoding while telemetry is read at 10 Hz?",
        1.5,
        30.0,
    ),
    Part(
        "cooling",
        "Cool-down",
        "How long does the device take to cool down to where the first trial began, and does waiting end?",
        1.0,
        10.0,
    ),
)

RunPart = Callable[[Part, float], PartReport]
"""Runs one part within a limit (s)."""


def limit_of(part: Part, behind: Sequence[Part], left_s: float) -> float | None:
    """Seconds that a part gets of those that are left; None for too little. `behind`: those that still follow."""
    if left_s < part.least_s:
        return None
    share = left_s * part.weight / (part.weight + sum(p.weight for p in behind))
    return max(share, part.least_s)


def run_parts(
    parts: Sequence[Part], seconds: float, run: RunPart, *, now: Callable[[], float] = time.monotonic
) -> Iterator[PartReport]:
    """One report after the other, as the parts end."""
    end = now() + seconds - RESERVE_S
    for place, part in enumerate(parts):
        limit = limit_of(part, parts[place + 1 :], end - now())
        if limit is None:
            left = max(0.0, end - now())
            yield PartReport(
                id=part.id,
                title=part.title,
                question=part.question,
                outcome="no time left",
                reason=f"{left:.0f} s were left, it takes {part.least_s:.0f} s at the least",
            )
        else:
            yield run(part, limit)


def run_in_child(part: Part, limit_s: float, command: Sequence[str], folder: Path) -> PartReport:
    """Run `command` for a part, `--notes FILE` and `--seconds N` added; when its limit is over it is killed, with
    everything it started. Its home, its temporary files and its notes die with it."""
    with contextlib.suppress(OSError):
        become_subreaper()  # the runner a part starts goes to the background: it must come back to us
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lw-gpu-", ignore_cleanup_errors=True) as room:
        notes, words = Path(room) / "notes.json", Path(room) / "words"
        with words.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--notes", str(notes), "--seconds", f"{limit_s:.1f}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "TMPDIR": room},
            )
            try:
                code: int | None = process.wait(timeout=limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kill_leftovers("", process.pid, spare=(), take_strangers=True)
        found = read(notes)
        outcome, reason = found.outcome, found.reason
        if outcome is None:
            outcome = "failed"
            reason = _why(code, limit_s, words)
        if outcome == "failed":
            with (folder / "failures.log").open("ab") as log:
                log.write(f"== {part.id}\n".encode() + words.read_bytes())
    return PartReport(
        id=part.id,
        title=part.title,
        question=part.question,
        outcome=outcome,
        reason=reason,
        limit_s=limit_s,
        took_s=time.monotonic() - begun,
        findings=tuple(found.findings),
        tables=tuple(found.tables),
        raw=found.raw,
    )


def own_command(options: Sequence[str]) -> list[str]:
    """This program again, as a part's process."""
    return [sys.executable, "-m", "benchmarks.on_gpu", *options]


def _why(code: int | None, limit_s: float, words: Path) -> str:
    if code is None:
        return f"it was stopped at its limit of {limit_s:.0f} s; what it had found is below"
    last = words.read_bytes()[-_LAST_WORDS:].decode("utf-8", "replace").strip().splitlines()[-1:]
    return f"it ended with exit code {code}" + (f": {last[0]}" if last else "")
