"""Answers `LookUp` with a process of its own: reading headers and many gigabytes is not for the runner's loop, and not
beside its timed trials at their priority. On the runner's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncGenerator

import msgspec

from engines.protocol import LONGEST_LINE
from engines.protocol.client import engine_environment
from engines.protocol.messages import LookedUp, LookUp
from engines.protocol.places import places
from engines.runner.runner import Refused

_log = logging.getLogger(__name__)
_SHOWN = 500


async def looked_up(asked: LookUp) -> AsyncGenerator[LookedUp, None]:
    """What the process says, as it says it. Closing the iterator ends the process. Raises `Refused`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engines", "look-up"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
        env=engine_environment(places()),
        limit=LONGEST_LINE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    try:
        with contextlib.suppress(ConnectionError):  # it ended early: said below
            process.stdin.write(msgspec.json.encode(asked))
            process.stdin.close()
        while line := await process.stdout.readline():
            yield LookedUp(found=msgspec.Raw(line.rstrip()))
        if await process.wait() != 0:
            said = (await errors).decode("utf-8", "replace").strip()
            _log.error("the process that looks up models failed: %s", said)
            raise Refused("internal", f"What is on the machine could not be looked up: {said[-_SHOWN:]}")
    finally:
        errors.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
