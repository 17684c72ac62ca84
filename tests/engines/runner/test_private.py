"""What a runner writes: for its user alone, and without the secrets that trials were submitted with."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import msgspec
import pytest

from engines.protocol import messages
from engines.protocol.client_environment import client_environment, never_written
from engines.protocol.places import Places
from engines.protocol.records import Environment, Log, TrialEnded
from tests.engines.runner_harness import RunnerProcess, make_order

TOKEN = 'hf_neverToBeWritten"Anywhere'
PROXY = "http://me:hunter2@proxy.example:3128"


@pytest.fixture
def open_handed(short_home: Places) -> Iterator[RunnerProcess]:
    """A runner of a user whose files are everybody's to read by default."""
    before = os.umask(0o022)
    short_home.state.mkdir(parents=True)
    short_home.runner_log.touch(0o600)
    try:
        running = RunnerProcess(short_home)
        running.start("--grace-seconds", "0.5")
        yield running
        running.end()
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["HF_TOKEN", "HTTPS_PROXY"])
def test_that_no_secret_reaches_a_file_or_a_client_whoever_says_it(open_handed: RunnerProcess, name: str) -> None:
    """A library may print its variables; an error may name the proxy with its password."""
    order = make_order("t1", ["betray", name])
    environment, secrets = client_environment({"HF_TOKEN": TOKEN, "HTTPS_PROXY": PROXY})
    assert set(secrets.values()) == {TOKEN, PROXY}
    order = msgspec.structs.replace(order, environment=environment)
    open_handed.client.call(messages.Submit(orders=(order,), secrets=secrets))
    records = open_handed.records("t1")
    texts = [r.text for r in records if isinstance(r, Log)]
    assert {"stdout [hidden]", "stderr [hidden]", "log [hidden]"} <= set(texts)
    assert "[hidden]" in [r.facts.get("betrayed") for r in records if isinstance(r, Environment)]
    ends = [(r.message, r.advice) for r in records if isinstance(r, TrialEnded)]
    assert ends == [("refused [hidden]", "advice [hidden]")]
    state = open_handed.client.call(messages.GetQueue())
    assert isinstance(state, messages.QueueState)
    assert [entry.message for entry in state.entries] == ["refused [hidden]"]
    written = [path for path in open_handed.places.state.parent.rglob("*") if path.is_file()]
    assert {"records.jsonl", "order.json", "queue.json"} <= {path.name for path in written}
    for path in written:
        data = path.read_bytes()
        assert not any(word in data for word in (b"neverToBeWritten", b"hunter2")), path


def test_that_short_values_do_not_blot_out_words() -> None:
    assert never_written({"HF_TOKEN": "", "X": "abc"}) == ()
    assert never_written({"X": PROXY}) == (PROXY.encode(), b"me:hunter2")


def test_that_what_a_runner_writes_is_its_users_alone(open_handed: RunnerProcess) -> None:
    open_handed.client.call(messages.Submit(orders=(make_order("t1", ["print", "x\n"]), make_order("t2"))))
    open_handed.records("t1")
    open_handed.records("t2")
    runtime, state = open_handed.places.runtime, open_handed.places.state
    found = [state, runtime, *state.rglob("*"), *runtime.rglob("*")]
    assert open_handed.places.runner_socket in found
    others = stat.S_IRWXG | stat.S_IRWXO
    assert [str(path) for path in found if path.stat().st_mode & others] == []
