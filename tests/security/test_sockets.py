"""Sockets are this user's alone: also one in /tmp that somebody else was first to make."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path
from typing import Any, cast

import pytest

from engines.protocol.places import Places
from engines.protocol.unix_socket import connect, listen
from engines.runner.server import Server
from workbench.store.open import open_store
from workbench.store.operations import GetStoreId


def test_that_nobody_talks_to_a_socket_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets go over it with a submission."""
    path = tmp_path / "a.sock"
    with listen(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        connect(path, 1.0).close()
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(PermissionError, match="another user"):
            connect(path, 1.0)


@pytest.mark.parametrize(("user", "greeting"), [(0, b"llm-workbench-runner 2\n"), (1, b"")])
def test_that_the_runner_answers_its_own_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, greeting: bytes
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + user)
    path = tmp_path / "a.sock"

    def first_line() -> bytes:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(os.fspath(path))
            return link.makefile("rb").readline()

    async def said() -> bytes:
        server = Server(cast("Any", None), client_count_changed=lambda: None, shutdown=lambda: None)
        await server.listen(path)
        try:
            return await asyncio.to_thread(first_line)
        finally:
            await server.close()

    assert asyncio.run(said()) == greeting


def test_that_the_store_answers_its_own_user_only(
    tmp_path: Path, home: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _ = open_store(tmp_path / "a.duckdb")
    guest, owns = open_store(tmp_path / "a.duckdb")
    assert not owns
    assert guest.execute(GetStoreId()) == owner.execute(GetStoreId())
    path = tmp_path / "a.duckdb.sock"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(os.fspath(path))
        assert link.recv(1) == b""
    monkeypatch.undo()
    guest.close()
    owner.close()
