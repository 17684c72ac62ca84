"""What a command prints is text to a terminal, whatever is in a name or a log line; into a pipe it goes as it is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.house import ROOT

HOSTILE = "a\x1b]0;title\x07b\x1b[2Jc\x9bd\x00e\tf"
PROGRAM = f"""
import sys
from engines.protocol.streams import take_any_text
take_any_text()
take_any_text()
print({HOSTILE!r})
sys.stderr.write({HOSTILE!r} + "\\r\\x1b[Kour own\\n")
"""


def test_that_a_terminal_obeys_nothing_but_our_own_line() -> None:
    leader, follower = os.openpty()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=follower, stderr=follower, check=False, timeout=60
    )
    os.close(follower)
    said = os.read(leader, 4096).decode()
    os.close(leader)
    assert done.returncode == 0, said
    assert said.count("\x1b") == 1
    assert "\r\x1b[Kour own" in said
    assert not any(c in said for c in "\x07\x9b\x00")
    assert said.count("e\tf") == 2


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_that_a_pipe_gets_every_character(stream: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert HOSTILE.encode() in getattr(done, stream)
