"""Does a link hold the window up? How late its main thread is while it follows a trial on a far machine. Needs an sshd.

    python -m benchmarks.link_stalls [--seconds N]

The far machine is this computer over a real sshd on a loopback port. The window (offscreen, Monitor shown) has a beat
every 5 ms; how late each beat is, is taken over N seconds of each: the machine linked and nothing running; a trial
there followed at 10 Hz; its connection silent (a cut cable); the connection back and the records caught up; and as
reference a trial on this computer besides. A beat more than 100 ms late is a stall.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.ssh_link import far_computer, through_the_cable
from benchmarks.window_cost import BEATS_VARIABLE, ROOT, WINDOW, submit_long
from engines.protocol.client import connect_local
from engines.protocol.messages import Shutdown
from engines.protocol.places import HOME_VARIABLE, places
from engines.runner.settings import WORKER_VARIABLE
from workbench.machines.machine import Machine, keep

_STALL_MS = 100.0
_SETTLE_S = 6.0
_WORKER = shlex.join(["env", "LLM_WORKBENCH_SLEEP=0.02", sys.executable, str(ROOT / "tests" / "sleeping_worker.py")])


def main() -> int:
    """Exit code 1 where the window did not open."""
    parser = argparse.ArgumentParser(description="How late the window's main thread is while it follows a far trial.")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each part (30)")
    seconds = parser.parse_args().seconds
    home = Path(tempfile.mkdtemp(prefix="lw-", dir="/tmp"))
    os.environ |= {
        HOME_VARIABLE: str(home / "here"),
        "QT_QPA_PLATFORM": "offscreen",
        "PYTHONPATH": str(ROOT),
        WORKER_VARIABLE: _WORKER,
        BEATS_VARIABLE: str(home / "beats"),
    }
    places().state.mkdir(parents=True)
    (home / "far").mkdir()
    try:
        with far_computer(home / "far", _WORKER) as (computer, cable):
            through_the_cable(home / "far", computer, cable)
            keep(places(), Machine(id="far", title="Far", reach=computer.reach))
            window = subprocess.Popen([sys.executable, "-c", WINDOW], stdout=subprocess.PIPE, text=True)
            try:
                assert window.stdout is not None
                if window.stdout.readline().strip() != "usable":
                    print("The window did not open.")
                    return 1
                parts = {"linked, nothing runs": _part(seconds)}
                submit_long(home, "--machine", "far")
                parts["a far trial is followed"] = _part(seconds)
                cable.cut()
                parts["its connection is silent"] = _part(seconds, settle_s=0)
                cable.mend()
                parts["connected again, catching up"] = _part(seconds, settle_s=0)
                submit_long(home)
                parts["a trial here as well"] = _part(seconds)
            finally:
                (places().state / "close").touch()
                window.wait(timeout=60)
                with connect_local(places(), start=False) as client:
                    client.call(Shutdown())
        beats = np.loadtxt(home / "beats", dtype=np.int64)
        for what, (start, end) in parts.items():
            late = np.maximum(beats[(beats[:, 0] >= start) & (beats[:, 0] < end), 1], 0) / 1e6
            p99, p999 = np.quantile(late, [0.99, 0.999])
            print(
                f"{what:30} p99 {p99:6.1f} ms, p99.9 {p999:6.1f} ms, largest {late.max():6.1f} ms late, "
                f"{int((late > _STALL_MS).sum())} stalls over {_STALL_MS:g} ms, {len(late)} beats",
                flush=True,
            )
        return 0
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _part(seconds: float, settle_s: float = _SETTLE_S) -> tuple[int, int]:
    """When it began and ended."""
    time.sleep(settle_s)
    start = time.monotonic_ns()
    time.sleep(seconds)
    return start, time.monotonic_ns()


if __name__ == "__main__":
    raise SystemExit(main())
