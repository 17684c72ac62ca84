"""The worker's process tree: on a made-up /proc for the bookkeeping, on this machine's own for the truth."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.telemetry.base import SharedPages, SourceEnded
from engines.telemetry.proc_tree import ProcTree, ProcTreeDetails, processor_clock
from engines.telemetry.procfs import PAGE_BYTES, TICKS_PER_SECOND


class FakeProc:
    """A folder that looks like /proc, as far as a process tree is read from it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(
        self,
        pid: int,
        *,
        parent: int = 1,
        state: str = "S",
        own: int = 0,
        reaped: int = 0,
        rss: int = 1,
        children: tuple[int, ...] = (),
        switches: tuple[int, ...] = (0,),
        pss_kb: int | None = 0,
        flags: int = 0,
    ) -> None:
        """`own` and `reaped` in ticks, `rss` in pages; one thread for every number of `switches`."""
        folder = self.root / str(pid)
        numbers = [own, 0, reaped, 0, 20, 0, len(switches), 0, 5000, 0, rss]
        line = f"{pid} (py) {state} {parent} 0 0 0 0 {flags} 0 0 0 0 " + " ".join(map(str, numbers)) + " 0" * 28
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(line)
        for number, count in enumerate(switches):
            task = folder / "task" / str(pid + number)
            task.mkdir(parents=True, exist_ok=True)
            (task / "children").write_text(" ".join(map(str, children)) if number == 0 else "")
            (task / "status").write_text(f"Name:\tpy\nnonvoluntary_ctxt_switches:\t{count}\n")
        if pss_kb is not None:
            (folder / "smaps_rollup").write_text(f"0-1 ---p [rollup]\nPss: {pss_kb} kB\nSwap: 8 kB\n")

    def end(self, pid: int) -> None:
        """The process is gone: a descriptor that was open on it answers as the kernel's does."""
        shutil.rmtree(self.root / str(pid))


def tree_of(fake: FakeProc, pid: int = 100) -> ProcTree:
    return ProcTree(pid, 0.1, proc=fake.root, processor_clock=lambda _pid: None)


def look_again(tree: ProcTree) -> None:
    """Let the tree's once-a-second look at its children be due."""
    tree._looked_up_ns = 0


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def test_that_memory_threads_and_time_are_summed_over_the_tree(fake: FakeProc) -> None:
    fake.write(100, own=150, reaped=50, rss=1000, children=(200,), switches=(1, 2))
    fake.write(200, parent=100, own=300, rss=10, children=(300,))
    fake.write(300, parent=200, own=100, rss=1)
    tree = tree_of(fake)
    reading = tree.read()
    assert reading["rss_bytes"] == 1011 * PAGE_BYTES
    assert reading["threads_count"] == 4
    assert reading["cpu_seconds"] == pytest.approx(600 / TICKS_PER_SECOND)
    assert tree.pids == (100, 200, 300)
    tree.close()


def test_that_the_first_reading_has_no_utilisation_and_later_ones_have(fake: FakeProc) -> None:
    fake.write(100, own=100)
    tree = tree_of(fake)
    begun = time.monotonic()
    assert "cpu_utilisation_ratio" not in tree.read()
    time.sleep(0.05)
    fake.write(100, own=100 + TICKS_PER_SECOND)
    ratio = tree.read()["cpu_utilisation_ratio"]
    assert ratio is not None
    assert 1 / (time.monotonic() - begun) < ratio < 1 / 0.05, "one second of processor time in that time"
    tree.close()


def test_that_the_time_of_a_reaped_child_is_counted_once(fake: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.write(100, own=100, children=(200,))
    fake.write(200, parent=100, own=500)
    tree = tree_of(fake)
    assert tree.read()["cpu_seconds"] == pytest.approx(600 / TICKS_PER_SECOND)
    fake.write(100, own=110, reaped=500)
    gone(tree, 200, monkeypatch)
    assert tree.read()["cpu_seconds"] == pytest.approx(610 / TICKS_PER_SECOND)
    assert tree.pids == (100,)
    tree.close()


def test_that_the_time_of_a_child_nobody_waited_for_is_kept(fake: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.write(100, own=100, children=(200,))
    fake.write(200, parent=100, own=500)
    tree = tree_of(fake)
    tree.read()
    fake.write(100, own=110)
    gone(tree, 200, monkeypatch)
    assert tree.read()["cpu_seconds"] == pytest.approx(610 / TICKS_PER_SECOND)
    fake.write(100, own=120)
    assert tree.read()["cpu_seconds"] == pytest.approx(620 / TICKS_PER_SECOND)
    tree.close()


def gone(tree: ProcTree, pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the open file of a process answer ESRCH, as the kernel does after its end; a plain file cannot."""

    def read() -> bytes:
        raise ProcessLookupError

    kept = tree._members[pid].stat
    monkeypatch.setattr(kept, "read", read)


def test_that_an_ended_worker_ends_the_source_and_a_zombie_does_too(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.write(100)
    tree = tree_of(fake)
    tree.read()
    fake.write(100, state="Z")
    with pytest.raises(SourceEnded):
        tree.read()
    fake.write(100, rss=0, flags=0x400004)  # being torn down: not yet a zombie, its memory already gone
    with pytest.raises(SourceEnded):
        tree.read()
    fake.write(100)
    gone(tree, 100, monkeypatch)
    with pytest.raises(SourceEnded):
        tree.read()
    with pytest.raises(SourceEnded):
        tree_of(fake, 999)
    tree.close()


def test_that_a_worker_that_becomes_another_program_is_watched_on(fake: FakeProc) -> None:
    fake.write(100, own=100, rss=1000, flags=0x400000)
    tree = tree_of(fake)
    tree.read()
    fake.write(100, own=110, rss=0, flags=0x400000)  # its old memory gone, the new not yet counted
    assert tree.read() == {}
    fake.write(100, own=120, rss=2000, flags=0x400000)
    reading = tree.read()
    assert reading["rss_bytes"] == 2000 * PAGE_BYTES
    assert reading["cpu_seconds"] == pytest.approx(120 / TICKS_PER_SECOND)
    tree.close()


def test_that_children_started_later_join_and_stay_when_their_parent_is_gone(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.write(100)
    tree = tree_of(fake)
    tree.read()
    fake.write(100, children=(200,))
    fake.write(200, parent=100, children=(300,))
    fake.write(300, parent=200, rss=5)
    look_again(tree)
    tree.read()
    assert tree.pids == (100, 200, 300)
    gone(tree, 200, monkeypatch)
    fake.end(200)
    fake.write(100)
    look_again(tree)
    assert tree.read()["rss_bytes"] == (1 + 5) * PAGE_BYTES
    assert tree.pids == (100, 300)
    tree.close()


def test_that_details_are_summed_and_switches_of_ended_threads_kept(fake: FakeProc) -> None:
    fake.write(100, pss_kb=1000, switches=(3, 4), children=(200,))
    fake.write(200, parent=100, pss_kb=24, switches=(5,))
    tree = tree_of(fake)
    tree.read()
    details = ProcTreeDetails(tree, proc=fake.root)
    reading = details.read()
    assert reading == {"pss_bytes": 1024 * 1024, "swap_bytes": 16 * 1024, "involuntary_switches_count": 12}
    shutil.rmtree(fake.root / "100" / "task" / "101")
    assert details.read()["involuntary_switches_count"] == 12
    details.close()
    tree.close()


def test_that_pages_shared_with_a_template_count_as_the_workers(fake: FakeProc) -> None:
    fake.write(100, pss_kb=1000)
    fake.write(900, pss_kb=300)
    tree = tree_of(fake)
    details = ProcTreeDetails(tree, shared=SharedPages(900, 800 * 1024), proc=fake.root)
    assert "template" in next(s.method for s in details.sensors() if s.quantity == "pss_bytes")
    assert details.read()["pss_bytes"] == (1000 + 800 - 300) * 1024
    fake.write(900, pss_kb=801)
    assert details.read()["pss_bytes"] == 1000 * 1024, "a template that grew by itself takes nothing away"
    shutil.rmtree(fake.root / "900")
    assert details.read()["pss_bytes"] == 1000 * 1024, "once it is gone the worker has the pages alone"
    tree.close()


def test_that_an_unreadable_memory_map_has_a_reason_and_no_zero(fake: FakeProc) -> None:
    fake.write(100, pss_kb=None)
    tree = tree_of(fake)
    details = ProcTreeDetails(tree, proc=fake.root)
    sensors = {s.quantity: s for s in details.sensors()}
    assert "smaps_rollup" in sensors["pss_bytes"].reason
    assert not sensors["swap_bytes"].available
    assert sensors["involuntary_switches_count"].available
    assert details.read() == {"involuntary_switches_count": 0}
    tree.close()


def test_that_costly_details_are_read_less_often(fake: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.write(100)
    tree = tree_of(fake)
    details = ProcTreeDetails(tree, proc=fake.root)
    details.read()
    assert details.period_s == pytest.approx(1.0)
    ticks = iter([0.0, 0.009, 1.0, 1.5])
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks))
    details.read()
    assert details.period_s == pytest.approx(3.0)
    details.read()
    assert details.period_s == pytest.approx(4.0), "a measured window of five seconds still holds a reading"
    tree.close()


# --- this machine's own /proc ---


@contextlib.contextmanager
def child(program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python child that has said "ready"; killed and waited for at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.read(5) == b"ready"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


SPINS = "import sys; sys.stdout.write('ready'); sys.stdout.flush()\nwhile True: pass"
GROWS = """
import sys
def say(): sys.stdout.write("ready"); sys.stdout.flush()
say()
sys.stdin.read(1)
kept = bytearray(64 << 20)
for page in range(0, len(kept), 4096): kept[page] = 1
say()
sys.stdin.read(1)
"""
PARENT = """
import subprocess, sys
spin = subprocess.Popen([sys.executable, "-c", "import time\\nend = time.process_time() + 0.3\\n"
                         "while time.process_time() < end: pass\\nimport sys; sys.stdin.read()"],
                        stdin=subprocess.PIPE)
sys.stdout.write("ready"); sys.stdout.flush()
sys.stdin.read(1)
spin.stdin.close(); spin.wait()
sys.stdout.write("again"); sys.stdout.flush()
sys.stdin.read(1)
"""


def test_that_a_spinning_child_uses_the_processor_time_the_kernel_says() -> None:
    with child(SPINS) as process:
        tree = ProcTree(process.pid, 0.1)
        ratio, busy, ended = _busy_window(tree)
        tree.close()
        process.kill()
        _, status, usage = os.wait4(process.pid, 0)
        unread = time.monotonic() - ended
        process.returncode = os.waitstatus_to_exitcode(status)
    assert 0.2 < ratio < 1.05, "one thread spins: near one core, less only where neighbours take the core"
    assert -0.02 <= usage.ru_utime + usage.ru_stime - busy <= unread + 0.02


def _busy_window(tree: ProcTree) -> tuple[float, float, float]:
    """Two readings 0.6 s apart: the second's utilisation and processor seconds, and when it ended. Windows in which the
    machine or the watched process stood still are left out."""
    for _ in range(50):
        outer = time.monotonic()
        first = tree.read()["cpu_seconds"]
        inner = time.monotonic()
        time.sleep(0.6)
        inner = time.monotonic() - inner
        reading = tree.read()
        ended = time.monotonic()
        ratio, busy = reading["cpu_utilisation_ratio"], reading["cpu_seconds"]
        assert first is not None
        assert ratio is not None
        assert busy is not None
        if ended - outer < 0.65 and ratio > 0.2:
            assert (busy - first) / (ended - outer) * 0.95 <= ratio <= (busy - first) / inner * 1.05
            return ratio, busy, ended
    raise AssertionError("no window of 50 in which a spinning process had a fifth of a processor")


def test_that_memory_rises_by_what_the_child_allocates() -> None:
    with child(GROWS) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tree = ProcTree(process.pid, 0.1)
        details = ProcTreeDetails(tree)
        before = {**tree.read(), **details.read()}
        process.stdin.write(b"x")
        assert process.stdout.read(5) == b"ready"
        after = {**tree.read(), **details.read()}
        details.close()
        tree.close()
    for quantity in ("rss_bytes", "pss_bytes"):
        earlier, later = before[quantity], after[quantity]
        assert earlier is not None
        assert later is not None
        assert 63 << 20 < later - earlier < 68 << 20
    pss, rss = after["pss_bytes"], after["rss_bytes"]
    assert pss is not None
    assert rss is not None
    assert pss <= rss + (4 << 20), "the kernel's counters of resident pages may lag by a few megabytes"


def test_that_a_grandchild_is_watched_and_its_time_stays_after_its_end() -> None:
    with child(PARENT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tree = ProcTree(process.pid, 0.1)
        deadline = time.monotonic() + 60
        while (seconds := tree.read()["cpu_seconds"]) is not None and seconds < 0.3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(tree.pids) == 2
        process.stdin.write(b"x")
        assert process.stdout.read(5) == b"again"
        after = tree.read()
        assert len(tree.pids) == 1
        assert after["cpu_seconds"] is not None
        assert after["cpu_seconds"] >= seconds
        process.kill()
        process.wait()
        with pytest.raises(SourceEnded):
            tree.read()
        tree.close()


def test_that_the_processor_clock_is_finer_than_a_tick() -> None:
    clock = processor_clock(os.getpid())
    assert clock is not None
    first = clock()
    while (second := clock()) == first:
        pass
    assert second - first < 1 / TICKS_PER_SECOND
    assert second == pytest.approx(time.process_time(), abs=0.05)
