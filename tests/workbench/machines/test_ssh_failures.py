"""What goes wrong on the way to a far computer is said, with what to do, and never waited for."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engines.protocol import MAGIC, PROTOCOL_VERSION
from engines.protocol.client import RunnerError
from engines.protocol.messages import GetQueue, QueueState
from engines.protocol.places import Places
from tests.house import House, until
from tests.sshd import Network, Sshd, add, free_port, on
from workbench.machines import keep_alive, ssh
from workbench.machines.machine import Machine, Ssh, keep
from workbench.machines.ssh import Remote
from workbench.store.operations import GetExperiment


@contextlib.contextmanager
def refused(code: str, says: str) -> Iterator[None]:
    with pytest.raises(RunnerError) as caught:
        yield
    assert (caught.value.code, bool(re.search(says, str(caught.value)))) == (code, True), str(caught.value)
    assert caught.value.advice


def remote(computer: Sshd, places: Places, **changes: object) -> Remote:
    return Remote(msgspec.structs.replace(computer.reach, **changes), places, "The lab")


def ends(work: Callable[[], None]) -> bool:
    """Whether it does, within a time that nobody would wait."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60.0)
    return not thread.is_alive()


def script(computer: Sshd, *lines: str) -> str:
    """A program there. -> its path"""
    path = computer.folder / "python"
    path.write_text("#!/bin/sh\n" + "".join(f"{line}\n" for line in lines))
    path.chmod(0o755)
    return str(path)


def test_that_a_refused_key_and_a_wrong_user_are_refused_logins(home: Places, far: Network) -> None:
    lab = far.computer("lab")
    with refused("login", "The lab refuses the login: .*Permission denied"):
        remote(lab, home, host="nobody-of-that-name@lab").run(["true"])
    (lab.folder / "authorized_keys").write_text("")
    with refused("login", "The lab refuses the login"):
        remote(lab, home).connect("test")


def test_that_nobody_there_is_said(home: Places, far: Network) -> None:
    lab = far.computer("lab")
    with refused("unreachable", r"cannot be reached: .*refused\.$"):
        remote(lab, home, port=free_port()).run(["true"])
    with refused("name", "No computer is known by the name of no-such-computer.invalid"):
        remote(lab, home, host="no-such-computer.invalid").run(["true"])


def test_that_a_computer_that_does_not_answer_is_not_waited_for(
    home: Places, far: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = far.computer("lab")
    monkeypatch.setitem(ssh._OPTIONS, "ConnectTimeout", "1")
    lab.send(signal.SIGSTOP)
    with refused("unreachable", "cannot be reached"):
        remote(lab, home).connect("test")


@pytest.mark.parametrize("host", ["-oProxyCommand=touch /tmp/x", "", "a b", "lab\n"])
def test_that_a_name_is_never_an_option_of_ssh(home: Places, host: str) -> None:
    with refused("name", "cannot be a computer's name"):
        Remote(Ssh(host=host, python="/python"), home).run(["true"])


def test_that_python_and_engines_that_are_missing_there_are_said(home: Places, far: Network) -> None:
    lab = far.computer("lab")
    with refused("setup", "has no Python at /nowhere/python"):
        remote(lab, home, python="/nowhere/python").connect("test")
    (lab.folder / "python").write_text("")
    with refused("setup", "has no Python at"):
        remote(lab, home, python=str(lab.folder / "python")).connect("test")
    with refused("setup", "has no engines"):
        remote(lab, home, python=script(lab, f'PYTHONPATH= exec {sys.base_prefix}/bin/python3 -I "$@"')).connect("test")
    with refused("setup", "not set up"):
        remote(lab, home, python="").connect("test")
    with refused("start", "could not be started: no room"):
        remote(lab, home, python=script(lab, "printf 'no\\033room' >&2; exit 4")).connect("test")


def test_that_banners_of_many_lines_are_passed_over(home: Places, far: Network) -> None:
    lab = far.computer("lab")
    (lab.home / ".bashrc").write_text("for n in $(seq 150); do echo Welcome $n; done\n")
    (lab.folder / "banner").write_text("Authorised use only\n" * 40)
    lab.stop()
    lab.lines = (f"Banner {lab.folder / 'banner'}",)
    lab.start()
    with remote(lab, home).connect("test") as client:
        assert isinstance(client.call(GetQueue()), QueueState)
    assert remote(lab, home).run(["echo", "only this"]).out == "only this\n"


def test_that_another_version_and_what_is_no_runner_are_said(
    home: Places, far: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = far.computer("lab")
    with refused("version", f"speaks protocol version 99, this program version {PROTOCOL_VERSION}"):
        remote(lab, home, python=script(lab, f"echo {MAGIC} 99; cat")).connect("test")
    with refused("not_a_runner", "What answers there is not a runner"):
        remote(lab, home, python=script(lab, "yes")).connect("test")
    monkeypatch.setattr(ssh, "_GREETING_S", 0.5)
    with refused("link", "No greeting came"):
        remote(lab, home, python=script(lab, "exec sleep 100")).connect("test")


def test_that_a_computer_without_ssh_says_how_to_get_it(
    home: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with refused("no_ssh", "OpenSSH's client cannot be started"):
        Remote(Ssh(host="lab", python="/python"), home).run(["true"])


def test_that_a_command_that_takes_too_long_is_ended(home: Places, far: Network) -> None:
    lab = remote(far.computer("lab"), home)
    assert lab.run(["true"]).code == 0
    with refused("slow", "did not finish a command within 0.2 s: sh -c 'sleep 100' '%i'"):
        lab.run(["sh", "-c", "sleep 100", "%i"], timeout=0.2)
    with refused("too_long", "The lab prints more than a command should: yes"):
        lab.run(["yes"])
    assert lab.run(["head", "-c", "3"], input=b"abc" + bytes(1 << 20)).out == "abc", "what is not read is no failure"
    assert lab.run(["sh", "-c", "head -c 1000000 /dev/zero >&2"]).code == 0, "nobody waits for who reads"


def test_that_a_frozen_runner_ends_a_call_that_waits(home: Places, far: Network) -> None:
    lab = far.computer("lab")
    with remote(lab, home).connect("test") as client:
        assert abs(client.clock.ahead_s) <= client.clock.within_s + 0.05, "both are this computer's clock"
        client.over.wait(2 * keep_alive.QUIET_S)
        assert not client.over.is_set(), "nobody waits: silence is no sign of anything"
        (connected,) = [p for p in lab.sessions() if "connect" in p.cmdline()]
        connected.suspend()
        with refused("link", "The link to the runner is lost"):
            client.call(GetQueue(), timeout=600)
        connected.resume()


def test_that_closing_does_not_wait_for_a_computer_that_does_not_answer(
    house: House, far: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_GREETING_S", 3600.0)
    lab = far.computer("lab")
    reach = msgspec.structs.replace(lab.reach, python=script(lab, f"echo on > {lab.folder}/began; exec sleep 1000"))
    keep(house.places, Machine(id="lab", title="Lab", reach=reach))
    session = house.open()
    session.link("lab").follow()
    until(lambda: (lab.folder / "began").exists(), what="the link is being made")
    assert ends(session.close)


def test_that_a_command_that_reads_does_not_wait_for_a_computer_that_does_not_answer(
    house: House, far: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = far.computer("lab")
    add(house.places, lab)
    session = house.open()
    monkeypatch.setattr("workbench.running.workbench._GLANCE_S", 0.2)
    name = session.run(session.plan(on(lab, house.experiment())))
    until(lambda: session.queue("lab").in_state("ended"), what="the trial ends unseen")
    monkeypatch.setattr(ssh, "_GREETING_S", 3600.0)
    for name_of in ("ConnectTimeout", "ServerAliveInterval"):
        monkeypatch.setitem(ssh._OPTIONS, name_of, "3600")
    lab.stop()
    lab.start()  # a link made anew
    lab.send(signal.SIGSTOP)
    assert ends(session.catch_up)
    assert [t.state for t in session.store.execute(GetExperiment(experiment=name)).trials] == ["waiting"]
    lab.send(signal.SIGCONT)
    monkeypatch.setattr("workbench.running.workbench._GLANCE_S", 60.0)
    session.catch_up()
    assert [t.outcome for t in session.store.execute(GetExperiment(experiment=name)).trials] == ["completed"]
