"""SIGTERM in a worker: it interrupts what may be interrupted, and never half a record."""

from __future__ import annotations

import os
import signal

import pytest

from engines.worker.stop import Stop, StopTrial


def test_that_sigterm_interrupts_only_what_may_be_interrupted(installed_stop: Stop) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert installed_stop.requested
    with pytest.raises(StopTrial), installed_stop.interruptible():
        raise AssertionError("not reached: already asked to stop")
    installed_stop.requested = False
    with pytest.raises(StopTrial), installed_stop.interruptible():
        signal.raise_signal(signal.SIGTERM)


def test_that_a_stop_while_a_record_is_sent_comes_after_it() -> None:
    stop = Stop()
    told: list[str] = []

    def send() -> None:
        with stop.interruptible():
            with stop.sending():
                stop._asked(signal.SIGTERM, None)
                told.append("whole")
            told.append("never")

    with pytest.raises(StopTrial):
        send()
    assert told == ["whole"]
