"""Unix sockets that only their user can open: how runner and store listen, connect and hang up. Any thread.

What goes over them differs: the runner's lines of JSON also pass through ssh, behind a login's banner (`client`); the
store's frames hold columns of numbers as bytes (`workbench.store.sharing.wire`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from asyncio.trsock import TransportSocket
from collections.abc import Iterator
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")


def listen(path: Path) -> socket.socket:
    """A socket (0600) in place of one that is there: the caller holds a lock, so nobody has that. Raises OSError."""
    path.unlink(missing_ok=True)
    with closed_on_failure(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listening:
        listening.bind(os.fspath(path))
        # before it listens nobody can have connected; a umask would also be that of whatever starts meanwhile
        path.chmod(0o600)
        listening.listen(128)  # to a client that finds no room here nobody seems to listen
    return listening


def connect(path: Path, timeout: float | None) -> socket.socket:
    """A link to this user's process that listens at `path`, with a timeout of seconds for each step. Raises OSError,
    also where another user listens: a socket in /tmp may be anybody's."""
    with closed_on_failure(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
        link.settimeout(timeout)
        link.connect(os.fspath(path))
        if not same_user(link):
            raise PermissionError(errno.EPERM, "another user listens there", os.fspath(path))
    return link


def same_user(link: socket.socket | TransportSocket) -> bool:
    """Whether the process at the other end runs as this user."""
    raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(raw)
    return bool(user == os.geteuid())


@contextlib.contextmanager
def closed_on_failure(link: socket.socket) -> Iterator[socket.socket]:
    try:
        yield link
    except BaseException:
        link.close()
        raise


def hang_up(link: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    """End a link in these directions; threads that wait for it wake up. Twice is once."""
    with contextlib.suppress(OSError):
        link.shutdown(how)
