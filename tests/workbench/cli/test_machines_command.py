"""`llm-workbench machines` without another computer: what is kept, shown and refused."""

from __future__ import annotations

import json

import pytest

from engines.protocol.places import Places
from workbench.cli.main import main
from workbench.machines.machine import FILE, Slurm, Ssh, find
from workbench.machines.setup.target import home_of, python_of, with_python
from workbench.machines.setup.wheel import engines_wheel


def test_that_a_machine_is_kept_listed_and_forgotten(home: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machines", "add", "lab", "--host", "me@lab.example", "--port", "2222", "--title", "The lab"]) == 0
    assert find(home, "lab").reach == Ssh(host="me@lab.example", port=2222)
    assert "machines test lab" in capsys.readouterr().out
    assert main(["machines", "list"]) == 0
    shown = capsys.readouterr().out
    assert "ssh me@lab.example -p 2222" in shown
    assert "machines setup lab" in shown
    assert main(["machines", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(m["id"], m["kind"]) for m in listed] == [("this", "local"), ("lab", "ssh")]
    assert main(["machines", "remove", "lab"]) == 0
    assert main(["machines", "remove", "lab"]) == 2
    assert "There is no machine 'lab'" in capsys.readouterr().err


def test_that_a_cluster_has_a_login_node_or_is_here(home: Places) -> None:
    asked = ["--partition", "gpu", "--gpus", "2", "--minutes", "30", "--memory", "1.5"]
    assert main(["machines", "add", "far", "--slurm", "--host", "login", "--home", "/scratch/me", *asked]) == 0
    assert main(["machines", "add", "near", "--slurm", "--home", "/scratch/me", *asked]) == 0
    for name in ("far", "near"):
        machine = find(home, name)
        assert isinstance(machine.reach, Slurm)
        assert (machine.reach.partition, machine.reach.gpus, machine.reach.time_limit_minutes) == ("gpu", 2, 30)
        assert machine.reach.memory_bytes == 3 << 29
        assert (machine.reach.login is not None) == (name == "far")
        assert home_of(machine) == "/scratch/me"
        assert python_of(with_python(machine, "/scratch/me/python")) == "/scratch/me/python"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["lab"], "needs --host"),
        (["Lab", "--host", "lab"], "cannot be a machine's id"),
        (["this", "--host", "lab"], "cannot be a machine's id"),
        (["lab", "--host", "lab", "--python", "python3"], "no absolute path"),
        (["lab", "--host", "lab", "--home", "~/x"], "no absolute path"),
        (["lab", "--host=-oProxyCommand=reboot"], "cannot be a computer's name"),
    ],
)
def test_that_what_cannot_be_is_refused(
    home: Places, capsys: pytest.CaptureFixture[str], wrong: list[str], said: str
) -> None:
    assert main(["machines", "add", *wrong]) != 0
    assert said in capsys.readouterr().err
    assert not (home.config / FILE).exists()


def test_that_an_older_version_of_the_engines_is_named(home: Places, capsys: pytest.CaptureFixture[str]) -> None:
    for name, version in (("new", engines_wheel().content), ("old", "0123456789ab"), ("own", "")):
        python = f"/e/lock/versions/{version}/bin/python" if version else "/opt/bin/python"
        assert main(["machines", "add", name, "--host", "lab", "--python", python]) == 0
    capsys.readouterr()
    assert main(["machines", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "another version than here: llm-workbench machines setup old" in lines["old"]
    assert "another version" not in lines["new"] + lines["own"]


def test_that_this_computer_is_not_set_up(home: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machines", "setup", "this", "--show"]) == 2
    assert "nothing to set up" in capsys.readouterr().err
