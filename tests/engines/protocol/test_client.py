"""Clients of a runner: starting one, two at once, from another folder, banners, versions, and the command line."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engines.protocol import MAGIC, PROTOCOL_VERSION, messages
from engines.protocol.client import RunnerClient, RunnerError, connect_local
from engines.protocol.codec import decode_call, encode_answer, encode_order
from engines.protocol.places import Places
from tests.engines.runner_harness import ROOT, RunnerProcess, end_runner, is_alive, make_order


@pytest.fixture
def started(short_home: Places) -> Iterator[Places]:
    """A home in which the test starts runners through the client; they are told to end afterwards."""
    yield short_home
    end_runner(short_home)


def engines(*arguments: str, text: str = "", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engines", *arguments],
        input=text,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


def test_that_no_runner_is_started_unasked(short_home: Places) -> None:
    with pytest.raises(RunnerError, match="No runner is running"):
        connect_local(short_home, start=False, timeout=60)
    assert not short_home.state.exists()


def test_that_a_runner_starts_by_itself_and_outlives_its_client(started: Places) -> None:
    before_ns = time.monotonic_ns()
    with connect_local(started, timeout=60) as client:
        welcome = client.welcome
        assert welcome.pid != os.getpid()
        assert welcome.boot
        assert before_ns < welcome.clock_mono_ns < time.monotonic_ns()
    process = psutil.Process(welcome.pid)
    assert process.ppid() != os.getpid()
    assert not [child for child in psutil.Process().children() if child.pid == welcome.pid]
    assert os.getsid(welcome.pid) != os.getsid(0)
    files = {os.readlink(f"/proc/{welcome.pid}/fd/{n}") for n in (0, 1, 2)}  # noqa: PTH115
    assert files == {"/dev/null", str(started.runner_log)}
    with connect_local(started, start=False, timeout=60) as again:
        assert again.welcome.pid == welcome.pid


def test_that_two_clients_starting_at_once_end_up_with_one_runner(started: Places) -> None:
    found: list[int] = []

    def connect() -> None:
        with connect_local(started, timeout=120) as client:
            found.append(client.welcome.pid)

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_that_a_caller_with_pipes_is_not_held_up_from_another_folder(
    started: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a script does it: capture the output of a program that starts the runner. It must end with that program."""
    monkeypatch.delenv("PYTHONPATH")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from engines.protocol.client import connect_local\n"
        "from engines.protocol.places import places\n"
        "print(connect_local(places()).welcome.pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import site; site.main()\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert is_alive(int(done.stdout))


def test_that_a_runner_that_cannot_start_is_explained_with_its_log(short_home: Places) -> None:
    short_home.state.mkdir(parents=True)
    short_home.runtime.write_text("a file where a folder must be")
    with pytest.raises(RunnerError) as caught:
        connect_local(short_home, timeout=60)
    assert caught.value.code == "start"
    assert str(short_home.runtime) in str(caught.value)
    assert str(short_home.runner_log) in caught.value.advice


def test_that_a_runtime_folder_of_somebody_else_is_refused(short_home: Places) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a folder to somebody else")
    short_home.runtime.mkdir(parents=True)
    os.chown(short_home.runtime, 12345, 12345)
    with pytest.raises(RunnerError, match="not a folder of this user's own"):
        connect_local(short_home, timeout=60)


def test_that_calls_side_by_side_get_their_own_answers(runner: RunnerProcess) -> None:
    client = runner.connect()
    runner.submit(make_order("t1", ["sleep", 60]))
    stream = client.stream(messages.Attach(trial="t1"))
    assert isinstance(next(stream), messages.RecordLine)
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(50):
            if not isinstance(client.call(messages.GetQueue()), messages.QueueState):
                wrong.append("queue")
            if not isinstance(client.call(messages.ListSpools()), messages.SpoolList):
                wrong.append("list")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    client.call(messages.Stop(trial="t1", how="kill"))
    assert '"trial_ended"' in [reply.line for reply in stream if isinstance(reply, messages.RecordLine)][-1]


def test_that_a_lost_runner_ends_calls_and_streams_with_a_reason(runner: RunnerProcess) -> None:
    client = runner.connect()
    stream = client.stream(messages.Watch())
    next(stream)
    runner.process.kill()
    runner.process.wait()
    with pytest.raises(RunnerError, match="link to the runner is lost"):
        list(stream)
    with pytest.raises(RunnerError) as caught:
        client.call(messages.GetQueue())
    assert caught.value.code == "link"


def over_pair(serve: Callable[[io.BufferedReader, io.BufferedWriter], None]) -> RunnerClient:
    """A client joined to `serve`, which plays the runner on a thread."""
    ours, theirs = socket.socketpair()

    def play() -> None:
        with theirs, theirs.makefile("rb") as reader, theirs.makefile("wb") as writer:
            serve(reader, writer)

    threading.Thread(target=play, daemon=True).start()

    def hang_up() -> None:
        ours.shutdown(socket.SHUT_RDWR)
        ours.close()

    return RunnerClient(ours.makefile("rb"), ours.makefile("wb"), hang_up=hang_up, timeout=60)


def test_that_a_login_banner_is_passed_over() -> None:
    def serve(reader: io.BufferedReader, writer: io.BufferedWriter) -> None:
        writer.write(f"Welcome to big-machine!\n\xff\n\n{MAGIC} {PROTOCOL_VERSION}\n".encode("latin-1"))
        writer.flush()
        call = decode_call(reader.readline())
        welcome = messages.Welcome(
            version=PROTOCOL_VERSION, pid=7, boot="b", machine="m", clock_wall_ns=1, clock_mono_ns=1
        )
        writer.write(encode_answer(messages.Answer(call.id, welcome)) + b"\n")
        writer.flush()
        reader.read()

    with over_pair(serve) as client:
        assert client.welcome.pid == 7


@pytest.mark.parametrize(
    ("greeting", "message", "code"),
    [
        (f"{MAGIC} 99\n", "speaks protocol version 99", "version"),
        ("bash: python: command not found\n", "link to the runner is lost", "link"),
        ("noise\n" * 500, "not a runner", "not_a_runner"),
    ],
)
def test_that_what_is_no_runner_is_named(greeting: str, message: str, code: str) -> None:
    def serve(_reader: io.BufferedReader, writer: io.BufferedWriter) -> None:
        writer.write(greeting.encode())
        writer.flush()

    with pytest.raises(RunnerError, match=message) as caught:
        over_pair(serve)
    assert caught.value.code == code


# --- the command line -----------------------------------------------------------------------------


def test_that_a_trial_is_run_from_the_command_line(started: Places, tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    orders.write_bytes(encode_order(make_order("t1", ["stamps", 3])) + b"\n" + encode_order(make_order("t2")) + b"\n")
    submitted = engines("submit", str(orders))
    assert (submitted.returncode, submitted.stdout) == (0, "2 trials queued.\n")
    attached = engines("attach", "t1")
    assert attached.returncode == 0, attached.stderr
    kinds = [json.loads(line)["kind"] for line in attached.stdout.splitlines()]
    assert kinds[0] == "trial_started"
    assert kinds[-1] == "trial_ended"
    count = len(kinds)
    assert len(engines("attach", "t1", "--after", str(count - 1)).stdout.splitlines()) == 1
    spools = json.loads(engines("list", "--json").stdout)["spools"]
    assert {spool["trial"] for spool in spools} <= {"t1", "t2"}
    failing = encode_order(make_order("t3", ["exit", 5])).decode()
    assert engines("submit", "-", text=f"[{failing}]").returncode == 0
    failed = engines("attach", "t3")
    assert failed.returncode == 6
    assert "The trial failed. The engine ended with exit code 5" in failed.stderr


def test_that_the_queue_is_steered_from_the_command_line(started: Places) -> None:
    assert json.loads(engines("queue", "--json", "--pause").stdout)["paused"] is True
    engines("submit", "-", text=encode_order(make_order("t1", ["sleep", 60])).decode())
    shown = engines("queue").stdout.splitlines()
    assert shown[0] == "paused"
    assert shown[1].split() == ["t1", "waiting", "fake", "t1"]
    assert engines("stop", "t1").returncode == 0
    assert engines("stop", "nobody").returncode == 3
    assert engines("attach", "nobody").returncode == 3
    assert json.loads(engines("queue", "--json", "--resume").stdout)["paused"] is False


@pytest.mark.parametrize(
    ("arguments", "text"), [(["submit", "-"], "no json"), (["submit", "/no/such/file"], ""), (["frobnicate"], "")]
)
def test_that_wrong_use_has_its_own_exit_code(short_home: Places, arguments: list[str], text: str) -> None:
    done = engines(*arguments, text=text)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_that_connect_joins_a_far_client_through_pipes(started: Places) -> None:
    far = subprocess.Popen(
        [sys.executable, "-m", "engines", "connect"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert far.stdin is not None
    assert far.stdout is not None
    with RunnerClient(far.stdout, far.stdin, hang_up=far.terminate, client="far", timeout=120) as client:
        client.call(messages.Submit(orders=(make_order("t1", ["logs", 50, 1000]),)))
        lines = list(client.stream(messages.Attach(trial="t1")))
        assert len(lines) >= 50
    assert far.wait(timeout=120) is not None


def test_that_connect_says_the_magic_word_first_and_ends_with_its_input(started: Places) -> None:
    done = engines("connect", text="")
    assert done.returncode == 0
    assert done.stdout == f"{MAGIC} {PROTOCOL_VERSION}\n"
