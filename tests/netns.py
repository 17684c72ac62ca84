"""Networks of their own for far computers: each in a network namespace, linked to this one by a cable that a test can
pull (veth). Needs root and iproute2.

    cables = Cables()
    lab = far.computer("lab", **cables.lay("lab"))
    cables.pull("lab"); cables.plug("lab")
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

_HERE = "10.213.7.1"


@dataclass(frozen=True)
class _Cable:
    namespace: str
    near: str
    far: str
    address: str


class Cables:
    def __init__(self) -> None:
        self._cables: dict[str, _Cable] = {}

    def lay(self, name: str) -> dict[str, Any]:
        """A namespace with a cable to it. -> what `Network.computer` needs to know of it."""
        number = len(self._cables)
        stem = f"lw{os.getpid() % 100_000}{number}"
        cable = _Cable(stem, f"{stem}h", f"{stem}n", f"10.213.7.{number + 2}")
        self._cables[name] = cable
        _ip("netns", "add", cable.namespace)
        _ip("link", "add", cable.near, "type", "veth", "peer", "name", cable.far)
        _ip("link", "set", cable.far, "netns", cable.namespace)
        _ip("-n", cable.namespace, "link", "set", "lo", "up")
        self.connect(name, cable.address)
        return {"address": cable.address, "within": self.within(name)}

    def within(self, name: str) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{self._cables[name].namespace}")

    def connect(self, name: str, address: str) -> None:
        """Give the computer an address, in the place of the one it had."""
        cable = self._cables[name]
        _ip("addr", "flush", "dev", cable.near)
        _ip("-n", cable.namespace, "addr", "flush", "dev", cable.far)
        _ip("addr", "add", _HERE, "peer", address, "dev", cable.near)
        _ip("-n", cable.namespace, "addr", "add", address, "peer", _HERE, "dev", cable.far)
        self.plug(name)

    def pull(self, name: str) -> None:
        _ip("link", "set", self._cables[name].near, "down")

    def plug(self, name: str) -> None:
        cable = self._cables[name]
        _ip("-n", cable.namespace, "link", "set", cable.far, "up")
        _ip("link", "set", cable.near, "up")
        _ip("route", "replace", *_peer_route(cable))

    def close(self) -> None:
        for cable in self._cables.values():
            for words in (("link", "del", cable.near), ("netns", "del", cable.namespace)):
                with contextlib.suppress(subprocess.CalledProcessError):
                    _ip(*words)


def _peer_route(cable: _Cable) -> tuple[str, ...]:
    """The way to whatever address the cable has: a link that was down has lost it."""
    said = _ip("-o", "-4", "addr", "show", "dev", cable.near)
    return (said.partition(" peer ")[2].split("/")[0].split()[0], "dev", cable.near, "src", _HERE)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def cables() -> Iterator[Cables]:
    """Skips the test where there can be no namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("nsenter") is None:
        pytest.skip("network namespaces need root, iproute2 and util-linux")
    made = Cables()
    try:
        try:
            made.lay("")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        yield made
    finally:
        made.close()
