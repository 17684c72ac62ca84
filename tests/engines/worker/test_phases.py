"""Phases: what is told of one, its memory peak, and the collector that is off while it is measured."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys

import pytest

from engines.protocol.codec import decode_record
from engines.protocol.records import MemoryPeak, PhaseEnded, PhaseStarted
from engines.worker.phases import Phases, quiet_collector
from tests.engines.runner_harness import ROOT
from tests.engines.worker.kit import Pipe


def test_that_a_phase_is_closed_with_its_peak_when_its_body_raises(pipe: Pipe) -> None:
    with pytest.raises(RuntimeError), Phases(pipe.channel).phase("load", 5):
        raise RuntimeError
    started, peak, ended = pipe.records()
    assert isinstance(started, PhaseStarted)
    assert started.t_ns == 5
    assert isinstance(peak, MemoryPeak)
    assert peak.peak_bytes > 1 << 20
    assert isinstance(ended, PhaseEnded)
    assert ended.start_ns == 5


PEAKS = """
from engines.worker.record_writer import RecordWriter
from engines.worker.phases import Phases
phases = Phases(RecordWriter(1))
with phases.phase("load"):
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    del block
with phases.phase("measure"):
    pass
"""


def test_that_the_resident_peak_belongs_to_its_phase() -> None:
    """In a process of its own: one that has grown over a thousand tests has memory that comes and goes by itself."""
    told = subprocess.run([sys.executable, "-c", PEAKS], stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout
    records = [decode_record(line) for line in told.splitlines()]
    first, second = [r.peak_bytes for r in records if isinstance(r, MemoryPeak)]
    assert second < first - (32 << 20)


def test_that_the_collector_is_off_in_the_measured_part_and_on_again_after_it() -> None:
    with quiet_collector():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


HOLES = """
import ctypes, psutil
from engines.worker.phases import memory_given_back
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def made(size):
    block = library.malloc(size)
    ctypes.memset(block, 1, size)
    return block

library.free(made(31 << 20))  # from now on glibc serves so much from its heap
before = psutil.Process().memory_info().rss
with memory_given_back():
    pairs = [(made(4 << 20), made(60 << 10)) for _ in range(40)]
    pairs += [(made(64 << 10), made(64 << 10)) for _ in range(999)]
    for freed, _kept in pairs:
        library.free(freed)
print(psutil.Process().memory_info().rss - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library has no malloc_trim")
def test_that_memory_freed_while_loading_is_not_counted_as_the_models() -> None:
    """160 MiB of large blocks and 62 of small ones are freed, with 65 MiB kept between them."""
    told = subprocess.run([sys.executable, "-c", HOLES], stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout
    assert 60 << 20 < int(told) < 85 << 20
