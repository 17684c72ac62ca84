"""What errors of the file system are told as, and who may read what is written."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from engines.protocol.file_errors import error_in, is_forbidden, is_full, what_happened, what_to_do
from engines.protocol.private import narrow, private_folder, write_private

WHERE = Path("/data/workbench")


@pytest.mark.parametrize(
    ("number", "happened", "remedy"),
    [
        (errno.ENOSPC, "is full", "Free some space"),
        (errno.EDQUOT, "is full", "Free some space"),
        (errno.EFBIG, "is full", "Free some space"),
        (errno.EACCES, "may not write", "permissions"),
        (errno.EPERM, "may not write", "permissions"),
        (errno.EROFS, "can only be read", "writable"),
        (errno.ENOENT, "cannot be used", "exists"),
        (errno.EMFILE, "reached a limit", "ulimit"),
        (errno.EIO, "cannot be used", "Check the disk"),
    ],
)
def test_that_the_remedy_fits_the_error(number: int, happened: str, remedy: str) -> None:
    error = OSError(number, os.strerror(number))
    assert happened in what_happened(error, WHERE)
    assert os.strerror(number) in what_happened(error, WHERE)
    assert remedy in what_to_do(error, WHERE)
    assert ("space" in what_to_do(error, WHERE)) == is_full(error), "space helps against a full disk only"
    assert not (is_full(error) and is_forbidden(error))


def test_that_words_of_a_library_are_the_systems_error() -> None:
    found = error_in("IO Error: Could not write file x: No space left on device")
    assert found is not None
    assert is_full(found)
    assert error_in("Connection refused") is None
    assert error_in("") is None


def test_that_only_this_user_may_look_into_private_files(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        private_folder(tmp_path / "new")
        write_private(tmp_path / "new/file", b"x")
    finally:
        os.umask(before)
    old = tmp_path / "old"
    old.write_text("x")
    old.chmod(0o754)
    narrow(old)
    narrow(tmp_path / "missing")
    assert _mode(tmp_path / "new") == 0o700
    assert _mode(tmp_path / "new/file") == 0o600
    assert _mode(old) == 0o700


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
