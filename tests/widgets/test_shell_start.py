"""Starting and ending the window as a process: what it imports before the first paint, signals, crash reports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engines.protocol.client import RunnerError, connect_local
from engines.protocol.messages import Shutdown
from engines.protocol.places import Places
from widgets.background.disk_use import clear_folder, folder_size
from widgets.shell.crash import CrashGuard, left_behind, mark_seen

ROOT = Path(__file__).parents[2]

PAINT = """
import sys
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication
from engines.protocol.places import places
from widgets.app import make_window
app = QApplication([])
window = make_window(app, places())
window.show()
app.processEvents()
assert not window.grab().isNull()
heavy = {"duckdb", "pyqtgraph", "matplotlib", "scipy", "numpy", "pyarrow", "torch", "transformers"}
print(sorted(heavy & set(sys.modules)))
window.close()
"""

RUN = """
import sys
from widgets import app
make = app.make_window
def made(*a):
    w = make(*a)
    w.usable.connect(lambda: print("usable", flush=True))
    return w
app.make_window = made
sys.exit(app.main())
"""


def test_that_nothing_heavy_is_imported_before_the_first_paint(home: Places) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PAINT], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_that_a_signal_closes_the_window_cleanly(home: Places, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().strip() == "usable"
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        assert list(home.crashes.glob("*.txt")) == []
        assert (home.config / "window.ini").exists()
    finally:
        process.kill()
        process.wait()
        try:
            with connect_local(home, start=False, timeout=60) as client:
                client.call(Shutdown())
        except RunnerError:
            pass


def test_that_a_crash_leaves_a_report_that_is_offered_once(home: Places) -> None:
    code = (
        "import faulthandler; from engines.protocol.places import places; from widgets.shell.crash import CrashGuard;"
        "CrashGuard(places().crashes).install(); faulthandler._sigsegv()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGSEGV
    (report,) = left_behind(home.crashes)
    assert "Segmentation fault" in report.read_text()
    assert "Current thread" in report.read_text()
    kept = mark_seen(report)
    assert kept.exists()
    assert left_behind(home.crashes) == ()


def test_that_a_clean_end_leaves_no_report(tmp_path: Path) -> None:
    guard = CrashGuard(tmp_path)
    guard.install()
    assert guard.path.exists()
    guard.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.qt_no_exception_capture
def test_that_an_uncaught_exception_is_written_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard = CrashGuard(tmp_path)
    guard.install()
    told: list[tuple[str, str]] = []
    guard.tell(lambda message, advice: told.append((message, advice)))
    error = ValueError("a slot failed")
    sys.excepthook(ValueError, error, None)
    guard.close()
    assert "a slot failed" in told[0][0]
    assert "not affected" in told[0][1]
    (report,) = tmp_path.iterdir()
    assert "ValueError: a slot failed" in report.read_text()
    assert "a slot failed" in capsys.readouterr().err


def test_that_the_empty_file_of_a_killed_window_is_no_report(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f"window-20260101-000000-{gone.pid}.txt").touch()
    running = tmp_path / f"window-20260101-000001-{os.getpid()}.txt"
    running.touch()
    assert left_behind(tmp_path) == ()
    assert list(tmp_path.iterdir()) == [running]


def test_that_a_folder_that_cannot_be_written_does_not_stop_the_start(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    guard = CrashGuard(blocked / "crashes")
    guard.install()
    guard.close()
    assert guard.path is None


def test_that_disk_use_is_counted_and_cleared(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"x" * 1000)
    (tmp_path / "readme").write_bytes(b"y" * 24)
    assert folder_size(tmp_path) == (1024, 2)
    assert clear_folder(tmp_path) == 1024
    assert folder_size(tmp_path) == (0, 0)
    assert folder_size(tmp_path / "nowhere") == (0, 0)
