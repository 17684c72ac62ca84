"""What a trial gets of the command that submitted it, whoever started the runner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.protocol import messages
from engines.protocol.client_environment import (
    client_environment,
    list_of,
    processors_of,
    submission,
    surroundings,
    variable_facts,
)
from engines.protocol.orders import EngineOrder, EnvironmentOrder, TrialOrder
from engines.protocol.places import Places
from engines.protocol.records import Log, TrialStarted
from tests.engines.runner_harness import ROOT, RunnerProcess, end_runner, make_order, until
from tests.engines.worker_harness import facts_of

TOKEN = "hf_neverToBeWrittenAnywhere"
PROXY = "http://me:hunter2@proxy.example:3128"
_VARIABLES = {
    "HF_TOKEN": TOKEN,
    "HTTPS_PROXY": PROXY,
    "http_proxy": "http://proxy.example:3128",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "3",
    "HF_HOME": "/scratch/hub",
    "HF_TOKEN_PATH": "/home/me/token",
    "LLAMA_API_KEY": "sk-1",
    "NCCL_DEBUG": "INFO",
    "LANG": "C",
}


def test_that_secrets_travel_beside_the_order() -> None:
    environment, secrets = client_environment(_VARIABLES)
    assert secrets == {"HF_TOKEN": TOKEN, "HTTPS_PROXY": PROXY}
    assert set(environment.secrets) == set(secrets)
    assert set(environment.variables) == {
        *("http_proxy", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HOME", "HF_TOKEN_PATH")
    }
    assert environment.not_passed_on == ("LLAMA_API_KEY", "NCCL_DEBUG"), "said, without their values"
    assert environment.processors == list_of(os.sched_getaffinity(0))


def test_that_a_worker_has_the_clients_variables_and_no_others_of_their_kind() -> None:
    environment, secrets = client_environment(_VARIABLES)
    runner = {"PATH": "/bin", "MKL_NUM_THREADS": "64", "HF_TOKEN": "another", "HF_HOME": "/old", "NCCL_DEBUG": "WARN"}
    assert surroundings(runner, environment, secrets) == {
        "PATH": "/bin",
        "NCCL_DEBUG": "WARN",
        "HF_TOKEN": TOKEN,
        "HTTPS_PROXY": PROXY,
        **environment.variables,
    }
    assert surroundings(runner, None, {}) == runner, "a client that says nothing has the runner's"


def test_that_facts_hold_no_secret_and_say_what_was_overruled() -> None:
    environment, secrets = client_environment(_VARIABLES)
    here = {**environment.variables, **secrets, "OMP_NUM_THREADS": "1", "LLAMA_API_KEY": "sk-1", "MKL_CBWR": "AVX2"}
    assert variable_facts(environment, here) == {
        "variable.CUDA_VISIBLE_DEVICES": "set, empty",
        "variable.HF_HOME": "/scratch/hub",
        "variable.HF_TOKEN_PATH": "/home/me/token",
        "variable.MKL_CBWR": "AVX2",
        "variable.OMP_NUM_THREADS": "1",
        "variable.http_proxy": "http://proxy.example:3128",
        "client.overruled": "OMP_NUM_THREADS=3",
    }


@given(st.sets(st.integers(0, 300)))
def test_that_processors_survive_their_list(processors: set[int]) -> None:
    assert processors_of(EnvironmentOrder(processors=list_of(processors))) == processors


def test_that_a_list_nobody_can_read_restricts_nothing() -> None:
    assert list_of([8, 0, 1, 2, 3]) == "0-3,8"
    assert processors_of(EnvironmentOrder(processors="all")) == processors_of(None) == set()


# --- with a runner --------------------------------------------------------------------------------


@pytest.fixture
def foreign_runner(short_home: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunnerProcess]:
    """One that was started from a shell with settings of its own."""
    with monkeypatch.context() as shell:
        shell.setenv("OPENBLAS_CORETYPE", "Haswell")
        shell.setenv("HF_HOME", "/the/first/shell")
        running = RunnerProcess(short_home)
        running.start("--grace-seconds", "0.5")
    yield running
    running.end()


def submit(runner: RunnerProcess, order: TrialOrder, variables: dict[str, str], processors: str = "") -> None:
    environment, secrets = client_environment(variables)
    environment = msgspec.structs.replace(environment, processors=processors or environment.processors)
    order = msgspec.structs.replace(order, environment=environment)
    runner.client.call(messages.Submit(orders=(order,), secrets=secrets))


def test_that_a_worker_runs_in_the_submitters_environment(foreign_runner: RunnerProcess, tmp_path: Path) -> None:
    submit(foreign_runner, make_order("t1", ["tell_self", str(tmp_path / "self")]), _VARIABLES)
    facts = facts_of(foreign_runner.records("t1"))
    told = json.loads((tmp_path / "self").read_text())
    seen = told["environment"]
    assert (seen["HF_HOME"], seen["HF_TOKEN"], seen["HTTPS_PROXY"]) == ("/scratch/hub", TOKEN, PROXY)
    assert "OPENBLAS_CORETYPE" not in seen, "what the first shell had set is not this client's"
    assert told["threads"] == 3, "OMP_NUM_THREADS counts where the order leaves the threads open"
    assert facts["client.not_passed_on"] == "LLAMA_API_KEY, NCCL_DEBUG"
    assert facts["client.secrets"] == "HF_TOKEN, HTTPS_PROXY"


def test_that_threads_of_the_order_come_before_the_clients(foreign_runner: RunnerProcess) -> None:
    submit(foreign_runner, make_order("t1", engine=EngineOrder(threads=2)), _VARIABLES)
    (started,) = (r for r in foreign_runner.records("t1") if isinstance(r, TrialStarted))
    assert started.threads == 2


def test_that_a_worker_keeps_to_the_processors_of_the_submitter(foreign_runner: RunnerProcess, tmp_path: Path) -> None:
    first = min(os.sched_getaffinity(0))  # the one that a worker leaves free by default
    submit(foreign_runner, make_order("t1", ["tell_self", str(tmp_path / "self")]), {}, str(first))
    facts = facts_of(foreign_runner.records("t1"))
    assert json.loads((tmp_path / "self").read_text())["affinity"] == [first]
    assert (facts["client.processors"], facts["worker.processors"]) == (str(first), str(first))


def test_that_processors_which_are_not_here_restrict_nothing(foreign_runner: RunnerProcess) -> None:
    submit(foreign_runner, make_order("t1"), {}, "4000")
    (started,) = (r for r in foreign_runner.records("t1") if isinstance(r, TrialStarted))
    assert set(started.processors) <= os.sched_getaffinity(0)


def test_that_a_secret_is_written_nowhere(foreign_runner: RunnerProcess, tmp_path: Path) -> None:
    go = tmp_path / "go"
    submit(foreign_runner, make_order("t1", ["wait_for", str(go)]), _VARIABLES)
    submit(foreign_runner, make_order("t2"), _VARIABLES)
    foreign_runner.until_state("t1", "running")
    written = _files_of(foreign_runner.places)
    go.touch()
    records = foreign_runner.records("t1")
    foreign_runner.records("t2")
    for name, content in {**written, **_files_of(foreign_runner.places)}.items():
        assert TOKEN.encode() not in content, name
        assert b"hunter2" not in content, name
    assert TOKEN not in str(records)


def _files_of(places: Places) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in places.state.rglob("*") if path.is_file()}


def test_that_a_restarted_runner_says_that_it_has_the_secret_no_longer(
    foreign_runner: RunnerProcess, tmp_path: Path
) -> None:
    foreign_runner.client.call(messages.SetPaused(paused=True))
    submit(foreign_runner, make_order("t1", ["tell_self", str(tmp_path / "self")]), _VARIABLES)
    foreign_runner.kill()
    foreign_runner.start()
    foreign_runner.client.call(messages.SetPaused(paused=False))
    records = foreign_runner.records("t1")
    assert facts_of(records)["client.secrets_lost"] == "HF_TOKEN, HTTPS_PROXY"
    assert any("Submit the trial again" in r.text for r in records if isinstance(r, Log))
    seen = json.loads((tmp_path / "self").read_text())["environment"]
    assert (seen["HF_HOME"], seen.get("HF_TOKEN")) == ("/scratch/hub", None)


def test_that_a_command_hands_over_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    asked = submission([make_order("t1")])
    assert asked.secrets["HF_TOKEN"] == TOKEN
    (order,) = asked.orders
    assert order.environment.variables["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert TOKEN.encode() not in msgspec.json.encode(order)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_that_the_command_which_happens_to_start_the_runner_binds_no_other(short_home: Places, tmp_path: Path) -> None:
    first = min(os.sched_getaffinity(0))
    code = f"import os, sys; os.sched_setaffinity(0, [{first}]); os.execv(sys.executable, sys.argv[1:])"
    probe = [sys.executable, "-m", "engines", "probe", "--json"]
    try:
        subprocess.run([sys.executable, "-c", code, *probe], cwd=ROOT, check=True, capture_output=True, timeout=120)
        pid = int(short_home.runner_lock.read_text())
        until(lambda: os.sched_getaffinity(pid) >= os.sched_getaffinity(0), what="the runner may use every processor")
    finally:
        end_runner(short_home)
