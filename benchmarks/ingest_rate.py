"""How fast the store takes records in, beside the bar of 10,000 records/s, and how file and rate grow with it.

    python -m benchmarks.ingest_rate [--records N] [--rounds N]

A round is one trial of N records as a runner sends them: of ten, six are telemetry batches (ten readings of five
quantities), two are token stamps (25 each), one is a request's phases and one a log line. Rounds are ingested into one
database in batches of 2,000 lines, and read back once. The interval is a 95 % t interval over rounds, on logarithms.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import stats

from engines.protocol.codec import encode_record
from engines.protocol.records import Log, PhaseEnded, Record, Stamps, Telemetry
from tests.builders import trial_order
from workbench.store.local import LocalStore
from workbench.store.operations import AddExperiment, GetCounts, GetStoreId, Ingest, ReadRecords

BAR = 10_000.0
BATCH = 2_000
QUANTITIES = ("rss_bytes", "pss_bytes", "cpu_utilisation_ratio", "cpu_seconds", "threads_count")


def trial_lines(count: int) -> list[str]:
    """The lines of one trial's spool, `count` records."""
    noise = np.random.default_rng(1).normal(1e9, 1e6, (10, len(QUANTITIES)))
    columns = {name: noise[:, i].tolist() for i, name in enumerate(QUANTITIES)}
    lines = []
    for seq in range(1, count + 1):
        now = seq * 100_000_000
        record: Record
        match seq % 10:
            case 0:
                record = Log(seq=seq, t_ns=now, level="info", source="stdout", text="a line of a library, rather usual")
            case 1:
                record = PhaseEnded(seq=seq, t_ns=now, name="decode", index=seq, start_ns=now - 1_000_000)
            case 2 | 3:
                times = list(range(now, now + 25_000_000, 1_000_000))
                record = Stamps(seq=seq, t_ns=now, first=seq * 25, times_ns=times)
            case _:
                times = list(range(now, now + 100_000_000, 10_000_000))
                record = Telemetry(seq=seq, t_ns=now, source="proc.tree", times_ns=times, columns=columns)
        lines.append(encode_record(record).decode())
    return lines


def add_trials(store: LocalStore, count: int) -> list[str]:
    identity = store.execute(GetStoreId())
    names = [f"t-{i:06d}" for i in range(count)]
    orders = tuple(
        trial_order(name, store=identity, block=i, position=i, total=count, seed=i) for i, name in enumerate(names)
    )
    store.execute(AddExperiment(experiment="e-1", name="b", definition="", seed=0, orders=orders))
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000, help="records a round")
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    lines = trial_lines(arguments.records)
    batches = [tuple(lines[i : i + BATCH]) for i in range(0, len(lines), BATCH)]
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder) / "bench.duckdb")
        rates, last = [], store.execute(GetCounts())
        print(f"{'round':>5} {'records/s':>10} {'samples':>10} {'file MB':>8} {'bytes/sample':>12}")
        for number, trial in enumerate(add_trials(store, arguments.rounds), start=1):
            begun = time.perf_counter()
            for batch in batches:
                store.execute(Ingest(trial=trial, lines=batch))
            rates.append(len(lines) / (time.perf_counter() - begun))
            last = store.execute(GetCounts())
            grown = last.size_bytes / last.samples
            print(f"{number:5d} {rates[-1]:10,.0f} {last.samples:10,d} {last.size_bytes / 1e6:8.1f} {grown:12.1f}")
        begun = time.perf_counter()
        read = len(store.execute(ReadRecords(trial="t-000000")))
        reading = read / (time.perf_counter() - begun)
        store.close()
        closed = (Path(folder) / "bench.duckdb").stat().st_size
    report(rates, reading, closed / last.samples)


def report(rates: list[float], reading: float, bytes_per_sample: float) -> None:
    logs = np.log(rates)
    mean = float(logs.mean())
    half = (
        float(stats.t.ppf(0.975, len(rates) - 1) * logs.std(ddof=1) / math.sqrt(len(rates))) if len(rates) > 1 else 0.0
    )
    low, high = math.exp(mean - half), math.exp(mean + half)
    print(f"ingest   {math.exp(mean):,.0f} records/s [{low:,.0f}, {high:,.0f}], bar {BAR:,.0f}")
    print(f"ratio    {math.exp(mean) / BAR:.2f} [{low / BAR:.2f}, {high / BAR:.2f}] of the bar")
    print(
        f"growth   last round at {rates[-1] / rates[0]:.2f} of the first; {bytes_per_sample:.1f} B a sample when closed"
    )
    print(f"reading  {reading:,.0f} records/s put together again")


if __name__ == "__main__":
    main()
