"""Models copied to another home on this computer, by the process that a far machine would run."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from engines.models.files import model_files
from engines.models.identity import Digests
from engines.models.receiving import Announced, FileAnnounced, Refused, Word, copied
from engines.protocol.client import engine_environment
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places
from tests.house import ROOT
from tests.tiny_gguf import write_tiny_gguf
from tests.tiny_model import make_tiny_model
from workbench.machines.copying import CopyError, Engines, copy, parcel_of_model
from workbench.machines.links import local_engines


class _Stopped(Exception):
    pass


@pytest.fixture
def there(tmp_path: Path) -> Places:
    """The places of the other machine."""
    root = tmp_path / "there"
    return Places(root / "data", root / "state", root / "cache", root / "config", root / "run")


@pytest.fixture
def digests(home: Places) -> Digests:
    return Digests(home.digests)


@pytest.fixture
def tiny(tmp_path: Path, digests: Digests) -> ModelOrder:
    return order_of(make_tiny_model(tmp_path / "tiny"), digests)


def order_of(path: Path, digests: Digests) -> ModelOrder:
    kind = "folder" if path.is_dir() else "gguf"
    fingerprint = digests.of_model(model_files(path))
    return ModelOrder(ref=path.name, title=path.name, kind=kind, path=str(path), fingerprint=fingerprint)  # type: ignore[arg-type]


def engines(there: Places, *, file_limit: int = 0) -> Engines:
    def limited(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "engines", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=engine_environment(there),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit)),
        )

    return limited if file_limit else lambda arguments: local_engines(there, arguments)


def copied_shares(
    model: ModelOrder, there: Places, digests: Digests, *, file_limit: int = 0, stop_at: float = 2.0
) -> list[float]:
    """-> the shares that were reported"""
    shares: list[float] = []

    def report(share: float | None, _text: str) -> None:
        assert share is not None
        shares.append(share)
        if share >= stop_at:
            raise _Stopped

    path = copy(parcel_of_model(model), engines(there, file_limit=file_limit), digests, "Lab", report)
    assert Path(path) == copied(there, model.fingerprint)
    return shares


def test_that_a_folder_arrives_whole_and_is_known_by_its_contents(
    tiny: ModelOrder, there: Places, digests: Digests
) -> None:
    assert copied(there, tiny.fingerprint) is None
    assert copied_shares(tiny, there, digests)[-1] == 1.0
    arrived = copied(there, tiny.fingerprint)
    assert arrived is not None
    assert Digests(there.digests).of_model(model_files(arrived)) == tiny.fingerprint
    assert {f.name: f.read_bytes() for f in arrived.iterdir()} == {
        f.name: f.read_bytes() for f in model_files(Path(tiny.path)).all
    }
    assert {f.stat().st_mode & 0o077 for f in arrived.iterdir()} == {0}
    assert copied_shares(tiny, there, digests) == [], "a second time nothing is sent"
    assert [path.name for path in there.copied.iterdir()] == [arrived.name], "nothing else is left"


def test_that_a_gguf_file_arrives(tmp_path: Path, there: Places, digests: Digests) -> None:
    model = order_of(write_tiny_gguf(tmp_path / "tiny.gguf"), digests)
    copied_shares(model, there, digests)
    arrived = copied(there, model.fingerprint)
    assert arrived.read_bytes() == Path(model.path).read_bytes()


def test_that_a_copy_continues_where_it_was_interrupted(tiny: ModelOrder, there: Places, digests: Digests) -> None:
    with pytest.raises(_Stopped):
        copied_shares(tiny, there, digests, stop_at=0.0)  # before the first byte
    assert copied(there, tiny.fingerprint) is None
    half = next(f for f in model_files(Path(tiny.path)).weights)
    (part,) = there.copied.glob("*.part")
    (part / half.name).write_bytes(half.read_bytes()[:100_000])
    shares = copied_shares(tiny, there, digests)
    total = sum(f.stat().st_size for f in model_files(Path(tiny.path)).all)
    assert shares[0] == pytest.approx(100_000 / total), "what had arrived is not sent again"
    assert shares[-1] == 1.0


def test_that_what_was_damaged_on_the_way_is_never_kept(tiny: ModelOrder, there: Places, digests: Digests) -> None:
    with pytest.raises(_Stopped):
        copied_shares(tiny, there, digests, stop_at=0.0)
    half = next(f for f in model_files(Path(tiny.path)).weights)
    (part,) = there.copied.glob("*.part")
    (part / half.name).write_bytes(b"\1" * 100_000)
    with pytest.raises(CopyError, match="not what was announced"):
        copied_shares(tiny, there, digests)
    assert copied(there, tiny.fingerprint) is None
    copied_shares(tiny, there, digests)  # and the next time it comes anew
    assert Digests(there.digests).of_model(model_files(copied(there, tiny.fingerprint) or Path())) == tiny.fingerprint


def test_that_a_full_disk_is_said_and_what_arrived_is_kept(tiny: ModelOrder, there: Places, digests: Digests) -> None:
    with pytest.raises(CopyError, match=r"The disk of .* is full") as refused:
        copied_shares(tiny, there, digests, file_limit=50_000)
    assert "Free some space" in refused.value.advice
    shares = copied_shares(tiny, there, digests)
    assert shares[0] > 0


def test_that_a_disk_that_is_too_small_is_said_before_anything_is_sent(there: Places) -> None:
    size = 1 << 60
    said = announce(there, FileAnnounced(name="a.gguf", size_bytes=size, sha256="0" * 64))
    assert isinstance(said, Refused)
    assert "too little space" in said.message


@pytest.mark.parametrize(
    "name", ["../a.gguf", "/tmp/a.gguf", "a/../../b", "a//b", "", ".", "..", ".lock", "a/b/c/d/e", "a\0b", "x" * 256]
)
def test_that_no_file_leaves_its_folder(there: Places, name: str) -> None:
    said = announce(there, FileAnnounced(name=name, size_bytes=0, sha256="0" * 64))
    assert isinstance(said, Refused)
    assert "names or sizes" in said.message
    assert not there.copied.exists()


def test_that_files_that_are_another_model_are_not_kept(tiny: ModelOrder, there: Places, digests: Digests) -> None:
    with pytest.raises(CopyError, match="not what they are called"):
        copied_shares(msgspec.structs.replace(tiny, fingerprint="sha256:" + "0" * 64), there, digests)
    assert not there.copied.exists()


def announce(there: Places, *files: FileAnnounced, fingerprint: str = "sha256:" + "0" * 64) -> Word:
    process = local_engines(there, ["receive"])
    out, err = process.communicate(msgspec.json.encode(Announced(fingerprint=fingerprint, files=files)) + b"\n")
    assert process.returncode == 1, err
    return msgspec.json.decode(out.splitlines()[-1], type=Word)
