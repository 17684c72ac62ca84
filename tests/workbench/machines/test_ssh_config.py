"""The computers that the user's OpenSSH configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.protocol.client import RunnerError
from tests.sshd import sshd_command
from workbench.machines.machine import Ssh
from workbench.machines.ssh_config import CONFIG_VARIABLE, details, names

CONFIG = """\
Include conf.d/*.conf
# Host commented
host lab gpu-*  "two words"
  HostName 10.0.0.7   # where it is
Host=tight
HOST !never ? *
Match host lab
  User somebody
Include {other} missing
	Host	tabbed lab
Host "unfinished
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    folder = tmp_path / ".ssh"
    (folder / "conf.d").mkdir(parents=True)
    return folder


def test_that_names_are_read_with_includes_and_without_patterns(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("Host other\n")
    (config / "config").write_text(CONFIG.format(other=other))
    (config / "conf.d" / "b.conf").write_text("Host b\n")
    (config / "conf.d" / "a.conf").write_text("Host a\nInclude ../config\n")
    assert names() == ("a", "b", "lab", "two words", "tight", "other", "tabbed")


def test_that_there_are_none_without_a_configuration(config: Path) -> None:
    assert names() == ()
    (config / "config").write_bytes(b"")
    assert names() == ()
    (config / "config").write_bytes(b"Host \xff ok\n")
    assert names() == ("\ufffd", "ok")


def test_that_openssh_says_what_it_would_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sshd_command()
    path = tmp_path / "config"
    path.write_text("Host lab\n  HostName 10.0.0.7\n  User me\n  ProxyJump a,b\nHost *\n  Port 2200\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    found = details(Ssh(host="lab"))
    assert (found["hostname"], found["user"], found["port"]) == (["10.0.0.7"], ["me"], ["2200"])
    assert details(Ssh(host="you@lab", port=22))["user"] == ["you"]
    assert details(Ssh(host="you@lab", port=22))["port"] == ["22"]
    path.write_text("Host lab\n  NoSuchOption yes\n")
    with pytest.raises(RunnerError, match=r"OpenSSH cannot read its configuration: .*terminating") as refused:
        details(Ssh(host="lab"))
    assert refused.value.code == "config"
