"""`python -m engines.worker --order ORDER.json --records FD --ring RING`: the worker process.

Started by the runner; see docs/house.md for the contract. Exit codes: 0 completed (or stopped, keeping its data),
2 wrong arguments, 3 failed (a "failure:KIND" cue says why), 4 the runner is gone.
"""

from __future__ import annotations

import time

_STARTED_NS = time.monotonic_ns()  # before the imports, which belong to the start phase

import argparse  # noqa: E402
import faulthandler  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import msgspec  # noqa: E402

from engines.protocol.client_environment import variable_facts  # noqa: E402
from engines.protocol.codec import decode_order  # noqa: E402
from engines.protocol.orders import TrialOrder  # noqa: E402
from engines.protocol.ring import BadRing, RingWriter  # noqa: E402
from engines.worker.failures import FailureKind, WorkerFailure, is_out_of_memory  # noqa: E402
from engines.worker.process import die_with_parent, prepare_process  # noqa: E402
from engines.worker.record_writer import RecordWriter, RunnerGone  # noqa: E402
from engines.worker.stop import Stop  # noqa: E402
from engines.worker.trial import run_trial  # noqa: E402

COMPLETED, USAGE, FAILED, RUNNER_GONE = 0, 2, 3, 4
_RESERVE_BYTES = 4 << 20


def main() -> int:
    die_with_parent()
    return work(arguments_of(sys.argv[1:]), _STARTED_NS, {})


def work(arguments: argparse.Namespace, started_ns: int, facts: dict[str, str]) -> int:
    """One trial in this process, which dies with its parent already. -> exit code. `facts` of how the process was made
    go into the environment. Raises `RunnerGone`."""
    channel = RecordWriter(arguments.records)
    if channel.reader_is_gone():  # the runner ended before the death signal was set
        return RUNNER_GONE
    faulthandler.enable()
    stop = Stop()
    stop.install()
    reserve = bytearray(_RESERVE_BYTES)
    try:
        order = _read_order(arguments.order)
        prepare_process(order.engine.threads, order.devices, allow_network=order.allow_network)
        ring = _open_ring(arguments.ring)
        run_trial(order, channel, ring, stop, started_ns, {**facts, **variable_facts(order.environment, os.environ)})
    except WorkerFailure as failure:
        del reserve  # room to say so when memory ran out
        traceback.print_exc()
        channel.cue(f"failure:{failure.kind}", f"{failure.message}\n{failure.advice}")
        return FAILED
    return COMPLETED


def arguments_of(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engines.worker")
    parser.add_argument("--order", type=Path, required=True)
    parser.add_argument("--records", type=int, required=True, help="descriptor of the record pipe")
    parser.add_argument("--ring", type=Path, required=True)
    return parser.parse_args(words)


def _read_order(path: Path) -> TrialOrder:
    try:
        return decode_order(path.read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WorkerFailure(
            "order", f"The trial's order cannot be read: {error}", "Nothing was run. Submit the experiment again."
        ) from error


def _open_ring(path: Path) -> RingWriter:
    try:
        return RingWriter(path)
    except (OSError, BadRing) as error:
        kind: FailureKind = "out_of_memory" if is_out_of_memory(error) else "engine"
        raise WorkerFailure(
            kind, f"The ring of token stamps cannot be opened: {error}", "Nothing was run. Try the trial again."
        ) from error


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RunnerGone:
        os._exit(RUNNER_GONE)  # nobody is left to tell; skip the libraries' exit handlers
