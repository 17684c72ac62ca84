"""The quantisation ladder: made once, kept by content, whole or not there; what it is made of is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engines.llama.ladder import files as ladder_files
from engines.llama.ladder.files import GgufFile, cached_file, make_file, make_files, plan_file
from engines.models.identity import Digests
from engines.protocol.orders import Inference, ModelOrder
from engines.protocol.places import Places
from engines.protocol.records import ModelLoaded, PhaseStarted
from engines.techniques.gguf import LADDER
from engines.worker.failures import WorkerFailure
from engines.worker.stop import StopTrial
from tests.engines.llama.kit import FAMILIES, copy_of, gguf_order, llama_logits, make_family, need_llama
from tests.engines.worker_harness import QUICK, run_worker, start_worker
from tests.tiny_gguf import write_tiny_gguf

need_llama()

from engines.hf.files import gguf_model  # noqa: E402
from engines.llama.ladder import make as ladder_make  # noqa: E402
from engines.llama.ladder.cache import CachedFile, content_of, sweep  # noqa: E402
from engines.llama.ladder.quantise import contents  # noqa: E402

Q4_K_M, Q8_0, F16 = "precision.q4_k_m", "precision.q8_0", "precision.gguf-f16"


def quiet(_text: str, _share: float) -> None:
    pass


def folder_order(folder: Path, origin: str = "") -> ModelOrder:
    return ModelOrder(ref=str(folder), title=folder.name, kind="folder", path=str(folder), origin=origin)


def file_order(file: Path) -> ModelOrder:
    return ModelOrder(ref=str(file), title=file.stem, kind="gguf", path=str(file))


def made(model: ModelOrder, technique: str = Q8_0) -> tuple[GgufFile, dict[str, str]]:
    order = gguf_order(model, technique)
    facts = make_file(order, quiet)
    return plan_file(order), facts


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose rows fit the super-blocks of 256."""
    settings = {"model_type": "qwen2", "hidden_size": 256, "intermediate_size": 512, "tie_word_embeddings": False}
    return make_family(tmp_path_factory.mktemp("ladder") / "wide", settings)


# --- made and kept ---------------------------------------------------------------------------------


def test_that_a_file_is_planned_made_once_and_found_again(home: Places, tiny: Path) -> None:
    order = gguf_order(folder_order(tiny), Q8_0)
    planned = plan_file(order)
    assert (planned.exists, planned.title) == (False, f"{tiny.name} as Q8_0")
    told: list[float] = []
    facts = make_file(order, lambda _text, share: told.append(share))
    assert told == sorted(told)
    assert told[-1] > 0.9
    found = plan_file(order)
    assert (found.path, found.exists) == (planned.path, True)
    assert dict(found.facts) == facts
    assert found.path.is_relative_to(home.models / "gguf")
    stamp = found.path.stat().st_mtime_ns
    assert make_file(order, quiet) == facts
    assert found.path.stat().st_mtime_ns == stamp
    assert gguf_model(found.path).architecture == "llama"


def test_that_the_whole_ladder_is_made_and_gets_smaller(home: Places, wide: Path) -> None:
    files = make_files(folder_order(wide), LADDER[::-1], 2, quiet)  # F16, a conversion, after all quantising
    found = [contents(Path(files[name].path)) for name in LADDER]
    widths = [c.bits_per_weight for c in found]
    order = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"]
    assert list(LADDER) == order
    assert widths == sorted(widths, reverse=True)
    assert not any("gguf.fallback" in file.facts for file in files.values())
    for name, content in zip(LADDER, found, strict=True):
        assert content.main_type == {"Q5_K_M": "Q5_K", "Q4_K_M": "Q4_K", "Q3_K_M": "Q3_K"}.get(name, name)
        assert float(files[name].facts["gguf.bits_per_weight"]) == pytest.approx(content.bits_per_weight, abs=0.01)


def test_that_quantised_files_compute_nearly_the_same(home: Places, wide: Path) -> None:
    ids = [(n * 31) % 512 for n in range(64)]
    files = make_files(folder_order(wide), ("F16", "Q8_0", "Q4_K_M", "Q2_K"), 2, quiet)
    exact, *others = (llama_logits(Path(file.path), ids) for file in files.values())
    errors = [float(np.abs(other - exact).mean() / exact.std()) for other in others]
    assert errors == sorted(errors)
    assert 0 < errors[0] < 0.05
    assert errors[2] < 1.0


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_that_a_changed_model_is_made_anew(name: str, home: Places, tiny: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny, tmp_path / "tiny")
    before, _ = made(folder_order(folder))
    data = bytearray((folder / name).read_bytes())
    if name == "model.safetensors":
        data[len(data) // 2] ^= 1
    else:
        data += b"\n"
    (folder / name).write_bytes(data)
    planned = plan_file(gguf_order(folder_order(folder), Q8_0))
    assert not planned.exists
    assert planned.path.parent != before.path.parent


def test_that_one_changed_byte_of_a_large_file_is_noticed(tmp_path: Path) -> None:
    """Nothing is sampled."""
    file = tmp_path / "large.gguf"
    with file.open("wb") as out:
        out.truncate(64 << 20)
    before = content_of(file_order(file), file, Digests(tmp_path / "digests"))
    with file.open("r+b") as out:
        out.seek((37 << 20) + 5)
        out.write(b"\1")
    assert content_of(file_order(file), file, Digests(tmp_path / "digests")) != before


def test_that_a_moved_model_is_found_again(home: Places, tiny: Path, tmp_path: Path) -> None:
    first, _ = made(folder_order(tiny))
    moved = copy_of(tiny, tmp_path / "elsewhere")
    assert plan_file(gguf_order(folder_order(moved), Q8_0)).path == first.path


def test_that_a_file_without_facts_or_cut_short_is_not_used(home: Places, tiny: Path) -> None:
    order = gguf_order(folder_order(tiny), Q8_0)
    file, _ = made(folder_order(tiny))
    with file.path.open("r+b") as out:
        out.truncate(1000)
    assert not plan_file(order).exists
    make_file(order, quiet)
    assert plan_file(order).exists
    CachedFile(file.path).facts_path.unlink()
    assert not plan_file(order).exists


def test_that_a_gguf_file_as_it_is_needs_nothing(home: Places, tiny: Path) -> None:
    file, _ = made(folder_order(tiny))
    order = gguf_order(file_order(file.path), "precision.gguf-stored")
    assert plan_file(order) == GgufFile(file.path, exists=True, title=file.path.stem)
    assert make_file(order, quiet) == {}


def test_that_a_folder_as_it_is_and_other_precisions_are_refused(tiny: Path) -> None:
    with pytest.raises(WorkerFailure, match="Only a GGUF file"):
        plan_file(gguf_order(folder_order(tiny), "precision.gguf-stored"))
    with pytest.raises(WorkerFailure, match=r"no precision precision\.float32"):
        plan_file(gguf_order(folder_order(tiny), "precision.float32"))


# --- what it is made of is said --------------------------------------------------------------------


def test_that_rows_that_do_not_fit_are_counted(home: Places, tiny: Path) -> None:
    """Rows of 64 and 128 weights hold no super-block of 256: nothing in the file is Q4_K."""
    file, facts = made(folder_order(tiny), Q4_K_M)
    types = contents(file.path).tensors
    assert "Q4_K" not in types
    assert f"{types['Q5_0']} in Q5_0" in facts["gguf.fallback"]
    assert "do not fit the blocks of Q4_K_M" in facts["gguf.fallback"]


def test_that_requantising_is_said_and_a_float_source_is_none(home: Places, tiny: Path) -> None:
    half, facts = made(folder_order(tiny), F16)
    assert "gguf.requantised_from" not in facts
    small, facts = made(file_order(half.path), Q8_0)
    assert "gguf.requantised_from" not in facts
    assert facts["gguf.made_from"] == "a GGUF file in F16"
    again, facts = made(file_order(small.path), "precision.q4_0")
    assert facts["gguf.requantised_from"] == "Q8_0"
    wide, facts = made(file_order(again.path), F16)
    assert "gguf.requantised_from" not in facts
    assert facts["gguf.dequantised_from"] == "Q4_0"
    assert contents(wide.path).main_type == "F16"


def test_that_a_dequantised_folder_carries_its_origin_on(home: Places, tiny: Path) -> None:
    _, facts = made(folder_order(tiny, origin="dequantised from Q4_1"))
    assert facts["gguf.requantised_from"] == "Q4_1"


def test_that_facts_say_where_it_comes_from(home: Places, tiny: Path) -> None:
    file, facts = made(folder_order(tiny))
    assert facts["gguf.made_by"].startswith("llama-cpp-python ")
    assert facts["gguf.tokens"].startswith("the same as the model's own tokenizer")
    assert facts["gguf.made_from"] == "F32, the model's own type"
    assert int(facts["gguf.bytes"]) == file.path.stat().st_size
    assert facts["gguf.sha256"].startswith("sha256:")
    assert not any(str(tiny) in value for value in facts.values()), "no path of this machine goes into a trial"


# --- faults ----------------------------------------------------------------------------------------


def leftovers(home: Places) -> list[str]:
    return sorted(p.name for p in (home.models / "gguf").rglob(".making-*"))


def test_that_a_stop_ends_the_making_and_leaves_nothing(home: Places, tiny: Path) -> None:
    order = gguf_order(folder_order(tiny), Q8_0)

    def stop(_text: str, _share: float) -> None:
        raise StopTrial

    with pytest.raises(StopTrial):
        make_file(order, stop)
    assert leftovers(home) == []
    assert not plan_file(order).exists
    make_file(order, quiet)


def test_that_what_a_killed_maker_left_is_cleared(home: Places, tiny: Path) -> None:
    order = gguf_order(folder_order(tiny), Q8_0)
    folder = plan_file(order).path.parent
    folder.mkdir(parents=True)
    (folder / ".making-1-Q8_0.gguf").write_bytes(b"half")
    make_file(order, quiet)
    assert leftovers(home) == []
    (folder / ".making-1-Q4_0.gguf").write_bytes(b"half")
    sweep(home)
    assert leftovers(home) == []


def test_that_a_maker_that_dies_is_a_failure_in_words(
    home: Places, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -9 $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(ladder_files.sys, "executable", str(dying))
    with pytest.raises(WorkerFailure, match="signal 9"):
        make_file(gguf_order(folder_order(tiny), Q8_0), quiet)


def test_that_two_at_once_make_one_file(home: Places, tiny: Path) -> None:
    results: list[dict[str, str]] = []
    order = gguf_order(folder_order(tiny), Q4_K_M)
    threads = [threading.Thread(target=lambda: results.append(make_file(order, quiet))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results[0] == results[1], "the second one took the first one's file, with its seconds"


def test_that_a_disk_that_is_too_small_is_told_before(
    home: Places, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tiny)
    monkeypatch.setattr(ladder_make.shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    maker = ladder_make.Maker(home, folder_order(tiny), tiny, 1)
    with pytest.raises(WorkerFailure, match="needs up to") as failure:
        maker.make("Q8_0", quiet)
    assert "LLM_WORKBENCH_HOME" in failure.value.advice
    assert leftovers(home) == []


def test_that_too_little_room_for_all_is_told_before_the_first(
    home: Places, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rung alone would fit."""
    maker = ladder_make.Maker(home, folder_order(tiny), tiny, 1)
    maker.make("Q8_0", quiet)
    usage, spare = shutil.disk_usage(tiny), ladder_make._SPARE_BYTES
    parameters = contents(cached_file(home, folder_order(tiny), tiny, "F32").path).parameters
    monkeypatch.setattr(ladder_make.shutil, "disk_usage", lambda _: usage._replace(free=spare + parameters))
    with pytest.raises(WorkerFailure, match="3 GGUF files of tiny need at least") as failure:
        maker.check_room(("Q8_0", "Q6_K", "Q4_0", "Q2_K"))
    assert "LLM_WORKBENCH_HOME" in failure.value.advice
    maker.check_room(("Q8_0", "Q4_0"))
    maker.make("Q4_0", quiet)


def test_that_a_disk_that_becomes_full_leaves_nothing(
    home: Places, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: Path, target: Path, *_rest: Any, **_settings: Any) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ladder_make, "quantise", full)
    maker = ladder_make.Maker(home, folder_order(tiny), tiny, 1)
    with pytest.raises(OSError):
        maker.make("Q8_0", quiet)
    assert leftovers(home) == []
    told = ladder_make._explained(OSError(28, "No space left on device"), home, folder_order(tiny))
    assert "The disk became full" in told.message


def test_that_a_damaged_source_is_told(home: Places, tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(WorkerFailure, match=r"broken\.gguf"):
        make_file(gguf_order(file_order(file), Q8_0), quiet)
    with pytest.raises(WorkerFailure, match="cannot be read"):
        plan_file(gguf_order(file_order(tmp_path / "nowhere.gguf"), Q8_0))


def test_that_an_architecture_llama_cpp_does_not_know_is_told_when_it_is_quantised(
    home: Places, tmp_path: Path
) -> None:
    file = write_tiny_gguf(tmp_path / "odd.gguf", architecture="zork")
    with pytest.raises(WorkerFailure, match=r"does not know the architecture 'zork' of odd\.gguf") as failure:
        make_file(gguf_order(file_order(file), Q8_0), quiet)
    assert failure.value.kind == "model"
    assert "Update llama-cpp-python" in failure.value.advice, "another precision would not help"
    assert leftovers(home) == []


def test_that_a_hub_model_needs_the_network(home: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    model = ModelOrder(ref="org/name", title="name", kind="hub", path="org/name")
    order = gguf_order(model, Q8_0)
    assert not plan_file(order).exists
    with pytest.raises(WorkerFailure, match="network may not be used"):
        make_file(order, quiet)


# --- the command, and real workers -----------------------------------------------------------------


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engines.llama.ladder", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(ladder_files.__file__).parents[3])},
    )


def test_that_the_command_makes_lists_and_fails_in_json(home: Places, tiny: Path) -> None:
    model = msgspec.json.encode(folder_order(tiny)).decode()
    done = run_command("--progress-json", "--model", model, "--to", "Q8_0,Q4_0")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines if line["line"] == "made"] == ["Q8_0", "Q4_0"]
    listed = run_command("--progress-json", "--model", model, "--list")
    assert [json.loads(line)["type"] for line in listed.stdout.splitlines()] == ["F32", "Q8_0", "Q4_0"]
    broken = msgspec.json.encode(folder_order(tiny / "nowhere")).decode()
    failed = run_command("--progress-json", "--model", broken, "--to", "Q8_0")
    assert failed.returncode == 1
    assert json.loads(failed.stdout.splitlines()[-1])["kind"] == "model"


RANDOM = {
    "model_type": "qwen2", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "vocab_size": 1000,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize("kind", ["qwen2", "random"])
def test_that_a_worker_makes_its_file_and_runs_it(kind: str, home: Places, tmp_path: Path) -> None:
    if kind == "random":
        model = ModelOrder(ref="random:x", title="x", kind="random", config=RANDOM, origin="random weights")
    else:
        model = folder_order(make_family(tmp_path / "qwen2", FAMILIES["qwen2"]))
    workload: Inference = msgspec.structs.replace(QUICK, perplexity_tokens=0 if kind == "random" else 256)
    order = gguf_order(model, Q8_0, workload=workload)
    outcome = run_worker(order, tmp_path / "first")
    assert (outcome.exit_code, outcome.failure) == (0, "")
    phases = [r.name for r in outcome.all(PhaseStarted)]
    assert phases[:3] == ["start", "convert", "load"]
    assert len(outcome.measured) == 2
    assert "Q8_0" in outcome.only(ModelLoaded).bytes_by_dtype
    again = run_worker(order, tmp_path / "second")
    assert "convert" not in [r.name for r in again.all(PhaseStarted)]
    facts = [{k: v for k, v in o.facts.items() if k.startswith("gguf.")} for o in (outcome, again)]
    assert facts[0] == facts[1]
    assert facts[0]["gguf.type"] == "Q8_0"


@pytest.mark.real
def test_that_sigterm_in_the_making_stops_the_trial_without_a_file(home: Places, tmp_path: Path) -> None:
    """The shape is large enough that making it takes seconds: about 50 million random weights."""
    config = {**RANDOM, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 3}
    model = ModelOrder(ref="random:x", title="x", kind="random", config=config, origin="random weights")
    order = gguf_order(model, Q4_K_M, workload=QUICK)
    for name in ("run", "again", "once more"):
        worker = start_worker(order, tmp_path / name)
        worker.wait_for(lambda r: isinstance(r, PhaseStarted) and r.name == "convert")
        worker.process.send_signal(signal.SIGTERM)
        outcome = worker.finish()
        assert (outcome.exit_code, outcome.failure) == (0, "")
        if "load" not in [r.name for r in outcome.all(PhaseStarted)]:
            break
        plan_file(order).path.unlink()  # this process stood still for longer than the making takes
    else:
        pytest.fail("three files were made whole before the signal came")
    assert leftovers(home) == []
    assert not plan_file(order).exists
