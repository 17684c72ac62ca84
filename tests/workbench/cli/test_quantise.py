"""`llm-workbench quantise`: files made in advance, listed, and shown with the models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.places import Places
from tests.engines.llama.kit import make_family
from tests.engines.runner_harness import until
from tests.house import ROOT, House
from tests.tiny_model import make_tiny_model
from workbench.cli.main import main
from workbench.models import gguf_files
from workbench.models.gguf_files import all_files

GPT2 = {"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 512}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "tiny")


def facts_file(home: Places, name: str, **facts: str) -> Path:
    """A made file of the cache with the facts beside it."""
    folder = home.models / "gguf" / "0123456789abcdef"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.gguf"
    file.write_bytes(b"x" * 1000)
    usual = {
        "gguf.type": "Q8_0", "gguf.source": "Tiny", "gguf.bytes": "1000", "gguf.bits_per_weight": "8.50",
        "gguf.tensor_types": "Q8_0 9", "gguf.made_by": "llama-cpp-python 1",
    }  # fmt: skip
    file.with_suffix(".json").write_text(json.dumps({**usual, **facts}))
    return file


@pytest.mark.real
def test_that_files_are_made_listed_and_shown_with_the_models(house: House, tiny: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (make gguf)")
    made = house.json("quantise", str(tiny), "--to", "q8_0,Q4_K_M")
    assert [(f["type"], f["requantised_from"]) for f in made] == [("Q8_0", ""), ("Q4_K_M", "")]
    assert made[0]["bits_per_weight"] == pytest.approx(8.5, abs=0.1)
    assert made[1]["fallback"], "rows of 64 weights hold no super-block"
    assert house.json("quantise", str(tiny), "--to", "q8_0,Q4_K_M") == made
    listed = house.json("quantise", str(tiny), "--list")
    assert [f["type"] for f in listed] == ["F32", "Q8_0", "Q4_K_M"]
    shown = house.json("models")["made"]
    assert [(f["source"], f["type"]) for f in shown] == [("tiny", "F32"), ("tiny", "Q8_0"), ("tiny", "Q4_K_M")]
    table = house.command("quantise", str(tiny), "--to", "Q8_0").stdout
    assert "".join(table.splitlines()[0].split()) == "typesizebitsperweightrequantisedfromtensorsbytype"
    found = resolve(made[1]["path"], house.places, tiny)
    assert isinstance(found, ResolvedModel)
    assert found.facts.architecture == "llama"
    assert found.facts.stored_bytes == pytest.approx(made[1]["size_bytes"], rel=0.3)


@pytest.mark.real
def test_that_ctrl_c_leaves_finished_files_and_nothing_half_made(home: Places, tmp_path: Path) -> None:
    """As a terminal sends it: to the command, and to every process that it started."""
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (make gguf)")
    settings = {"model_type": "llama", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 1}
    folder = make_family(tmp_path / "model", settings, "bfloat16")
    command = [sys.executable, "-m", "workbench", "quantise", str(folder), "--to", "Q8_0,Q4_K_M"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(3):
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        ) as run:
            until(lambda run=run: run.poll() is not None or _frozen_half_made(home, "Q4_K_M"), 120, "a half-made file")
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGINT)
            _, said = run.communicate(timeout=60)
        if run.returncode != 0:
            break
        shutil.rmtree(home.models / "gguf")  # made whole before this process could look: it stood still
    assert run.returncode == 130
    assert "Interrupted" in said
    assert "Traceback" not in said
    assert [file.type for file in all_files(home)] == ["BF16", "Q8_0"]
    assert not list((home.models / "gguf").rglob(".making-*"))


def _frozen_half_made(home: Places, type_name: str) -> bool:
    """Whether a file of this type is half made; its maker is stopped then, until somebody ends it."""
    for draft in (home.models / "gguf").glob(f"*/.making-*-{type_name}.gguf"):
        try:
            maker = psutil.Process(int(draft.name.split("-")[1]))
            maker.suspend()
            if draft.exists():
                return True
            maker.resume()
        except (psutil.NoSuchProcess, FileNotFoundError):
            continue
    return False


def test_that_a_wrong_type_and_model_are_told(
    home: Places, tiny: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["quantise", str(tiny), "--to", "Q4_M"]) == 2
    assert "Did you mean 'Q4_K_M'?" in capsys.readouterr().err
    assert main(["quantise", "nothing-like-it"]) == 2
    assert "Unknown model" in capsys.readouterr().err
    (tiny / "config.json").write_text(json.dumps(GPT2))
    assert main(["quantise", str(tiny)]) == 2
    assert "its architecture is gpt2" in capsys.readouterr().err


def test_that_a_failure_of_the_maker_is_told_with_its_advice(
    home: Places, tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_files, "_MODULE", "tests.workbench.failing_fetch")
    assert main(["quantise", str(tiny), "--to", "Q8_0"]) == 1
    said = capsys.readouterr().err
    assert "The disk became full" in said
    assert "Free some space" in said


def test_that_only_whole_files_are_shown(home: Places) -> None:
    whole = facts_file(home, "tiny-Q8_0")
    facts_file(home, "cut-short", **{"gguf.bytes": "2000"})
    facts_file(home, "gone").unlink()
    damaged = facts_file(home, "damaged")
    damaged.with_suffix(".json").write_text("{")
    assert [file.path for file in all_files(home)] == [whole]


def test_that_files_of_a_model_are_in_order_of_size(home: Places) -> None:
    for name in ("Q2_K", "F16", "Q8_0", "BF16"):
        facts_file(home, name, **{"gguf.type": name})
    facts_file(home, "another", **{"gguf.source": "Another", "gguf.type": "Q4_0"})
    assert [(f.source, f.type) for f in all_files(home)] == [
        ("Another", "Q4_0"), ("Tiny", "BF16"), ("Tiny", "F16"), ("Tiny", "Q8_0"), ("Tiny", "Q2_K"),
    ]  # fmt: skip


def test_that_the_clean_up_frees_made_files(home: Places) -> None:
    disk_use = pytest.importorskip("widgets.background.disk_use")
    measure: Callable[..., object] = disk_use.folder_size
    file = facts_file(home, "tiny-Q8_0")
    assert measure(home.models)[0] > 1000  # type: ignore[index]
    assert disk_use.clear_folder(home.models) > 1000
    assert not file.exists()
    assert all_files(home) == ()
