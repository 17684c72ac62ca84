"""A far computer's host key: what the user's known hosts say of it, and the user's decision to trust it. Blocks.

OpenSSH does the looking and comparing, with the user's configuration and jump hosts; nothing is accepted on its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines.protocol.client import RunnerError
from engines.protocol.private import private_folder
from workbench.machines.machine import Ssh
from workbench.machines.ssh_config import arguments, details, variables
from workbench.machines.ssh_failures import failure, no_ssh

_LOOK_S = 20.0
_LOOK = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    "ControlMaster": "no",
    "ControlPath": "none",
    "ClearAllForwardings": "yes",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    # the key is compared before anybody logs in, and nobody need
    "PreferredAuthentications": "none",
}


@dataclass(frozen=True)
class HostKey:
    """`host` is its name in the known hosts: the computer's own, or that of a jump host on the way."""

    state: Literal["known", "unknown", "changed"]
    host: str = ""
    kind: str = ""
    """ "ssh-ed25519", ...; this and what follows is empty where `state` is "known"."""
    fingerprint: str = ""
    """As OpenSSH shows it: "SHA256:" and 43 characters."""
    expected: tuple[str, ...] = ()
    """Where it has changed, those that are known."""
    line: str = ""
    """The key as it stands in a file of known hosts, without the host's name."""

    @property
    def fingerprints(self) -> tuple[str, ...]:
        return (self.fingerprint,) if self.fingerprint else ()


def host_key(reach: Ssh) -> HostKey:
    """Ask the computer for its key and compare. Raises `RunnerError` where that fails, or the key is revoked."""
    said = _look(reach, _LOOK)
    found = failure(reach, reach.host, said)
    if not said or found.code == "login":
        return HostKey("known")
    if found.code != "host_key":
        raise found
    with tempfile.TemporaryDirectory(prefix="llm-workbench-") as folder:
        file = Path(folder) / "known_hosts"
        took = {"UserKnownHostsFile": str(file), "GlobalKnownHostsFile": "/dev/null"}
        taking = {"StrictHostKeyChecking": "accept-new", "HashKnownHosts": "no", "UpdateHostKeys": "no"}
        _look(reach, {**_LOOK, **took, **taking})
        offered = file.read_text().split() if file.exists() else []
    if len(offered) < 3 or "REVOKED" in said:
        return _on_the_way(reach, found)
    host, kind, key = offered[:3]
    known = tuple(_known(reach, host)) if "HAS CHANGED" in said else ()
    return HostKey(
        "changed" if "HAS CHANGED" in said else "unknown", host, kind, _fingerprint(key), known, f"{kind} {key}"
    )


def accept(reach: Ssh, key: HostKey) -> HostKey:
    """Trust exactly the key that was shown, in place of those known for its host, in the user's own file,
    so that `ssh` does so too. -> how it is now (another host on the way may be unknown). Raises `RunnerError`."""
    if key.state == "known":
        return key
    told = details(_jump(reach, key.host) or reach)
    files = _files(told)
    try:
        if not files:
            raise FileNotFoundError("UserKnownHostsFile is none")
        for file in files:
            if file.is_file():
                subprocess.run(
                    ["ssh-keygen", "-q", "-R", key.host, "-f", str(file)],
                    capture_output=True,
                    timeout=_LOOK_S,
                    check=True,
                )
        name = _hashed(key.host) if told.get("hashknownhosts") == ["yes"] else key.host
        _append(files[0], f"{name} {key.line}")
    except (OSError, subprocess.SubprocessError) as error:
        raise RunnerError(
            f"The host key of {key.host} cannot be kept: {error}", "Nothing was accepted.", code="host_key"
        ) from error
    now = host_key(reach)
    if (now.host, now.fingerprint) == (key.host, key.fingerprint):
        raise RunnerError(
            f"OpenSSH still refuses the host key of {key.host}.",
            "A file of the system names another, or the known hosts are not kept. "
            f"`ssh {reach.host}` in a terminal says more.",
            code="host_key",
        )
    return now


def _look(reach: Ssh, options: dict[str, str]) -> str:
    """-> what ssh said on its standard error; "" where it got in"""
    try:
        ended = subprocess.run(
            arguments(reach, options, "true"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=variables(),
            start_new_session=True,
            timeout=_LOOK_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RunnerError(
            f"{reach.host} does not answer.", f"`ssh {reach.host}` in a terminal says more.", code="unreachable"
        ) from error
    except OSError as error:
        raise no_ssh(error) from error
    return ended.stderr.decode("utf-8", "replace") if ended.returncode else ""


def _on_the_way(reach: Ssh, found: RunnerError) -> HostKey:
    """The first jump host whose key is not known; where there is none, the failure is the computer's own."""
    for hop in _hops(reach):
        key = host_key(hop)
        if key.state != "known":
            return key
    raise found


def _hops(reach: Ssh) -> list[Ssh]:
    hops = []
    for hop in ",".join(details(reach).get("proxyjump", [])).split(","):
        host, colon, port = hop.removeprefix("ssh://").rpartition(":")
        if colon and port.isdigit():
            hops.append(Ssh(host=host, port=int(port)))
        elif hop not in ("", "none"):
            hops.append(Ssh(host=hop))
    return hops


def _jump(reach: Ssh, host: str) -> Ssh | None:
    """The hop whose name in the known hosts that is."""
    for hop in _hops(reach):
        told = details(hop)
        name, port = told.get("hostkeyalias", told["hostname"])[0], told["port"][0]
        if host in (name, f"[{name}]:{port}"):
            return hop
    return None


def _files(told: dict[str, list[str]]) -> list[Path]:
    return [Path(f).expanduser() for f in " ".join(told.get("userknownhostsfile", [])).split() if f != "none"]


def _known(reach: Ssh, host: str) -> list[str]:
    """Fingerprints of the keys that the user's files have for a host."""
    told = details(_jump(reach, host) or reach)
    found = []
    for file in _files(told):
        said = subprocess.run(["ssh-keygen", "-F", host, "-f", str(file)], capture_output=True, check=False)
        for line in said.stdout.decode("utf-8", "replace").splitlines():
            if line and not line.startswith(("#", "@")):
                found.append(_fingerprint(line.split()[2]))
    return found


def _fingerprint(key: str) -> str:
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _hashed(host: str) -> str:
    """As HashKnownHosts writes a name, so that the file does not tell where its user goes."""
    salt = secrets.token_bytes(20)
    digest = hmac.digest(salt, host.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def _append(file: Path, line: str) -> None:
    if not file.parent.exists():
        private_folder(file.parent)
    with open(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "r+b") as known:  # noqa: PTH123
        size = known.seek(0, os.SEEK_END)
        whole = size == 0 or (known.seek(size - 1), known.read(1))[1] == b"\n"
        known.write(("" if whole else "\n").encode() + f"{line}\n".encode())
