"""A worker's channel, ring and stop for each test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.protocol.ring import RingWriter, create_ring
from engines.worker.stop import Stop
from tests.engines.worker.kit import Pipe


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A worker's channel, and what comes out of it."""
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[RingWriter]:
    """A ring for 60 stamps, in the file `ring` of the test's folder."""
    create_ring(tmp_path / "ring", 60)
    writer = RingWriter(tmp_path / "ring")
    yield writer
    writer.close()


@pytest.fixture
def installed_stop() -> Iterator[Stop]:
    """A stop that this process's SIGTERM and SIGINT ask for; their handlers are put back after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = Stop()
    stop.install()
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)
