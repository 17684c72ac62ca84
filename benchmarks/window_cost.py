"""Processor time of the window: idle, while a trial runs and Monitor is shown, and while the window is hidden.

Published figures without a bar; measured offscreen through /proc of the window's process, 20 s each. The trial is
that of a real runner and worker whose engine sleeps 20 ms a token, watched at 10 Hz.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from engines.protocol.client import connect_local
from engines.protocol.messages import Shutdown
from engines.protocol.places import HOME_VARIABLE, places

SECONDS = float(os.environ.get("LLM_WORKBENCH_BENCH_SECONDS", "20"))
ROOT = Path(__file__).parent.parent

BEATS_VARIABLE = "LLM_WORKBENCH_BEATS"
"""File in which the window says, at its end, when each beat of 5 ms came and how late (ns)."""

WINDOW = """
import os
import sys
from pathlib import Path
from time import monotonic_ns
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication
from engines.protocol.places import places
from widgets.app import _AfterPaint, make_window
app = QApplication([])
window = make_window(app, places())
window.resize(1440, 900)
starter = _AfterPaint(window)
window.show()
window.when_usable(lambda: (window.navigate("monitor", None), print("usable", flush=True)))
def look():
    if (places().state / "hide").exists():
        window.hide()
    if (places().state / "close").exists():
        window.close()
        app.quit()
timer = QTimer()
timer.timeout.connect(look)
timer.start(1000)
if "LLM_WORKBENCH_BEATS" in os.environ:
    beats = [(monotonic_ns(), 0)]
    def beat():
        now = monotonic_ns()
        beats.append((now, now - beats[-1][0] - 5_000_000))
    pulse = QTimer()
    pulse.setTimerType(Qt.TimerType.PreciseTimer)
    pulse.timeout.connect(beat)
    pulse.start(5)
    said = Path(os.environ["LLM_WORKBENCH_BEATS"])
    app.aboutToQuit.connect(lambda: said.write_text("".join(f"{at} {late}\\n" for at, late in beats)))
sys.exit(app.exec())
"""


def main() -> int:
    """Exit code 1 where the window did not open."""
    home = Path(tempfile.mkdtemp(prefix="lw-", dir="/tmp"))
    os.environ |= {
        HOME_VARIABLE: str(home),
        "QT_QPA_PLATFORM": "offscreen",
        "PYTHONPATH": str(ROOT),
        "LLM_WORKBENCH_WORKER": f"{sys.executable} {ROOT / 'tests' / 'sleeping_worker.py'}",
        "LLM_WORKBENCH_SLEEP": "0.02",
    }
    places().state.mkdir(parents=True)
    window = subprocess.Popen([sys.executable, "-c", WINDOW], stdout=subprocess.PIPE, text=True)
    try:
        assert window.stdout is not None
        if window.stdout.readline().strip() != "usable":
            print("The window did not open.")
            return 1
        time.sleep(5)
        _say("idle, Monitor shown", window.pid)
        submit_long(home)
        time.sleep(5)
        _say("a trial runs, Monitor shown", window.pid)
        (places().state / "hide").touch()
        time.sleep(3)
        _say("a trial runs, window hidden", window.pid)
        return 0
    finally:
        (places().state / "close").touch()
        with connect_local(places(), start=False) as client:
            client.call(Shutdown())
        window.wait(timeout=30)
        shutil.rmtree(home, ignore_errors=True)


def submit_long(home: Path, *options: str) -> None:
    """A trial of some minutes."""
    from tests.tiny_model import make_tiny_model

    model = make_tiny_model(home / "tiny")
    file = home / "long.toml"
    file.write_text(
        f'schema = 1\nname = "long"\nmodels = ["{model}"]\n[techniques]\nprecision = "float32"\n'
        "[workload]\nprompt_tokens = 16\nnew_tokens = 500\nrequests = 20\nperplexity_tokens = 0\n[run]\ntrials = 1\n"
    )
    command = [sys.executable, "-m", "workbench", "run", str(file), "--detach", *options]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def _say(what: str, pid: int) -> None:
    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(SECONDS)
    after, span = process.cpu_times(), time.monotonic() - began
    share = (after.user + after.system - before.user - before.system) / span
    print(f"{what:30} {100 * share:5.2f} % of a core ({span:.0f} s, 10 ms ticks)", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
