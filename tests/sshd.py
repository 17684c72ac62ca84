"""Computers reached over SSH, for tests: real sshds on free ports of this one (or on networks of their own:
`tests.netns`), each with keys, a home and a runner of its own. Tests that need them are skipped, with the reason, where
there is no sshd.

    def test_...(house: House, far: Network) -> None:
        lab = far.computer("lab")
        add(house.places, lab)              # a machine of the application
        Remote(lab.reach, house.places).run(["hostname"])
        session = house.open()              # session.link("lab")
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil
import pytest

from engines.protocol.places import Places
from tests.engines.runner_harness import end_runner
from tests.house import ROOT, sleeping_worker_variable
from workbench.experiment.experiment import Experiment
from workbench.machines.machine import Machine, Ssh, keep
from workbench.machines.ssh_config import CONFIG_VARIABLE

_PRIVILEGE_SEPARATION = Path("/run/sshd")


def sshd_command() -> str:
    """Path of sshd. Skips the test where there is none, or it cannot run."""
    found = shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    if found is None:
        pytest.skip("no sshd here: sudo apt-get install openssh-server")
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        if not _PRIVILEGE_SEPARATION.is_dir():
            pytest.skip(f"sshd needs {_PRIVILEGE_SEPARATION}, which cannot be made here")
    return found


@dataclass
class Sshd:
    """One far computer: `start` it, reach it as `name` through `network.config`."""

    name: str
    folder: Path
    client_key: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    """Of what runs there, besides HOME."""
    lines: tuple[str, ...] = ()
    """Further lines of sshd_config."""
    address: str = "127.0.0.1"
    within: tuple[str, ...] = ()
    """Words before sshd's own that put it elsewhere (`tests.netns`)."""

    @property
    def home(self) -> Path:
        """HOME of what runs there."""
        return self.folder / "home"

    @property
    def places(self) -> Places:
        """Those of the runner there."""
        root = self.folder / "lw"
        return Places(root / "data", root / "state", root / "cache", root / "config", root / "run")

    @property
    def reach(self) -> Ssh:
        return Ssh(host=self.name, python=sys.executable, home=str(self.folder / "lw"))

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    def start(self) -> None:
        """(Re)start with the settings as they are; returns when it listens."""
        command = sshd_command()
        self.home.mkdir(exist_ok=True)
        key = self.folder / "host_key"
        if not key.exists():
            make_key(key)
        authorised = self.folder / "authorized_keys"
        if not authorised.exists():
            shutil.copy(self.client_key.with_suffix(".pub"), authorised)
        variables = {"HOME": str(self.home), **self.environment}
        settings = (
            f"Port {self.port}",
            f"ListenAddress {self.address}",
            f"HostKey {key}",
            f"AuthorizedKeysFile {authorised}",
            f"PidFile {self.folder / 'pid'}",
            "AuthenticationMethods publickey",
            "UsePAM no",
            "StrictModes no",
            "UseDNS no",
            "PermitRootLogin yes",
            "MaxStartups 100",
            "MaxSessions 100",
            "Subsystem sftp internal-sftp",
            *self.lines,
            "SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()),
        )
        (self.folder / "sshd_config").write_text("".join(f"{line}\n" for line in settings))
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.within, command, "-D", "-e", "-f", str(self.folder / "sshd_config")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while True:
            assert self.process.poll() is None, self.log
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1) as link:
                if link.recv(4) == b"SSH-":
                    return
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def sessions(self) -> list[psutil.Process]:
        """The processes of logins and of what runs in them (a runner is detached, and not among them)."""
        if self.process is None:
            return []
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def send(self, number: int) -> None:
        """A signal to the sshd and every session: SIGSTOP cuts the link without ending it, SIGCONT mends it."""
        for one in self.sessions():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def drop(self) -> None:
        """End every session at once, as a restarted computer's network does. The sshd stays."""
        for one in self.sessions():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()

    def stop(self) -> None:
        """End sshd and sessions; what was detached runs on."""
        if self.process is None:
            return
        sessions = self.sessions()
        self.process.kill()
        for one in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()
        psutil.wait_procs(sessions, timeout=10)
        self.process = None

    def close(self) -> None:
        self.stop()
        end_runner(self.places)


@dataclass
class Network:
    """Far computers, and the client configuration under which their names work."""

    folder: Path
    computers: list[Sshd] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def computer(self, name: str, *, known: bool = True, **options: object) -> Sshd:
        """A new one that runs. `known`: its host key is accepted already."""
        folder = self.folder / name
        folder.mkdir()
        key = self.folder / "client_key"
        if not key.exists():
            make_key(key)
        worker = dict([sleeping_worker_variable()])
        environment = {"PYTHONPATH": str(ROOT), **worker}
        made = Sshd(name, folder, key, free_port(), environment=environment, **options)  # type: ignore[arg-type]
        self.computers.append(made)
        made.start()
        if known:
            self.trust(made)
        self.write_config()
        return made

    def trust(self, computer: Sshd) -> None:
        words = (computer.folder / "host_key.pub").read_text().split()
        with self.known_hosts.open("a") as file:
            file.write(f"[{computer.address}]:{computer.port} {words[0]} {words[1]}\n")

    def write_config(self, *more: str) -> None:
        """`more`: further lines of every host."""
        text = ""
        for one in self.computers:
            text += f"Host {one.name}\n"
            for line in (
                f"HostName {one.address}",
                f"Port {one.port}",
                f"User {getpass.getuser()}",
                f"IdentityFile {one.client_key}",
                "IdentitiesOnly yes",
                "IdentityAgent none",
                f"UserKnownHostsFile {self.known_hosts}",
                "GlobalKnownHostsFile /dev/null",
                *more,
            ):
                text += f"  {line}\n"
        self.config.write_text(text)

    def close(self) -> None:
        for one in self.computers:
            one.send(signal.SIGCONT)
            one.close()


def add(places: Places, computer: Sshd, title: str = "") -> Machine:
    """Make it a machine of the application under its name."""
    machine = Machine(id=computer.name, title=title or computer.name.capitalize(), reach=computer.reach)
    keep(places, machine)
    return machine


def on(computer: Sshd, experiment: Experiment) -> Experiment:
    """The experiment to be run on that machine."""
    return msgspec.structs.replace(experiment, run=msgspec.structs.replace(experiment.run, machines=(computer.name,)))


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """In a folder with a short path. Without the variables that a far runner would not have."""
    sshd_command()
    made = Network(folder)
    made.write_config()
    monkeypatch.setenv(CONFIG_VARIABLE, str(made.config))
    try:
        yield made
    finally:
        made.close()
