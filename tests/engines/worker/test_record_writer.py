"""The channel to the runner: whole lines, one write for what goes together, a runner that is gone."""

from __future__ import annotations

import os
import time

import pytest

from engines.protocol.records import Log
from engines.worker.record_writer import RunnerGone
from tests.engines.worker.kit import Pipe


def test_that_records_are_whole_lines_with_a_time(pipe: Pipe) -> None:
    before = time.monotonic_ns()
    pipe.channel.log("two\nlines")
    (record,) = pipe.records()
    assert isinstance(record, Log)
    assert record.text == "two\nlines"
    assert before <= record.t_ns <= time.monotonic_ns()


def test_that_what_is_sent_together_is_one_write_in_order(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(len(data)) or write(fd, data))
    with pipe.channel.together():
        for text in ("one", "two", "three"):
            pipe.channel.log(text)
        assert not pipe.records()
    assert [r.text for r in pipe.records() if isinstance(r, Log)] == ["one", "two", "three"]
    assert len(writes) == 1
    pipe.channel.log("alone")
    assert len(writes) == 2


def test_that_what_was_sent_before_a_failure_goes_out(pipe: Pipe) -> None:
    def send(text: str) -> None:
        with pipe.channel.together():
            pipe.channel.log(text)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send("before")
    assert [r.text for r in pipe.records() if isinstance(r, Log)] == ["before"]
    pipe.close_reader()
    with pytest.raises(RunnerGone):
        send("to nobody")


def test_that_a_closed_pipe_means_the_runner_is_gone(pipe: Pipe) -> None:
    assert not pipe.channel.reader_is_gone()
    pipe.close_reader()
    assert pipe.channel.reader_is_gone()
    with pytest.raises(RunnerGone):
        pipe.channel.log("anybody?")
