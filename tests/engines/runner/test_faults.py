"""A full disk, slow and broken clients: the queue goes on, nothing that was said to be written is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engines.protocol import MAGIC, PROTOCOL_VERSION, messages
from engines.protocol.client import RunnerError
from engines.protocol.codec import decode_record, encode_call
from engines.protocol.messages import QueueState, RecordLine
from engines.protocol.places import Places
from engines.protocol.records import Log, Record, TrialEnded
from engines.runner.runner import Runner
from engines.runner.settings import default_settings
from engines.runner.workers import leftovers
from tests.engines.runner_harness import RunnerProcess, is_alive, make_order, until
from tests.small_disk import small_disk as mounted_disk


@pytest.fixture
def confined(short_home: Places) -> Iterator[RunnerProcess]:
    """A runner whose state is on a disk of 4 MiB."""
    with mounted_disk(short_home.state, "4m"):
        running = RunnerProcess(short_home)
        running.start()
        yield running
        running.end()


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    path = folder / "somebody-elses-file"
    with path.open("ab") as file:
        file.write(b"x" * shutil.disk_usage(folder).free)
    return path


def test_that_a_full_disk_fails_the_trial_pauses_the_queue_and_loses_nothing_written(
    confined: RunnerProcess, tmp_path: Path
) -> None:
    runner = confined
    gate = tmp_path / "gate"
    runner.submit(
        make_order("t1", ["phase", "measure"], ["wait_for", str(gate)], ["logs", 300, 2000], ["sleep", 60]),
        make_order("t2", ["stamps", 3]),
    )
    until(lambda: runner.entry("t1").phase == "measure", what=runner.log)
    filler = fill(runner.places.state)
    gate.touch()
    entry = runner.until_state("t1", "ended")
    assert (entry.outcome, entry.failure) == ("failed", "disk_full")
    records = runner.records("t1")
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert isinstance(records[-1], TrialEnded)
    assert records[-1].failure == "disk_full"
    assert "No space left on device" in records[-1].message
    logs = [record.text.split()[0] for record in records if isinstance(record, Log) and record.source == "fake"]
    assert logs, "the ballast held what came last"
    assert logs == [str(number) for number in range(len(logs))]
    state = runner.queue()
    assert state.paused
    assert f"The disk of {runner.places.state} is full" in state.pause_reason
    assert "what waits stays in the queue" in state.pause_reason
    assert "Free some space" in state.pause_reason
    assert [entry.trial for entry in state.in_state("waiting")] == ["t2"]

    fill(runner.places.state)  # also what the ended trial gave back
    runner.client.call(messages.SetPaused(paused=False))
    assert runner.queue().paused, "still full: paused again, and t2 waits"
    assert "is full" in runner.queue().pause_reason
    with pytest.raises(RunnerError) as caught:
        runner.submit(*(make_order(f"more{number}", ["print", "x" * 5000]) for number in range(100)))
    assert caught.value.code == "disk_full"
    with pytest.raises(RunnerError, match="still waits"):
        runner.client.call(messages.Stop(trial="t2"))
    assert runner.entry("t2").state == "waiting", "a trial whose end cannot be written has not ended"

    filler.unlink()
    runner.client.call(messages.SetPaused(paused=False))
    runner.until_state("t2", "ended")
    assert runner.entry("t2").outcome == "completed"


def test_that_a_trial_that_finds_no_room_for_its_ring_waits_for_it(confined: RunnerProcess) -> None:
    """Its spool fits and its ring does not: as an engine's failure this would end one trial after the other."""
    runner = confined
    runner.client.call(messages.SetPaused(paused=True))
    runner.submit(*(make_order(f"t{number}", ["stamps", 3]) for number in (1, 2, 3)))
    filler = fill(runner.places.state)
    os.truncate(filler, filler.stat().st_size - 400 * 1024)
    runner.client.call(messages.SetPaused(paused=False))
    until(lambda: runner.queue().paused, what=runner.log)
    state = runner.queue()
    assert [entry.trial for entry in state.in_state("waiting")] == ["t1", "t2", "t3"], "in their order"
    assert not state.in_state("ended")
    assert "is full" in state.pause_reason
    assert not list(runner.places.spools.glob("t*")), "what had been made of it has gone"

    followed = runner.client.stream(messages.Attach(trial="t1"))
    filler.unlink()
    runner.client.call(messages.SetPaused(paused=False))
    assert [r.seq for r in map(_record, followed)][:2] == [1, 2]
    assert [runner.until_state(f"t{n}", "ended").outcome for n in (1, 2, 3)] == ["completed"] * 3


def _record(reply: messages.Reply) -> Record:
    return decode_record(reply.line) if isinstance(reply, RecordLine) else TrialEnded(outcome="completed", seq=-1)


def test_that_a_system_without_processes_pauses_the_queue(short_home: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever keeps the runner from starting a worker would keep it from starting the next one too."""

    def refuse(*_arguments: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("engines.runner.workers.start.start_plainly", refuse)

    async def submit() -> QueueState:
        runner = Runner(short_home, default_settings())
        runner.start()
        runner.submit([make_order("t1"), make_order("t2")], {})
        while not runner.queue_state().paused:
            await asyncio.sleep(0.01)
        state = runner.queue_state()
        await runner.shut_down()
        return state

    state = asyncio.run(submit())
    assert [entry.trial for entry in state.in_state("waiting")] == ["t1", "t2"]
    assert "Close other programs" in state.pause_reason


def test_that_a_trial_stopped_while_its_start_fails_has_been_stopped(
    short_home: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stop() -> QueueState:
        runner = Runner(short_home, default_settings())

        def refuse(*_arguments: object) -> None:
            runner.stop("t1", kill=False)
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        monkeypatch.setattr("engines.runner.workers.start.start_plainly", refuse)
        runner.start()
        runner.submit([make_order("t1")], {})
        while not runner.is_idle:
            await asyncio.sleep(0.01)
        state = runner.queue_state()
        await runner.shut_down()
        return state

    state = asyncio.run(stop())
    assert not state.paused
    assert [entry.outcome for entry in state.in_state("ended")] == ["stopped"]


def test_that_a_runner_killed_on_a_full_disk_ends_its_trial_when_there_is_space(confined: RunnerProcess) -> None:
    runner = confined
    runner.submit(make_order("t1", ["phase", "measure"], ["sleep", 60]))
    until(lambda: runner.entry("t1").phase == "measure")
    runner.kill()
    fill(runner.places.state)
    runner.start()
    records = runner.records("t1")
    assert isinstance(records[-1], TrialEnded)
    assert records[-1].failure == "runner_died"


def test_that_what_is_left_behind_is_killed_though_the_machine_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_PATIENCE_S", 0.0)  # as if it had passed before the first look
    left = subprocess.Popen(["sleep", "60"], start_new_session=True)
    assert leftovers.kill_leftovers("nobody:", left.pid, spare=(), take_strangers=False) == [left.pid]
    until(lambda: not is_alive(left.pid))
    left.wait()


def test_that_only_this_user_can_reach_the_socket(runner: RunnerProcess) -> None:
    path = runner.places.runner_socket
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(runner.places.spools.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xfe\x00\xff\n",
        b'{"id": 3, "body": {"do": "unheard_of"}}\n',
        b'{"id": 1, "body": {"do": "queue"}}\n',
        b'{"id": 1, "body": {"do": "hello", "version": 99, "client": "x"}}\n',
        b"no newline at all",
    ],
)
def test_that_garbage_on_the_socket_ends_that_connection_only(runner: RunnerProcess, garbage: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(60)
        link.connect(str(runner.places.runner_socket))
        link.sendall(garbage)
        link.shutdown(socket.SHUT_WR)
        answer = b""
        while data := link.recv(4096):
            answer += data
    assert answer.startswith(f"{MAGIC} {PROTOCOL_VERSION}\n".encode())
    if b"\n" in garbage:
        assert b'"do":"failure"' in answer
    if b"unheard_of" in garbage:
        assert b"kill %d" % runner.pid in answer, "an older runner says how to end it"
    assert runner.queue().entries == ()


def test_that_a_slow_client_holds_up_nobody_and_gets_everything(runner: RunnerProcess) -> None:
    count, size = 2000, 4000
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as slow:
        slow.connect(str(runner.places.runner_socket))
        slow.sendall(b'{"id":1,"body":{"do":"hello","version":%d,"client":"slow"}}\n' % PROTOCOL_VERSION)
        runner.submit(make_order("t1", ["logs", count, size]))
        slow.sendall(b'{"id":2,"body":{"do":"attach","trial":"t1"}}\n')
        quick = runner.lines("t1")
        assert len(quick) >= count, "it has ended for the quick one while the slow one has read nothing"
        time.sleep(0.2)
        memory = psutil.Process(runner.pid).memory_info().rss
        assert memory < 100 << 20, "what the slow one has not read waits on the disk"
        received = b""
        slow.settimeout(60)
        while b'"stream_ended"' not in received[-200:]:
            received += slow.recv(1 << 16)
    assert received.count(b'"do":"record"') == len(quick)


def test_that_a_client_that_goes_in_the_middle_of_a_stream_harms_nobody(runner: RunnerProcess, tmp_path: Path) -> None:
    runner.submit(make_order("t1", ["logs", 200, 4000, 0.001], ["wait_for", str(tmp_path / "go")]))
    for _ in range(3):
        client = runner.connect()
        stream = client.stream(messages.Attach(trial="t1"))
        assert isinstance(next(stream), RecordLine)
        client.close()
        with pytest.raises(RunnerError):
            list(stream)
    (tmp_path / "go").touch()
    assert isinstance(runner.records("t1")[-1], TrialEnded)
    assert "Traceback" not in runner.log


def test_that_a_cancelled_stream_leaves_the_connection_usable(runner: RunnerProcess) -> None:
    runner.submit(make_order("t1", ["sleep", 60]))
    client = runner.connect()
    stream = client.stream(messages.Attach(trial="t1"))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert isinstance(client.call(messages.GetQueue()), messages.QueueState)
    client.call(messages.Stop(trial="t1", how="kill"))
    assert isinstance(runner.records("t1")[-1], TrialEnded)


def test_that_a_stop_that_comes_with_the_submission_is_not_lost(runner: RunnerProcess) -> None:
    calls = (
        messages.Hello(version=PROTOCOL_VERSION, client="hasty"),
        messages.Submit(orders=(make_order("t1", ["sleep", 60]),)),
        messages.Stop(trial="t1"),
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.connect(str(runner.places.runner_socket))
        link.sendall(b"".join(encode_call(messages.Call(n, call)) + b"\n" for n, call in enumerate(calls)))
        link.recv(1 << 16)
        ended = runner.records("t1")[-1]
    assert isinstance(ended, TrialEnded)
    assert ended.outcome == "stopped"
