"""How long the window takes to start: to its first paint, and to a usable window, with an empty and a full store.

    python -m benchmarks.start_up [--starts N] [--trials N]

Every start is a process of its own (offscreen, warm disk cache and byte code: one start of each store is made and not
counted). Time begins before the process is made. First paint: the event loop is idle after the first paint event of the
frame. Usable: the database is open, the page that was last shown (Setup, or the first start where nothing is stored) is
created and filled. Starts on both stores are interleaved. Printed: median and range beside the bars of 0.5 s and 1.2 s.
The full store is made by the store's own code: experiments of 100 trials; then all are marked completed at once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from engines.protocol.client import RunnerError, connect_local
from engines.protocol.messages import Shutdown
from engines.protocol.orders import TechniqueOrder, TrialOrder
from engines.protocol.places import HOME_VARIABLE, places
from tests.builders import trial_order
from workbench.store.local import LocalStore
from workbench.store.operations import AddExperiment, GetStoreId

PAINT_BAR_S = 0.5
USABLE_BAR_S = 1.2
BATCH = 100

CHILD = """
import sys, time
begun = float(sys.argv[1])
from widgets import app
make = app.make_window
def measured(*args):
    window = make(*args)
    start = window.start
    def started():
        print("paint", time.monotonic() - begun, flush=True)
        start()
    window.start = started
    def usable():
        print("usable", time.monotonic() - begun, type(window.stack.current).__name__, flush=True)
        window.close()
    window.usable.connect(usable)
    return window
app.make_window = measured
sys.exit(app.main())
"""


def fill(database: Path, trials: int) -> float:
    """Make a store of `trials` ended trials. -> seconds it took"""
    begun = time.monotonic()
    database.parent.mkdir(parents=True, exist_ok=True)
    store = LocalStore(database)
    try:
        identity = store.execute(GetStoreId())
        for first in range(0, trials, BATCH):
            experiment = f"e-{first:06d}"
            orders = tuple(order(identity, experiment, first + i, i) for i in range(min(BATCH, trials - first)))
            store.execute(
                AddExperiment(
                    experiment=experiment,
                    name=f"sweep {first // BATCH + 1}",
                    definition="",
                    seed=7,
                    orders=orders,
                )
            )
    finally:
        store.close()
    with duckdb.connect(str(database)) as connection:  # all at once: as operations this takes a transaction each
        connection.execute(
            "UPDATE trials SET state = 'ended', outcome = 'completed', verdict = 'valid', duration_s = 10, "
            "started_at = submitted_at, ended_at = submitted_at"
        )
    return time.monotonic() - begun


def order(store: str, experiment: str, number: int, position: int) -> TrialOrder:
    """A trial of one of ten configurations."""
    precision = f"precision.p{number % 10}"
    return trial_order(
        f"t-{number:08d}",
        experiment=experiment,
        store=store,
        configuration=f"c{number % 10}",
        title=f"model · p{number % 10}",
        block=position // 10,
        position=position,
        total=BATCH,
        seed=number,
        experiment_title=f"sweep {number // BATCH + 1}",
        color=number % 10,
        techniques=(TechniqueOrder(id=precision),),
    )


def start_once(home: Path) -> tuple[float, float, str]:
    """One start. -> (seconds to the first paint, seconds to usable, page shown)"""
    environment = os.environ | {HOME_VARIABLE: str(home), "QT_QPA_PLATFORM": "offscreen"}
    # byte code is kept as on any installation, also where the shell forbids it, and apart from that of the checkout
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(home.parent / "byte-code")
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, repr(begun)], env=environment, capture_output=True, text=True, timeout=120
    )
    said = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    if done.returncode != 0 or "usable" not in said:
        raise SystemExit(f"The window did not start: {done.stderr.strip()}")
    return float(said["paint"][0]), float(said["usable"][0]), said["usable"][1]


def end_runner(home: Path) -> None:
    """The runner that the window started."""
    os.environ[HOME_VARIABLE] = str(home)
    try:
        with connect_local(places(), start=False, timeout=2.0) as client:
            client.call(Shutdown())
    except RunnerError:
        return


def show(name: str, values: list[float], bar: float) -> None:
    middle = statistics.median(values)
    verdict = "within" if middle <= bar else "over"
    spread = f"[{min(values):.3f}, {max(values):.3f}]"
    print(f"  {name:<34} {middle:.3f} s {spread}  bar {bar} s  ratio {middle / bar:.2f}  {verdict}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--trials", type=int, default=10_000)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="start-up-") as folder:
        homes = {"empty store": Path(folder) / "a", f"{options.trials:,} trials": Path(folder) / "b"}
        full = list(homes.values())[1]
        took = fill(full / "data" / "workbench.duckdb", options.trials)
        print(f"{options.trials:,} trials stored in {took:.1f} s; {options.starts} starts of each, interleaved")
        results: dict[str, list[tuple[float, float, str]]] = {name: [] for name in homes}
        try:
            for number in range(options.starts + 1):
                for name, home in homes.items():
                    result = start_once(home)
                    if number:
                        results[name].append(result)
        finally:
            for home in homes.values():
                end_runner(home)
        for name, rows in results.items():
            print(f"{name}, page {rows[0][2]}")
            show("start to first paint", [r[0] for r in rows], PAINT_BAR_S)
            show("start to a usable window", [r[1] for r in rows], USABLE_BAR_S)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
