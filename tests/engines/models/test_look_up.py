"""`python -m engines look-up`: what a machine says of its models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from engines.models.files import model_files
from engines.models.identity import SMALL_BYTES, Digests
from engines.models.lookup.answer import Answer, decode_answer
from engines.protocol.messages import LookUp, Wanted
from engines.protocol.places import Places
from tests.tiny_model import large_model, make_tiny_model

SIZE = SMALL_BYTES + 1


def look_up(asked: LookUp, home: Path) -> list[Answer]:
    done = subprocess.run(
        [sys.executable, "-m", "engines", "look-up"],
        input=msgspec.json.encode(asked),
        capture_output=True,
        check=True,
        env={**os.environ, "HOME": str(home)},
    )
    return [decode_answer(line) for line in done.stdout.splitlines()]


def test_that_an_answer_comes_before_large_files_are_read(home: Places, tmp_path: Path) -> None:
    large_model(tmp_path / "large", SIZE)
    first, *_, last = look_up(LookUp(refs=("large",)), tmp_path)
    assert not first.models["large"].identified
    assert (first.read_bytes, first.is_complete) == (0, False)
    assert first.total_bytes > SIZE
    assert last.is_complete
    assert last.models["large"].identified
    fingerprint = Digests(home.digests).of_model(model_files(tmp_path / "large"))
    assert last.models["large"].order.fingerprint == fingerprint
    (only,) = look_up(LookUp(refs=("large",)), tmp_path)
    assert only.models["large"].order.fingerprint == fingerprint, "read once"


def test_that_a_wanted_model_is_found_by_its_contents_alone(home: Places, tmp_path: Path) -> None:
    store = tmp_path / ".lmstudio" / "models" / "somebody"
    large_model(store / "large", SIZE)
    other = large_model(store / "other", SIZE)
    (other / "config.json").write_text((other / "config.json").read_text() + " ")  # as large, and another model
    make_tiny_model(store / "tiny")
    fingerprint = Digests(home.digests.with_name("mine")).of_model(model_files(store / "large"))
    size = (store / "large" / "model.safetensors").stat().st_size
    *_, last = look_up(LookUp(wanted=(Wanted(fingerprint, size), Wanted("sha256:" + "0" * 64, size))), tmp_path)
    assert {found: model.order.path for found, model in last.same.items()} == {fingerprint: str(store / "large")}


def test_that_nonsense_is_no_question(home: Places) -> None:
    done = subprocess.run([sys.executable, "-m", "engines", "look-up"], input=b"{", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
