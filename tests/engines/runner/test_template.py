"""Workers forked from a template: a real runner, the real template process, a fake engine."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engines.protocol import messages
from engines.protocol.orders import EngineOrder, EnvironmentOrder, Limits, TrialOrder
from engines.protocol.places import Places
from engines.protocol.records import Log, Record, TrialEnded, TrialStarted
from engines.runner.settings import TEMPLATE_SECONDS_VARIABLE, TEMPLATE_VARIABLE
from engines.worker.template import memory, obstacle
from tests.engines.runner_harness import RunnerProcess, is_alive, make_order, until
from tests.engines.worker_harness import facts_of

FAKE = Path(__file__).with_name("fake_template.py")
Start = Callable[..., RunnerProcess]


@pytest.fixture
def start(short_home: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a runner whose template is the fake one, with a behaviour and short patience."""
    running: list[RunnerProcess] = []

    def begin(behaviour: str = "", seconds: str = "60,60,600") -> RunnerProcess:
        monkeypatch.setenv(TEMPLATE_VARIABLE, shlex.join([sys.executable, str(FAKE)]))
        monkeypatch.setenv(TEMPLATE_SECONDS_VARIABLE, seconds)
        monkeypatch.setenv("FAKE_TEMPLATE", behaviour)
        running.append(RunnerProcess(short_home))
        running[-1].start("--grace-seconds", "0.5")
        return running[-1]

    yield begin
    for process in running:
        process.end()


def order(trial: str, *steps: list[object], block: int = 0, limits: Limits | None = None) -> TrialOrder:
    made = make_order(trial, *steps, engine=EngineOrder(start_method="template"), limits=limits or Limits())
    return msgspec.structs.replace(made, block=block)


def started(records: list[Record]) -> TrialStarted:
    assert isinstance(records[0], TrialStarted), "the first record, whatever happened before"
    return records[0]


def ended(records: list[Record]) -> TrialEnded:
    assert isinstance(records[-1], TrialEnded)
    return records[-1]


def logged(records: list[Record]) -> str:
    return "\n".join(r.text for r in records if isinstance(r, Log))


def test_that_a_forked_worker_is_like_a_started_one(start: Start, tmp_path: Path) -> None:
    runner = start()
    steps: list[list[object]] = [["tell_self", str(tmp_path / "self")], ["print", "hello\n"], ["complain", "oh\n"]]
    runner.submit(order("t1", *steps))
    records = runner.records("t1")
    told = json.loads((tmp_path / "self").read_text())
    assert ended(records).outcome == "completed"
    assert started(records).start_method == told["start_method"] == "template"
    assert told["pid"] == started(records).worker_pid == told["session"]
    assert told["parent"] == runner.pid, "the runner itself waits for it and takes it along"
    assert told["oom_score_adj"] == 1000
    assert told["affinity"] == list(started(records).processors)
    assert told["threads"] == started(records).threads
    assert told["stdin"] == "/dev/null"
    assert told["folder"].endswith("t1")
    assert told["mark"].endswith(":t1")
    # 4 is the ring's, which the worker has opened itself
    assert (told["records"], told["descriptors"]) == (3, [0, 1, 2, 3, 4]), "nothing of the template's is left open"
    assert "hello" in logged(records)
    assert "oh" in logged(records)
    assert int(facts_of(records)["template.pss_bytes"]) > 1 << 20
    assert "hash seed" in facts_of(records)["template.shared"]
    assert "start.fallback" not in facts_of(records)


def test_that_a_block_shares_a_template_and_the_next_block_has_another(start: Start) -> None:
    runner = start()
    runner.submit(order("t1"), order("t2"), order("t3", block=1))
    first, second, third = (facts_of(runner.records(trial)) for trial in ("t1", "t2", "t3"))
    assert first["template.pid"] == second["template.pid"] != third["template.pid"]
    assert (first["template.forks"], second["template.forks"], third["template.forks"]) == ("1", "2", "1")
    until(lambda: not is_alive(int(first["template.pid"])), what="the first block's template is ended")
    assert is_alive(int(third["template.pid"]))


def test_that_a_template_belongs_to_one_environment(start: Start, tmp_path: Path) -> None:
    """What libraries read when they are imported cannot be changed in a fork; a secret is none of that, and is."""
    runner = start()

    def submit(trial: str, value: str, token: str) -> dict[str, str]:
        environment = EnvironmentOrder(variables={"MKL_DYNAMIC": value}, secrets=("HF_TOKEN",))
        wanted = msgspec.structs.replace(order(trial, ["tell_self", str(tmp_path / trial)]), environment=environment)
        runner.client.call(messages.Submit(orders=(wanted,), secrets={"HF_TOKEN": token}))
        return facts_of(runner.records(trial))

    told = [submit("t1", "FALSE", "one"), submit("t2", "FALSE", "two"), submit("t3", "TRUE", "two")]
    assert told[0]["template.pid"] == told[1]["template.pid"] != told[2]["template.pid"]
    seen = [json.loads((tmp_path / trial).read_text())["environment"] for trial in ("t1", "t2", "t3")]
    assert [(s["MKL_DYNAMIC"], s["HF_TOKEN"]) for s in seen] == [("FALSE", "one"), ("FALSE", "two"), ("TRUE", "two")]


def test_that_a_killed_template_is_replaced_and_its_worker_goes_on(start: Start, tmp_path: Path) -> None:
    runner = start()
    go = tmp_path / "go"
    runner.submit(order("t1", ["phase", "measure"], ["wait_for", str(go)], ["stamps", 3]), order("t2"))
    until(lambda: runner.entry("t1").phase == "measure")
    template = _template_of(runner)
    os.kill(template, signal.SIGKILL)
    until(lambda: not is_alive(template))
    go.touch()
    first, second = runner.records("t1"), runner.records("t2")
    assert ended(first).outcome == ended(second).outcome == "completed"
    assert started(second).start_method == "template"
    assert facts_of(second)["template.pid"] != str(template)


def _template_of(runner: RunnerProcess) -> int:
    """The runner's child that is no worker: a session of its own whose command is the fake template, and oldest."""
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
    return min(int(pid) for pid in children)


@pytest.mark.parametrize(
    ("behaviour", "seconds", "why"),
    [
        ("slow", "0.5,60,600", "did not get ready within 0.5 s"),
        ("refusing", "60,60,600", "has 2 threads"),
        ("silent", "60,0.5,600", "said nothing within 0.5 s"),
        ("crashing", "60,60,600", "ended with exit code 7 before its first word: ImportError: no such library"),
    ],
)
def test_that_a_template_that_fails_is_replaced_by_plain_starts(
    start: Start, behaviour: str, seconds: str, why: str
) -> None:
    runner = start(behaviour, seconds)
    runner.submit(order("t1", ["stamps", 3]), order("t2"))
    for trial in ("t1", "t2"):
        records = runner.records(trial)
        assert ended(records).outcome == "completed"
        assert started(records).start_method == "plain"
        assert sum(isinstance(r, TrialStarted) for r in records) == 1
        assert why in facts_of(records)["start.fallback"]
        assert "started plainly" in logged(records)
    if behaviour == "crashing":
        said = [r.text for r in runner.records("t1") if isinstance(r, Log) and r.source == "stderr"]
        assert said == ["Traceback (most recent call last):", "ImportError: no such library"]
    until(lambda: not Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split())


def test_that_a_template_with_a_second_thread_refuses_to_fork(start: Start) -> None:
    runner = start("threaded")
    runner.submit(order("t1"), order("t2"), order("t3"))
    first, second, third = (runner.records(trial) for trial in ("t1", "t2", "t3"))
    assert started(first).start_method == "template"
    assert started(second).start_method == "plain"
    assert "has 2 threads; only one that has a single thread may fork" in facts_of(second)["start.fallback"]
    assert started(third).start_method == "template", "a new template"
    assert facts_of(third)["template.pid"] != facts_of(first)["template.pid"]


def test_that_ends_of_forked_workers_are_told_apart(start: Start) -> None:
    runner = start()
    runner.submit(
        order("t1", ["stamps", 4], ["signal", signal.SIGKILL]),
        order("t2", ["exit", 9]),
        order("t3", ["fail", "fetch", "Broken.\nFetch it again."]),
        order("t4", ["allocate", 8 << 30], limits=Limits(address_space_bytes=1 << 30)),
    )
    kinds = [(e.exit_code, e.failure) for e in (ended(runner.records(f"t{n}")) for n in range(1, 5))]
    assert kinds == [(-9, "killed"), (9, "engine"), (3, "fetch"), (1, "out_of_memory")]


def test_that_what_a_forked_worker_leaves_behind_is_killed(start: Start, tmp_path: Path) -> None:
    runner = start()
    path = tmp_path / "daemon"
    runner.submit(order("t1", ["daemon", str(path)]), order("t2"))
    assert "left 1 processes behind" in logged(runner.records("t1"))
    assert not is_alive(int(path.read_text()))
    assert started(runner.records("t2")).start_method == "template", "the template was spared"
    assert facts_of(runner.records("t2"))["template.forks"] == "2"


def test_that_forked_workers_and_the_template_die_with_the_runner(start: Start) -> None:
    runner = start()
    runner.submit(order("t1", ["phase", "measure"], ["ignore_sigterm"], ["sleep", 60]))
    until(lambda: runner.entry("t1").phase == "measure")
    children = [int(p) for p in Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()]
    assert len(children) == 2
    runner.kill()
    until(lambda: not any(is_alive(pid) for pid in children))


def test_that_a_template_nobody_needs_is_ended(start: Start) -> None:
    runner = start("", "60,60,0.3")
    runner.submit(order("t1"))
    template = int(facts_of(runner.records("t1"))["template.pid"])
    until(lambda: not is_alive(template))
    runner.submit(order("t2"))
    assert started(runner.records("t2")).start_method == "template"


def test_that_a_template_sleeps_between_its_forks(start: Start, tmp_path: Path) -> None:
    runner = start()
    runner.submit(order("t1", ["phase", "measure"], ["wait_for", str(tmp_path / "go")]))
    until(lambda: runner.entry("t1").phase == "measure")
    template = _template_of(runner)

    def sleeps() -> bool:
        """It has not run for 0.4 s; its own way back from the fork may still come to an end in the first of them."""
        before = Path(f"/proc/{template}/schedstat").read_text()
        time.sleep(0.4)
        return Path(f"/proc/{template}/schedstat").read_text() == before

    until(sleeps)
    (tmp_path / "go").touch()
    assert ended(runner.records("t1")).outcome == "completed"


def test_that_a_trial_can_be_stopped_while_its_template_is_made(start: Start) -> None:
    runner = start("slow", "120,60,600")
    runner.submit(order("t1"))
    until(lambda: runner.entry("t1").text == "Making the worker")
    runner.client.call(messages.Stop(trial="t1"))
    assert (ended(runner.records("t1")).outcome, runner.entry("t1").message) == ("stopped", "Stopped by the user.")


def test_that_plain_orders_make_no_template(start: Start) -> None:
    runner = start()
    runner.submit(make_order("t1", ["sleep", 0.2]))
    until(lambda: runner.entry("t1").state == "running")
    assert started(runner.records("t1")).start_method == "plain"
    assert not Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()


def test_that_an_open_gpu_is_an_obstacle(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nThreads:\t1\n")
    (tmp_path / "fd").mkdir()
    (tmp_path / "fd" / "0").symlink_to("/dev/null")
    assert obstacle(tmp_path) == ""
    (tmp_path / "fd" / "9").symlink_to("/dev/nvidia0")
    assert "GPU" in obstacle(tmp_path)


def test_that_memory_without_the_kernels_word_is_zero(tmp_path: Path) -> None:
    assert memory(tmp_path) == (0, 0)
    (tmp_path / "smaps_rollup").write_text("55 rollup\nRss:  2000 kB\nPss:  1500 kB\n")
    assert memory(tmp_path) == (1500 * 1024, 2000 * 1024)
