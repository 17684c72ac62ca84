"""What the runner and a template process say to each other: JSON, one message a packet of a SOCK_SEQPACKET socket.

First the template says `ready` or `refused`. Then each `ForkRequest` of the runner, which comes with three descriptors
(record pipe, standard output, standard error), is answered with the worker's `pid` or `refused`. Values only.
"""

from __future__ import annotations

import msgspec

MESSAGE_BYTES = 1 << 16
DESCRIPTORS = 3


class Key(msgspec.Struct, frozen=True):
    """What a template is made for, as in the order: libraries read it when they are imported."""

    engine: str
    threads: int
    devices: tuple[str, ...]
    allow_network: bool = False


class Ready(msgspec.Struct, frozen=True):
    """Memory of the template before its first fork (bytes), and what it cost to get there (s)."""

    pss_bytes: int
    rss_bytes: int
    import_s: float


class ForkRequest(msgspec.Struct, frozen=True):
    """A worker that is wanted."""

    arguments: tuple[str, ...]
    """Those of `engines.worker` but for --records."""
    folder: str
    environment: dict[str, str]
    """Changes to the template's."""
    address_space_bytes: int | None = None


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a template says: one of the three."""

    ready: Ready | None = None
    pid: int = 0
    pss_bytes: int = 0
    """With `pid`: proportional set size of the template just before the fork."""
    refused: str = ""
