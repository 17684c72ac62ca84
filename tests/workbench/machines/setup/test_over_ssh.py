"""Machines set up, tried and used over a real sshd, by the command line."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engines.runner.settings import WORKER_VARIABLE
from tests.house import ROOT, House
from tests.small_disk import small_disk as mounted_disk
from tests.sshd import Network, Sshd
from workbench.experiment.file import dump
from workbench.machines.machine import Machine, Ssh, find, keep
from workbench.machines.restart import renew_runner
from workbench.machines.setup.lock import Lock, lock
from workbench.machines.setup.plan import Choice
from workbench.machines.setup.run import SetUpFailed, SetUpRun, look
from workbench.machines.setup.target import shell_of, with_python
from workbench.machines.setup.wheel import engines_wheel


def until(true: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def a_machine(house: House, computer: Sshd, **variables: str) -> Machine:
    """A computer on which nothing of this project is, as a machine that is not set up."""
    computer.stop()
    computer.environment = {"PIP_RETRIES": "1", **variables}
    computer.start()
    machine = Machine(id=computer.name, title=computer.name, reach=Ssh(host=computer.name, home=computer.reach.home))
    keep(house.places, machine)
    return machine


def engines_folder(computer: Sshd) -> Path:
    return computer.places.data / "engines"


def use_sleeping_worker(computer: Sshd, python: str) -> None:
    """Its runner starts that stand-in, with its own engines."""
    computer.stop()
    computer.environment[WORKER_VARIABLE] = f"{python} {ROOT / 'tests' / 'sleeping_worker.py'}"
    computer.start()


def pretend_engine(python: str) -> None:
    """What the plan asks of a machine before the stand-in may run there."""
    packages = next(Path(python).parents[1].glob("lib/python*/site-packages"))
    for name in ("torch", "transformers", "accelerate"):
        info = packages / f"{name}-5.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 5.2\n")


@contextlib.contextmanager
def silent_index() -> Iterator[str]:
    """A package index that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple"
        server.shutdown(socket.SHUT_RDWR)
        for link in taken:
            link.close()


@pytest.mark.wheel
@pytest.mark.timeout(900)
def test_that_a_machine_that_was_set_up_runs_trials_with_these_engines(house: House, far: Network) -> None:
    lab = far.computer("lab")
    a_machine(house, lab)
    (lab.home / ".bashrc").write_text("echo Welcome to the lab\necho Careful >&2\n")
    shown = house.command("machines", "setup", "lab", "--show")
    assert "-m pip install" in shown.stdout, shown.stderr
    assert not engines_folder(lab).exists()

    done = house.command("machines", "setup", "lab", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successfully installed" in done.stdout
    machine = find(house.places, "lab")
    assert isinstance(machine.reach, Ssh)
    python = machine.reach.python
    assert Path(python).is_relative_to(engines_folder(lab))
    pretend_engine(python)
    use_sleeping_worker(lab, python)
    restarted = house.command("machines", "restart", "lab")  # with the variables of the login as it is now
    assert restarted.returncode == 0, restarted.stdout + restarted.stderr

    tried = house.json("machines", "test", "lab")
    assert tried["works"]
    assert [s["id"] for s in tried["steps"]] == ["host_key", "login", "python", "engines", "runner", "clock", "probe"]
    assert {s["state"] for s in tried["steps"]} == {"ok"}
    sizes = {folder["name"]: folder["size_bytes"] for folder in tried["disk"]["folders"]}
    assert sizes["engines"] > 1_000_000
    assert sizes["models"] is None

    # the same experiment on a machine with an environment of its owner's making, in which one package is another
    old = far.computer("old")
    other = a_machine(house, old)
    assert isinstance(other.reach, Ssh)
    shell, choice = shell_of(other, house.places), Choice(home=other.reach.home)
    looked = look(shell, choice).lock
    fixed = Lock(looked.text.replace(_line("msgspec"), "msgspec==0.20.0"), "another", ())
    assert fixed.text != looked.text
    its_python = SetUpRun(shell, look(shell, choice, fixed=fixed), lambda _: None).run()
    keep(house.places, with_python(other, its_python))
    pretend_engine(its_python)
    use_sleeping_worker(old, its_python)

    file = house.places.data / "experiment.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(dump(house.experiment()))
    ran = house.command("run", str(file), "--machine", "lab", "--machine", "old")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (experiment,) = house.json("list")
    trials = house.json("list", str(experiment["experiment"]))
    assert {trial["machine"] for trial in trials} == {"lab", "old"}
    one, two = sorted(trials, key=lambda trial: str(trial["machine"]))
    facts = house.json("show", one["trial"], "--environment")["environment"]
    assert facts["project.version"] == engines_wheel().version
    differing = house.json("diff", one["trial"], two["trial"])
    assert "package.msgspec" in json.dumps(differing)

    # another version of the engines comes, while the runner of this one still waits for trials
    newer = replace(engines_wheel(), content="0123456789ab")
    python = SetUpRun(shell, look(shell, choice, fixed=fixed, wheel=newer), lambda _: None).run()
    assert python != its_python
    keep(house.places, with_python(other, python))
    assert _states(house, "old")["runner"] == "note"
    assert renew_runner(with_python(other, python), house.places) == ""
    assert _states(house, "old")["runner"] == "ok"


def _states(house: House, machine: str) -> dict[str, str]:
    return {step["id"]: step["state"] for step in house.json("machines", "test", machine)["steps"]}


def _line(name: str) -> str:
    return next(line for line in lock((), "3.11", "x86_64").text.splitlines() if line.startswith(name))


def test_that_an_unknown_host_key_is_shown_and_accepted_by_its_fingerprint_only(house: House, far: Network) -> None:
    lab = far.computer("lab", known=False)
    a_machine(house, lab)
    first = house.command("machines", "test", "lab", "--json")
    assert first.returncode == 4
    (step,) = json.loads(first.stdout)["steps"]
    assert (step["id"], step["state"]) == ("host_key", "failed")
    wrong = house.command("machines", "test", "lab", "--accept", "SHA256:" + "x" * 43)
    assert wrong.returncode == 2
    assert "Nothing was accepted" in wrong.stderr
    right = house.command("machines", "test", "lab", "--accept", step["key"]["fingerprint"])
    assert right.returncode == 4
    assert "not set up" in right.stdout


def test_that_an_old_python_is_named(house: House, far: Network, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (3, 8, 10)\n"
        "at = sys.argv.index('-c') + 1\ncode, sys.argv = sys.argv[at], sys.argv[at:]\n"
        f"sys.executable = {str(old)!r}\nexec(code)\n"
    )
    old.chmod(0o755)
    lab = far.computer("lab")
    a_machine(house, lab, PATH=f"{tmp_path}:{_only_these(tmp_path)}")
    done = house.command("machines", "setup", "lab", "--yes")
    assert done.returncode == 2
    assert "Its Python is 3.8.10; the engines need 3.11 or newer." in done.stderr
    assert not engines_folder(lab).exists()


def _only_these(folder: Path) -> Path:
    """A folder of commands without any other Python."""
    made = folder / "commands"
    made.mkdir()
    for name in ("env", "sh", "mv", "mkdir", "true"):
        (made / name).symlink_to(f"/usr/bin/{name}")
    return made


def test_that_a_package_index_that_is_not_reached_is_the_reason(house: House, far: Network) -> None:
    lab = far.computer("lab")
    a_machine(house, lab, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_CONFIG_FILE=os.devnull)
    done = house.command("machines", "setup", "lab", "--yes")
    assert done.returncode == 4
    assert "The machine cannot reach the package index." in done.stderr
    assert "PIP_INDEX_URL" in done.stderr
    assert list(engines_folder(lab).iterdir()) == []


def test_that_a_killed_set_up_leaves_nothing(house: House, far: Network) -> None:
    lab = far.computer("lab")
    with silent_index() as index:
        a_machine(house, lab, PIP_INDEX_URL=index, PIP_CONFIG_FILE=os.devnull, PIP_DEFAULT_TIMEOUT="300")
        command = house.start("machines", "setup", "lab", "--yes")
        assert command.stdout is not None
        until(lambda: bool(list(engines_folder(lab).glob(".making-*/bin/pip"))), "no environment was begun")
        command.kill()
        command.wait()
        command.stdout.close()
        until(lambda: list(engines_folder(lab).iterdir()) == [], "something half-made is left")
    until(lambda: not _at_work(engines_folder(lab)), "a process is left")


def _at_work(folder: Path) -> bool:
    return bool(subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, check=False).stdout)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", "90m") as folder:
        yield folder


def test_that_a_full_disk_is_the_reason_before_and_while_it_fills(house: House, far: Network, small_disk: Path) -> None:
    lab = far.computer("lab")
    a_machine(house, lab)
    machine = Machine(id="lab", title="lab", reach=Ssh(host="lab", home=str(small_disk)))
    keep(house.places, machine)
    shell, choice = shell_of(machine, house.places), Choice(home=str(small_disk))
    plan = look(shell, choice)
    assert plan.can_start
    (small_disk / "fill").write_bytes(b"x" * 85_000_000)
    with pytest.raises(SetUpFailed, match="is full") as failed:
        SetUpRun(shell, plan, lambda _: None).run()
    assert "Free some space" in failed.value.advice
    assert list((small_disk / "data/engines").iterdir()) == []
    done = house.command("machines", "setup", "lab", "--yes")
    assert done.returncode == 2
    assert "free; about" in done.stderr
