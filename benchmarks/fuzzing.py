"""Damaged and hostile input to whatever reads what others wrote: does it end, in time, in an error that is meant?

    python -m benchmarks.fuzzing [--inputs N] [--kind KIND ...] [--seed N]

Sound examples are changed at random: bytes and bits, pieces of other examples, tokens that parsers dislike, and values
of the JSON put in each other's place. Each kind runs in a process of its own, so that a crash is seen, and prints how
many inputs it read, how many of them were taken and how many refused, the slowest, and what its memory grew by. Found
are: errors of other types than a reader may raise, inputs that take longer than ten seconds, and crashes; all are to be
0. Shares are such that a million inputs take minutes.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzzed import KINDS, Reader
from benchmarks.mutation import Mutator

LIMIT_S = 10.0
MEMORY_BAR_BYTES = 1 << 30


class TooLong(BaseException):
    """Raised by the alarm; no reader catches it."""


@dataclass
class Tally:
    """What one kind came to."""

    read: int = 0
    taken: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    grown_bytes: int = 0
    seconds: float = 0.0
    faults: dict[str, int] | None = None


def fuzz(reader: Reader, inputs: int, seed: int, keep: Path) -> Tally:
    """Read `inputs` changed examples; what went wrong is kept as files."""
    mutator = Mutator(random.Random(seed), reader.examples)
    tally = Tally()
    faults: Counter[str] = Counter()
    signal.signal(signal.SIGALRM, _too_long)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.monotonic()
    for number in range(inputs):
        data = mutator.next()
        (keep / "now").write_bytes(data) if reader.may_crash else None
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
        try:
            reader.read(data)
            tally.taken += 1
        except reader.meant:
            tally.refused += 1
        except (Exception, TooLong) as error:  # noqa: BLE001  whatever else comes is what this looks for
            name = type(error).__name__
            faults[name] += 1
            if faults[name] <= 5:
                (keep / f"{name}-{number}").write_bytes(data)
                print(f"  {name} at input {number}: {str(error)[:200]}", file=sys.stderr, flush=True)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        tally.slowest_s = max(tally.slowest_s, time.perf_counter() - start)
        tally.read += 1
    tally.seconds = time.monotonic() - begun
    tally.grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    tally.faults = dict(faults)
    return tally


def _too_long(_number: int, _frame: object) -> None:
    raise TooLong(f"longer than {LIMIT_S:g} s")


def apart(make: Callable[[Path], Reader], inputs: int, seed: int, keep: Path) -> Tally:
    """In a process of its own. One that crashed has a fault that names the signal."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        code = 1
        try:
            faulthandler.enable()
            tally = fuzz(make(keep), inputs, seed, keep)
            os.write(write, json.dumps(tally.__dict__).encode())
            code = 0
        except BaseException:  # noqa: BLE001  the end of this process: it must not run its parent's code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        answer = said.read()
    _, status = os.waitpid(pid, 0)
    if not answer:
        return Tally(faults={f"ended with status {status}": 1})
    return Tally(**json.loads(answer))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all kinds together (1,000,000)")
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="only this one, with all inputs")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    chosen = {name: KINDS[name] for name in options.kind or KINDS}
    whole = sum(share for _, share in chosen.values())
    in_memory = Path("/dev/shm")  # files are written by the thousand
    keep = Path(tempfile.mkdtemp(prefix="lw-fuzz-", dir=in_memory if in_memory.is_dir() else None))
    print(f"seed {seed}")
    print(f"{'kind':<12}{'inputs':>10}{'taken':>10}{'refused':>10}{'inputs/s':>10}{'slowest':>10}{'memory':>10}  found")
    found, total = 0, 0
    for name, (make, share) in chosen.items():
        (keep / name).mkdir()
        count = max(1, round(options.inputs * share / whole))
        tally = apart(make, count, seed, keep / name)
        faults = tally.faults or {}
        if tally.grown_bytes > MEMORY_BAR_BYTES:
            faults["memory"] = 1
        found += sum(faults.values())
        total += tally.read
        rate = tally.read / tally.seconds if tally.seconds else 0.0
        print(
            f"{name:<12}{tally.read:>10,}{tally.taken:>10,}{tally.refused:>10,}{rate:>10,.0f}"
            f"{tally.slowest_s:>8.3f} s{tally.grown_bytes / 2**20:>6.0f} MiB  {faults or 0}",
            flush=True,
        )
    print(f"{total:,} inputs; crashes, inputs without an end and errors of other types: {found} (reference: 0)")
    if found:
        print(f"What was found is kept in {keep}")
    else:
        shutil.rmtree(keep)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
