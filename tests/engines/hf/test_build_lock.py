"""A compilation that was killed does not hold up the next one; one that runs is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engines.hf.build_lock import remove_left_over

_COMPILES = """
import sys, time
from torch.utils.file_baton import FileBaton
baton = FileBaton(sys.argv[1])
assert baton.try_acquire()
print("locked", flush=True)
time.sleep(600)
"""


@pytest.fixture
def compiler(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that holds torch's lock in `tmp_path`."""
    command = [sys.executable, "-c", _COMPILES, str(tmp_path / "lock")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    return process


def test_that_a_killed_compilation_is_cleared_away_and_a_running_one_is_not(
    tmp_path: Path, compiler: subprocess.Popen[str]
) -> None:
    with compiler:
        assert not remove_left_over(tmp_path)
        assert (tmp_path / "lock").exists()
        compiler.send_signal(signal.SIGKILL)
    assert remove_left_over(tmp_path)
    assert not (tmp_path / "lock").exists()


def test_that_a_folder_without_a_lock_or_none_is_fine(tmp_path: Path) -> None:
    assert not remove_left_over(tmp_path)
    assert not remove_left_over(tmp_path / "never built")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_that_another_users_lock_stays(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    os.chown(lock, 12345, -1)
    assert not remove_left_over(tmp_path)
    assert lock.exists()
