"""What training leaves on disk: kept adapters and models of real workers on the tiny model, and what damages them."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from engines.models import artifacts
from engines.models.artifacts import Made
from engines.models.files import BrokenModel, model_files
from engines.models.identity import Digests
from engines.protocol.file_errors import is_full
from engines.protocol.orders import ModelOrder, TechniqueOrder
from engines.protocol.places import HOME_VARIABLE, places
from engines.protocol.records import Artifact, Evaluation, ModelLoaded, PhaseEnded, TookEffect
from tests.engines.hf.test_training import training_order
from tests.engines.worker_harness import QUICK, Outcome, folder_model, run_worker, trial_order


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv(HOME_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def kept(tiny: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    order = training_order(tiny, steps=4, warmup_steps=1, keep="model")
    return run_worker(order, tmp_path_factory.mktemp("run"))


def made(**changes: object) -> Made:
    fields = {
        "artifact": "adapter",
        "trial": "t-1",
        "title": "tiny · LoRA",
        "experiment_title": "test",
        "step": 5,
        "base": ModelOrder(ref="tiny", title="tiny", kind="folder", path="/tiny"),
    }
    return Made(**(fields | changes))  # type: ignore[arg-type]


def fill(draft: Path) -> None:
    (draft / "a.bin").write_bytes(b"abc")
    (draft / "b.bin").write_bytes(b"de")


# --- through a worker -------------------------------------------------------------------------------


def test_that_a_kept_model_says_its_size_and_hash_and_is_a_model(kept: Outcome, home: Path) -> None:
    assert kept.exit_code == 0, kept.stderr
    adapter, model = kept.all(Artifact)
    assert (adapter.artifact, model.artifact) == ("adapter", "model")
    for record in (adapter, model):
        folder = Path(record.path)
        assert folder == places().artifacts / "t-1" / record.artifact
        assert record.bytes == sum(f.stat().st_size for f in folder.iterdir())
        assert artifacts.read(folder) is not None
    assert model.sha256 == Digests(home / "digests").of_model(model_files(Path(model.path)))


def test_that_hashes_of_what_was_trained_are_there_when_the_model_is_kept_too(kept: Outcome) -> None:
    facts = kept.facts
    assert facts["training.trained_sha256"].startswith("sha256:")
    assert facts["training.frozen_sha256"].startswith("sha256:")


def test_that_the_merged_model_computes_what_base_and_adapter_compute(kept: Outcome, tiny: Path) -> None:
    adapter, model = (Path(a.path) for a in kept.all(Artifact))
    ids = torch.arange(2, 40)[None]
    base = AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        plain = base(ids).logits
        unmerged = PeftModel.from_pretrained(base, str(adapter))(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(model)(ids).logits
    assert torch.allclose(merged, unmerged, atol=1e-5)
    assert not torch.allclose(merged, plain, atol=1e-3)  # it learned something
    text = "a b  c"
    assert AutoTokenizer.from_pretrained(model)(text).input_ids == AutoTokenizer.from_pretrained(tiny)(text).input_ids


def test_that_nothing_is_kept_unless_it_is_asked_for(tiny: Path, home: Path, tmp_path: Path) -> None:
    outcome = run_worker(training_order(tiny, steps=1, warmup_steps=0, evaluation_tokens=0), tmp_path)
    assert outcome.exit_code == 0
    assert not outcome.all(Artifact)


def test_that_a_folder_that_cannot_be_written_costs_the_artifact_and_not_the_trial(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder would be")
    order = training_order(tiny, steps=2, warmup_steps=0, keep="adapter")
    outcome = run_worker(order, tmp_path / "run", environment={HOME_VARIABLE: str(tmp_path)})
    assert outcome.exit_code == 0
    cue = outcome.cue("not_kept")
    assert "The adapter was not kept." in cue.text
    assert "figures are safe" in cue.text
    assert [e.name for e in outcome.all(Evaluation)] == ["held_out_before", "held_out_after", "test"]


# --- used as a model --------------------------------------------------------------------------------


def used(
    kept: Outcome, tiny: Path, folder: Path, *, technique: str = "", precision: str = "float32", **model: str
) -> Outcome:
    """Perplexity of base and adapter."""
    adapter = kept.all(Artifact)[0]
    order = trial_order(
        ModelOrder(
            **{"ref": "m", "title": "m", "kind": "folder", "path": str(tiny), "adapter": adapter.path}  # type: ignore[arg-type]
            | {"adapter_hash": adapter.sha256, **model}
        ),
        precision,
        msgspec.structs.replace(QUICK, perplexity_tokens=256),
    )
    chosen = (TechniqueOrder(id=technique),) if technique else ()
    return run_worker(msgspec.structs.replace(order, techniques=(*order.techniques, *chosen)), folder)


def perplexity(outcome: Outcome) -> float:
    assert outcome.exit_code == 0, outcome.stderr
    found = outcome.only(Evaluation)
    return math.exp(found.nll_sum / found.tokens)


def test_that_an_adapter_is_used_unmerged_or_merged_with_the_same_answers(
    kept: Outcome, tiny: Path, tmp_path: Path
) -> None:
    unmerged = used(kept, tiny, tmp_path / "unmerged")
    merged = used(kept, tiny, tmp_path / "merged", technique="adapter.merged")
    base = run_worker(
        trial_order(folder_model(tiny), workload=msgspec.structs.replace(QUICK, perplexity_tokens=256)), tmp_path / "b"
    )
    assert perplexity(merged) == pytest.approx(perplexity(unmerged), rel=1e-5)
    assert abs(perplexity(base) / perplexity(unmerged) - 1) > 1e-3
    parameters = [o.only(ModelLoaded).parameters for o in (base, merged, unmerged)]
    effect = next(e for e in merged.all(TookEffect) if e.technique == "adapter.merged").changed
    assert parameters == [parameters[0], parameters[0], parameters[0] + effect["adapter_parameters"]]
    assert [s.name for s in merged.all(PhaseEnded) if s.name == "convert"] == ["convert"]
    again = used(kept, tiny, tmp_path / "again", technique="adapter.merged", precision="int8")
    assert not [s for s in again.all(PhaseEnded) if s.name == "convert"]  # made once, for every precision
    assert perplexity(again) == pytest.approx(perplexity(merged), rel=0.02)


def test_that_an_unmerged_adapter_works_beside_a_base_in_4_bits(kept: Outcome, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    outcome = used(kept, tiny, tmp_path, technique="adapter.unmerged", precision="nf4")
    assert perplexity(outcome) == pytest.approx(perplexity(used(kept, tiny, tmp_path / "float")), rel=0.1)
    assert outcome.only(ModelLoaded).stored_bits < 9


def test_that_an_adapter_with_other_files_than_planned_is_refused(kept: Outcome, tiny: Path, tmp_path: Path) -> None:
    for technique in ("adapter.unmerged", "adapter.merged"):
        outcome = used(kept, tiny, tmp_path / technique, technique=technique, adapter_hash="sha256:0")
        assert outcome.failure == "model"
        assert "have changed since" in outcome.stderr
    gone = used(kept, tiny, tmp_path / "gone", adapter=str(tmp_path / "nowhere"))
    assert gone.failure == "model"


def test_that_a_technique_for_adapters_needs_one(tiny: Path, tmp_path: Path) -> None:
    order = trial_order(folder_model(tiny))
    order = msgspec.structs.replace(order, techniques=(*order.techniques, TechniqueOrder(id="adapter.merged")))
    assert run_worker(order, tmp_path).failure == "technique"


# --- on disk ----------------------------------------------------------------------------------------


def test_that_the_hash_is_that_of_names_and_contents(tmp_path: Path) -> None:
    done = artifacts.write(tmp_path / "t-1" / "adapter", made(), fill)
    lines = "\n".join(f"{n} {hashlib.sha256(b).hexdigest()}" for n, b in (("a.bin", b"abc"), ("b.bin", b"de")))
    assert done.sha256 == "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
    assert done.bytes == 5
    assert artifacts.read(tmp_path / "t-1" / "adapter") == done
    artifacts.check(tmp_path / "t-1" / "adapter", done)


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "gone"])
def test_that_a_damaged_artifact_is_refused_with_words(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "t-1" / "adapter"
    done = artifacts.write(folder, made(), fill)
    match damage:
        case "changed":
            (folder / "a.bin").write_bytes(b"abd")
        case "missing":
            (folder / "a.bin").unlink()
        case "added":
            (folder / "c.bin").write_bytes(b"")
        case _:
            folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(BrokenModel, match="gone" if damage == "gone" else "not those that trial t-1 wrote") as refused:
        artifacts.check(folder, done)
    assert "Train again" in refused.value.advice


def test_that_a_full_disk_leaves_nothing_of_an_artifact(tmp_path: Path) -> None:
    folder = tmp_path / "t-1" / "model"

    def full(draft: Path) -> None:
        fill(draft)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError) as refused:
        artifacts.write(folder, made(artifact="model"), full)
    assert is_full(refused.value)
    assert not list((tmp_path / "t-1").iterdir())
    assert artifacts.read(folder) is None


def test_that_a_process_killed_while_it_writes_leaves_the_earlier_artifact_and_no_half_one(tmp_path: Path) -> None:
    before = artifacts.write(tmp_path / "t-1" / "step-1", made(artifact="checkpoint", step=1), fill)
    program = """
import os, signal, sys
from pathlib import Path
from tests.engines.models.test_artifacts import artifacts, fill, made
def die(draft):
    fill(draft)
    os.kill(os.getpid(), signal.SIGKILL)
artifacts.write(Path(sys.argv[1]) / "t-1" / "step-2", made(artifact="checkpoint", step=2), die)
"""
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert died.returncode == -9
    assert artifacts.checkpoints(tmp_path, "t-1") == [(tmp_path / "t-1" / "step-1", before)]
    after = artifacts.write(tmp_path / "t-1" / "step-2", made(artifact="checkpoint", step=2), fill)
    assert [m for _, m in artifacts.checkpoints(tmp_path, "t-1")] == [after, before]
    assert not list((tmp_path / "t-1").glob(".*"))


def test_that_checkpoints_come_newest_first_by_step_and_only_whole(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        artifacts.write(tmp_path / "t-1" / f"step-{step}", made(artifact="checkpoint", step=step), fill)
    (tmp_path / "t-1" / "step-99").mkdir()
    assert [m.step for _, m in artifacts.checkpoints(tmp_path, "t-1")] == [10, 9, 2]
    assert not artifacts.checkpoints(tmp_path, "t-2")
