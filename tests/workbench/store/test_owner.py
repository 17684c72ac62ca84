"""One owner per database, everybody else through its socket: also when owners race, fall silent or are killed."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from engines.protocol.places import Places
from tests.house import ROOT, until
from tests.workbench.store_kit import add_experiment, lines, log, started
from workbench.store.open import OwnedStore, ReopeningStore, open_store
from workbench.store.operations import (
    DeleteTrials,
    GetCounts,
    GetStoreId,
    GetTrial,
    Ingest,
    ListExperiments,
    ListTrials,
    Operation,
    Query,
    ReadRecords,
    Rename,
    StoreError,
)
from workbench.store.sharing import lockfile, wire

_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from workbench.store.open import open_store
from workbench.store.operations import *
from tests.workbench.store_kit import *
store, owner = open_store(Path(sys.argv[1]), patience=20)
print("owner" if owner else "guest", flush=True)
for line in sys.stdin:
    if line.strip() == "close":
        break
    print(eval(line), flush=True)
store.close()
"""


class Process:
    """Another process with the database open. `ask` evaluates an expression in it, with `store` in reach."""

    def __init__(self, database: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS.format(root=str(ROOT)), str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def line(self) -> str:
        return self._process.stdout.readline().strip()

    def ask(self, expression: str) -> str:
        self.start(expression)
        return self.line()

    def start(self, expression: str) -> None:
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self._process.kill()
            self._process.communicate()
        else:
            self._process.communicate("close\n")


@contextmanager
def process(database: Path) -> Iterator[Process]:
    other = Process(database)
    try:
        yield other
    finally:
        other.end(kill=True)


@pytest.fixture
def database(tmp_path: Path, home: Places) -> Path:
    return tmp_path / "a.duckdb"


def test_that_the_first_owns_and_the_second_asks(database: Path) -> None:
    owner, owns = open_store(database)
    guest, guest_owns = open_store(database)
    assert (owns, guest_owns) == (True, False)
    add_experiment(guest, "t-1", "t-2")
    assert guest.execute(ListTrials()) == owner.execute(ListTrials())
    assert guest.execute(GetStoreId()) == owner.execute(GetStoreId())
    assert guest.execute(Query(sql="SELECT [1, 2] AS a, NULL AS b, 0.5::DOUBLE AS c")).rows == (([1, 2], None, 0.5),)
    assert guest.execute(Rename(experiment="e-1", name="x")) is None
    assert owner.execute(ListExperiments())[0].name == "x"
    guest.close()
    owner.close()


def test_that_the_socket_is_for_its_user_only_and_goes_with_the_owner(database: Path) -> None:
    owner, _ = open_store(database)
    path = database.with_name("a.duckdb.sock")
    assert path.stat().st_mode & 0o777 == 0o600
    owner.close()
    owner.close()
    assert not path.exists()


def test_that_errors_reach_the_guest_whole(database: Path) -> None:
    owner, _ = open_store(database)
    guest, _ = open_store(database)
    errors = []
    for store in (owner, guest):
        with pytest.raises(StoreError) as caught:
            store.execute(GetTrial(trial="t-9"))
        errors.append((str(caught.value), caught.value.advice, caught.value.code))
    assert errors[0] == errors[1]
    guest.close()
    owner.close()


def test_that_a_path_through_a_link_meets_the_same_owner(database: Path, tmp_path: Path) -> None:
    owner, _ = open_store(database)
    (tmp_path / "link").symlink_to(tmp_path)
    guest, owns = open_store(tmp_path / "link" / "a.duckdb")
    assert not owns
    guest.close()
    owner.close()


def test_that_a_long_path_gets_a_short_socket(tmp_path: Path, home: Places) -> None:
    database = tmp_path / ("long" * 20) / ("name" * 20) / "a.duckdb"
    owner, _ = open_store(database)
    guest, owns = open_store(database)
    assert not owns
    assert guest.execute(ListTrials()) == ()
    holder = lockfile.holder(database)
    assert len(holder.socket) <= 100
    guest.close()
    owner.close()
    assert not Path(holder.socket).exists()


def test_that_the_owner_hears_of_what_guests_did(database: Path) -> None:
    heard: list[Operation[object]] = []
    owner, _ = open_store(database, listener=heard.append)
    guest, _ = open_store(database)
    add_experiment(guest, "t-1")
    guest.execute(DeleteTrials(trials=("t-1",)))
    assert [type(o).__name__ for o in heard] == ["GetStoreId", "AddExperiment", "DeleteTrials"]
    guest.close()
    owner.close()


def test_that_a_guest_that_leaves_or_sends_nonsense_harms_nobody(database: Path) -> None:
    owner, _ = open_store(database)
    for nonsense in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x05hello", b"\xff\xff\xff\xff"):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(database.with_name("a.duckdb.sock")))
            link.sendall(nonsense)
    guest, _ = open_store(database)
    assert guest.execute(ListTrials()) == ()
    guest.close()
    owner.close()


def test_that_a_length_that_is_nonsense_takes_no_memory() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"GET / HTTP/1.1\r\n\r\n")  # read as a length: 1.2 GB
        there.shutdown(socket.SHUT_WR)
        tracemalloc.start()
        assert wire.receive_frame(here) is None
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 16 << 20


def test_that_another_wire_version_is_told_so(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with process(database) as owner:
        assert owner.line() == "owner"
        monkeypatch.setattr(wire, "WIRE_VERSION", wire.WIRE_VERSION + 1)
        with pytest.raises(StoreError, match=f"process {owner.pid}") as caught:
            open_store(database)
        assert caught.value.code == "version"


def test_that_an_operation_the_owner_does_not_know_is_told_so(database: Path) -> None:
    class Unheard(Operation[int], frozen=True, kw_only=True):
        pass

    owner, _ = open_store(database)
    guest, _ = open_store(database)
    with pytest.raises(StoreError) as caught:
        guest.execute(Unheard())
    assert caught.value.code == "version"
    assert guest.execute(ListTrials()) == ()
    guest.close()
    owner.close()


def test_that_readers_get_whole_answers_while_records_come_in(database: Path) -> None:
    owner, _ = open_store(database)
    add_experiment(owner, "t-1")
    done = threading.Event()
    counting = "(SELECT count(*) FROM {})"

    def read() -> int:
        guest, _ = open_store(database)
        asked = 0
        while not done.is_set() or not asked:
            last = guest.execute(GetTrial(trial="t-1")).last_seq
            assert len(guest.execute(ReadRecords(trial="t-1"))) >= last
            row = guest.execute(
                Query(
                    sql=f"SELECT (SELECT last_seq FROM trials), {counting.format('records')}, {counting.format('logs')}"
                )
            ).rows[0]
            assert row[0] == row[1] == row[2], "a reader saw half of a batch"
            asked += 1
        guest.close()
        return asked

    with ThreadPoolExecutor(4) as pool:
        reading = [pool.submit(read) for _ in range(3)]
        for first in range(1, 1201, 40):
            owner.execute(Ingest(trial="t-1", lines=lines(log(seq) for seq in range(first, first + 40))))
        done.set()
        assert all(reader.result() > 0 for reader in reading)
    assert owner.execute(GetTrial(trial="t-1")).last_seq == 1200
    owner.close()


def test_that_a_long_query_keeps_nobody_waiting_and_ends_with_the_store(database: Path) -> None:
    owner, _ = open_store(database)
    guest, _ = open_store(database)
    endless = Query(sql="SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 1")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(guest.execute, endless)
        time.sleep(0.2)
        assert not answer.done()
        add_experiment(owner, "t-1")
        assert len(guest.execute(ListTrials())) == 1
        owner.close()
        with pytest.raises(StoreError) as caught:
            answer.result(timeout=60)
        assert caught.value.code == "owner_gone"
    guest.close()


def test_that_what_a_killed_guest_asked_is_given_up(database: Path) -> None:
    endless = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 1"
    owner, _ = open_store(database)
    assert isinstance(owner, OwnedStore)
    with process(database) as guest:
        assert guest.line() == "guest"
        guest.start(f"store.execute(Query(sql={endless!r}))")
        until(lambda: owner.reading == 1, what="the query runs")
        guest.end(kill=True)
        until(lambda: owner.reading == 0, what="it is given up")
    assert owner.execute(ListTrials()) == ()
    owner.close()


def test_that_nobody_buffers_what_comes_before_a_greeting(database: Path) -> None:
    owner, _ = open_store(database)
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(database.with_name("a.duckdb.sock")))
        link.sendall((1 << 20).to_bytes(4, "big"))
        assert link.recv(1) == b"", "it hangs up without waiting for a megabyte"
    owner.close()


def test_that_only_its_user_may_read_a_database(database: Path, home: Places) -> None:
    before = os.umask(0o022)
    try:
        for path in (database, home.database):
            made, _ = open_store(path)
            add_experiment(made, "t-1")
            made.execute(Ingest(trial="t-1", lines=lines([started()])))
            files = [file for file in path.parent.iterdir() if file.is_file()]
            assert path.with_name(f"{path.name}.wal") in files
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
            made.close()
        assert stat.S_IMODE(home.data.stat().st_mode) == 0o700
        database.chmod(0o644)  # as an earlier version made it
        home.data.chmod(0o755)
        for path in (database, home.database):
            open_store(path)[0].close()
        assert stat.S_IMODE(database.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.data.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_that_of_processes_that_race_exactly_one_becomes_the_owner(database: Path) -> None:
    racing = [Process(database) for _ in range(4)]
    try:
        assert sorted(p.line() for p in racing) == ["guest", "guest", "guest", "owner"]
        assert len({p.ask("store.execute(GetStoreId())") for p in racing}) == 1
    finally:
        for each in racing:
            each.end(kill=True)


def test_that_a_guest_goes_on_as_the_owner_when_the_owner_is_killed(database: Path) -> None:
    changes: list[int] = []
    with process(database) as owner:
        assert owner.line() == "owner"
        store = ReopeningStore(database, on_owner_change=lambda: changes.append(1))
        assert not store.is_owner
        add_experiment(store, "t-1")
        store.execute(Ingest(trial="t-1", lines=lines([started(), log(2)])))
        owner.end(kill=True)
    assert database.with_name("a.duckdb.sock").exists(), "a killed owner leaves its socket behind"
    assert store.execute(GetTrial(trial="t-1")).last_seq == 2
    assert (store.is_owner, changes) == (True, [1])
    with process(database) as guest:
        assert guest.line() == "guest"
        assert guest.ask("store.execute(GetCounts()).trials") == "1"
    store.close()
    with pytest.raises(StoreError) as caught:
        store.execute(GetCounts())
    assert caught.value.code == "closed"


def test_that_several_threads_of_a_guest_survive_the_owner_together(database: Path) -> None:
    with process(database) as owner:
        assert owner.line() == "owner"
        store = ReopeningStore(database)
        add_experiment(store, "t-1")
        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(lambda: [len(store.execute(ListTrials())) for _ in range(40)]) for _ in range(4)]
            owner.end(kill=True)
            assert all(set(answers.result()) == {1} for answers in asking)
    assert store.is_owner
    store.close()


def test_that_a_plain_guest_is_told_that_the_owner_has_gone(database: Path) -> None:
    owner, _ = open_store(database)
    guest, _ = open_store(database)
    owner.close()
    with pytest.raises(StoreError, match=f"Process {os.getpid()}") as caught:
        guest.execute(ListTrials())
    assert caught.value.code == "owner_gone"
    assert "Open the database again" in caught.value.advice
    guest.close()


def test_that_an_owner_that_is_silent_is_named(database: Path) -> None:
    with process(database) as owner:
        assert owner.line() == "owner"
        owner.signal(signal.SIGSTOP)
        with pytest.raises(StoreError, match=f"Process {owner.pid}") as caught:
            open_store(database, patience=0.5)
        assert caught.value.code == "locked"
        assert "--database" in caught.value.advice
        owner.signal(signal.SIGCONT)
        guest, owns = open_store(database)
        assert not owns
        guest.close()


def test_that_a_database_that_cannot_be_opened_frees_the_lock(database: Path) -> None:
    database.write_bytes(b"not a database" * 1000)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            open_store(database)
        assert caught.value.code == "damaged"
    database.unlink()
    store, owns = open_store(database)
    assert owns
    store.close()


def test_that_a_child_of_the_owner_does_not_keep_the_lock(database: Path) -> None:
    owner, _ = open_store(database)
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        owner.close()
        again, owns = open_store(database)
        assert owns
        again.close()
        child.communicate(b"")


def test_that_a_guest_that_found_nobody_to_ask_asks_again_next_time(database: Path) -> None:
    with process(database) as owner:
        assert owner.line() == "owner"
        store = ReopeningStore(database, patience=0.2)
        add_experiment(store, "t-1")
        owner.end(kill=True)
    silent = lockfile.try_lock(database)  # the next owner, which is slow to open the file
    assert silent is not None
    with pytest.raises(StoreError) as caught:
        store.execute(ListTrials())
    assert caught.value.code == "locked"
    silent.release()
    assert len(store.execute(ListTrials())) == 1
    assert store.is_owner
    store.close()


def test_that_a_second_closing_leaves_the_next_owners_socket_alone(database: Path) -> None:
    first, _ = open_store(database)
    first.close()
    second, owns = open_store(database)
    assert owns
    first.close()
    guest, owns = open_store(database)
    assert not owns
    guest.close()
    second.close()


def test_that_a_process_that_is_being_started_does_not_keep_the_lock(database: Path) -> None:
    held = lockfile.try_lock(database)
    between_fork_and_program = os.dup(held._descriptor)
    held.release()
    again = lockfile.try_lock(database)
    again.release()
    os.close(between_fork_and_program)


def test_that_nothing_heavy_is_imported_before_a_store_is_opened() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import workbench.store.open, workbench.store.operations, workbench.store.records\n"
        "print([m for m in ('duckdb', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(ROOT)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
