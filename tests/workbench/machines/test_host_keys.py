"""Host keys of far computers: shown, and trusted by the user's decision alone."""

from __future__ import annotations

import subprocess

import pytest

from engines.protocol.client import RunnerError
from tests.house import House
from tests.sshd import Network, Sshd, make_key
from workbench.machines.host_keys import accept, host_key
from workbench.machines.ssh import Remote


def fingerprint(computer: Sshd) -> str:
    said = subprocess.run(["ssh-keygen", "-lf", computer.folder / "host_key.pub"], capture_output=True, check=True)
    return said.stdout.decode().split()[1]


def test_that_a_key_is_unknown_until_the_user_accepts_it(house: House, far: Network) -> None:
    lab = far.computer("lab", known=False)
    far.write_config("HashKnownHosts yes")
    remote = Remote(lab.reach, house.places, "The lab")
    with pytest.raises(RunnerError, match="The lab has a host key that this computer does not know") as refused:
        remote.connect("test")
    assert refused.value.code == "host_key"
    key = host_key(lab.reach)
    assert (key.state, key.fingerprint, key.expected) == ("unknown", fingerprint(lab), ())
    assert not far.known_hosts.exists(), "looking accepts nothing"
    far.known_hosts.write_text("# a line without its end")
    assert accept(lab.reach, key).state == "known"
    assert "127.0.0.1" not in far.known_hosts.read_text(), "names are hashed where the user has them hashed"
    assert remote.run(["true"]).code == 0


def test_that_a_changed_key_shows_both_and_replaces_the_old_one_only_when_accepted(house: House, far: Network) -> None:
    lab = far.computer("lab")
    other = far.computer("other")
    before, old = fingerprint(lab), (lab.folder / "host_key.pub").read_text().split()[1]
    lab.stop()
    for file in (lab.folder / "host_key", lab.folder / "host_key.pub"):
        file.unlink()
    make_key(lab.folder / "host_key")
    lab.start()
    remote = Remote(lab.reach, house.places, "The lab")
    with pytest.raises(RunnerError, match="another host key than before") as refused:
        remote.run(["true"])
    assert refused.value.code == "host_key"
    kept = far.known_hosts.read_text()
    key = host_key(lab.reach)
    assert (key.state, key.fingerprint, key.expected) == ("changed", fingerprint(lab), (before,))
    assert far.known_hosts.read_text() == kept
    assert accept(lab.reach, key).state == "known"
    assert remote.run(["true"]).code == 0
    assert old not in far.known_hosts.read_text(), "whoever has the old key is not trusted any more"
    assert host_key(other.reach).state == "known", "other lines stay"


def test_that_the_unknown_key_of_a_jump_host_is_shown_first(house: House, far: Network) -> None:
    gate = far.computer("gate", known=False)
    lab = far.computer("lab", known=False)
    with far.config.open("a") as config:
        config.write("Host inner\n  HostName 127.0.0.1\n" + f"  Port {lab.port}\n  ProxyJump gate\n")
        config.write(f"  IdentityFile {lab.client_key}\n  UserKnownHostsFile {far.known_hosts}\n")
    inner = Remote(lab.reach.__class__(host="inner", python=lab.reach.python), house.places)
    key = host_key(inner.reach)
    assert (key.state, key.fingerprint) == ("unknown", fingerprint(gate))
    key = accept(inner.reach, key)
    assert (key.state, key.fingerprint) == ("unknown", fingerprint(lab))
    assert accept(inner.reach, key).state == "known"
    assert inner.run(["true"]).code == 0


def test_that_a_key_that_is_not_kept_is_not_called_accepted(far: Network) -> None:
    lab = far.computer("lab", known=False)
    config = far.config.read_text().replace(str(far.known_hosts), "/dev/null")
    far.config.write_text(config)
    key = host_key(lab.reach)
    with pytest.raises(RunnerError, match="still refuses"):
        accept(lab.reach, key)
