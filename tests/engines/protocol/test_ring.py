"""The ring of stamps: what is written is read, across processes and a SIGKILL, and a full one is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import Inference, Training
from engines.protocol.ring import HEADER_BYTES, BadRing, RingReader, RingWriter, capacity_for, create_ring
from tests.engines.runner_harness import ROOT, make_order


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_ring(tmp_path / "ring", 100)
    return tmp_path / "ring"


def test_that_stamps_are_read_once_each_in_order(path: Path) -> None:
    writer, reader = RingWriter(path), RingReader(path)
    assert reader.read(0) == []
    before = time.monotonic_ns()
    for _ in range(3):
        writer.stamp()
    first = reader.read(0)
    writer.stamp()
    assert len(first) == 3
    assert before <= first[0] <= first[1] <= first[2] <= time.monotonic_ns()
    assert len(reader.read(3)) == 1
    assert reader.read(4) == []
    assert (reader.written, reader.lost, writer.written) == (4, 0, 4)
    writer.close()
    reader.close()
    reader.close()


def test_that_a_full_ring_is_counted_and_keeps_what_it_has(path: Path) -> None:
    writer, reader = RingWriter(path), RingReader(path)
    for _ in range(130):
        writer.stamp()
    times = reader.read(0)
    assert len(times) == 100
    assert times == sorted(times)
    assert (reader.written, reader.lost) == (130, 30)
    assert reader.read(100) == []
    writer.close()
    reader.close()


def test_that_stamps_survive_a_killed_writer(path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom engines.protocol.ring import RingWriter\n"
        "ring = RingWriter(Path(sys.argv[1]))\nring.touch()\n"
        "for _ in range(42): ring.stamp()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    reader = RingReader(path)
    assert len(reader.read(0)) == 42
    reader.close()


def test_that_a_second_writer_goes_on_where_the_first_ended(path: Path) -> None:
    first = RingWriter(path)
    first.stamp()
    first.close()
    second = RingWriter(path)
    second.touch()
    second.stamp()
    second.close()
    reader = RingReader(path)
    assert len(reader.read(0)) == 2
    assert min(reader.read(0)) > 0
    reader.close()


def test_that_a_count_that_runs_ahead_of_its_stamp_hands_out_no_zero(path: Path) -> None:
    writer, reader = RingWriter(path), RingReader(path)
    writer.stamp()
    writer._words[3] = 3  # as a processor that reorders stores could show it
    assert len(reader.read(0)) == 1
    writer.close()
    reader.close()


def test_that_stamping_keeps_no_memory(tmp_path: Path) -> None:
    create_ring(tmp_path / "ring", 20_000)
    writer = RingWriter(tmp_path / "ring")
    writer.stamp()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10_000):
        writer.stamp()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    writer.close()
    assert grown < 1000


def test_that_the_space_of_a_ring_is_reserved(path: Path) -> None:
    assert path.stat().st_blocks * 512 >= HEADER_BYTES + 800


def test_that_what_is_no_ring_is_refused(tmp_path: Path, path: Path) -> None:
    with pytest.raises(FileExistsError):
        create_ring(path, 5)
    os.truncate(path, HEADER_BYTES + 8)
    with pytest.raises(BadRing, match="cut short"):
        RingReader(path)
    (tmp_path / "other").write_bytes(b"x" * 200)
    with pytest.raises(BadRing, match="no ring"):
        RingReader(tmp_path / "other")
    (tmp_path / "tiny").write_bytes(b"x")
    with pytest.raises(BadRing, match="shorter"):
        RingReader(tmp_path / "tiny")
    with pytest.raises(ValueError):
        create_ring(tmp_path / "none", 0)


def test_that_a_ring_has_room_for_its_order() -> None:
    order = make_order("t1")
    load = order.inference
    assert capacity_for(order) >= (load.requests + load.warmup_requests) * load.new_tokens
    training = msgspec.structs.replace(order, workload=Training(steps=10**5))
    assert capacity_for(training) == capacity_for(msgspec.structs.replace(order, workload=Training(steps=1)))
    long = msgspec.structs.replace(order, workload=Inference(window_s=100.0, new_tokens=4096, requests=50))
    assert capacity_for(long) > 500_000
    endless = msgspec.structs.replace(order, workload=Inference(window_s=1e9))
    assert capacity_for(endless) <= 1 << 23
