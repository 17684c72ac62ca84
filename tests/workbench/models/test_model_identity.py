"""Fingerprints of a plan's models: read while a command waits, in the background while a window goes on."""

from __future__ import annotations

import errno
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.models import identity
from engines.models.identity import Digests
from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.places import Places
from engines.protocol.problems import Problem, ProblemsFound
from tests.house import House, until
from tests.workbench.models.test_models import make_folder, write_gguf, write_safetensors
from tests.workbench.plan.test_plan import experiment, messages, probe
from workbench.models.identity import Identities, Looked
from workbench.plan.plan import Plan, make_plan


@pytest.fixture(autouse=True)
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as one that takes a while."""
    monkeypatch.setattr(identity, "SMALL_BYTES", -1)


def looked(home: Places, *refs: Path | str) -> dict[str, Looked]:
    return {str(ref): resolve(str(ref), home, Path("/")) for ref in refs}


def fingerprint(model: Looked) -> str:
    assert isinstance(model, ResolvedModel)
    return model.order.fingerprint


def quiet(_share: float | None, _text: str) -> None:
    pass


def planned(models: dict[str, Looked]) -> Plan:
    return make_plan(experiment(*models), models, probe())


def test_that_a_changed_matrix_makes_another_model(home: Places, tmp_path: Path) -> None:
    """As merging an adapter does: config, names and sizes stay, bytes deep inside the file change."""
    first = make_folder(tmp_path / "a")
    second, third = (Path(shutil.copytree(first, tmp_path / name)) for name in ("b", "c"))
    data = bytearray((second / "model.safetensors").read_bytes())
    data[-160] ^= 1
    (second / "model.safetensors").write_bytes(bytes(data))
    models = Identities(Digests(home.digests)).read(looked(home, first, second, third), quiet)
    one, other, same = map(fingerprint, models.values())
    assert one == same != other
    plan = planned(models)
    assert len(plan.configurations) == 4
    assert f"{third} is the same model as {first}" in messages(plan.problems)


def test_that_a_shortened_tokenizer_makes_another_model(home: Places, tmp_path: Path) -> None:
    first, second = make_folder(tmp_path / "a"), make_folder(tmp_path / "b")
    (first / "tokenizer.json").write_text('{"vocab": [1, 2]}')
    (second / "tokenizer.json").write_text('{"vocab": [1]}')
    one, other = map(fingerprint, Identities(Digests(home.digests)).read(looked(home, first, second), quiet).values())
    assert one != other


def test_that_the_reading_says_how_far_it_is_and_happens_once(home: Places, tmp_path: Path) -> None:
    shares: list[float | None] = []
    models = looked(home, make_folder(tmp_path / "a"), write_gguf(tmp_path / "b.gguf"))
    identities = Identities(Digests(home.digests))
    first = identities.read(models, lambda share, _text: shares.append(share))
    assert shares[-1] == 1.0
    assert shares == sorted(shares, key=float)  # type: ignore[arg-type]
    said = len(shares)
    assert identities.read(models, lambda share, _text: shares.append(share)) == first
    assert len(shares) == said
    assert all(fingerprint(model).startswith("sha256:") for model in first.values())


def test_that_problems_and_random_weights_pass_and_files_that_cannot_be_read_are_problems(
    home: Places, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "a")
    models = looked(home, "random:gpt2", "nonsense", folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "gone")
    identities = Identities(Digests(home.digests))
    for found in (identities.read(models, quiet), identities.glance(models)):
        assert found["random:gpt2"] == models["random:gpt2"]
        assert found["nonsense"] == models["nonsense"]


class Held(Digests):
    """Reads when it may: a model of many gigabytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.may = threading.Event()
        self.begun = threading.Event()
        self.threads: set[str] = set()

    def of(self, file: Path, progress: Callable[[int], None] = lambda _bytes: None) -> str:
        self.threads.add(threading.current_thread().name)
        progress(1)
        self.begun.set()
        while not self.may.wait(0.01):
            progress(0)
        return super().of(file, progress)


def test_that_a_window_goes_on_while_a_model_is_read(home: Places, tmp_path: Path) -> None:
    first, second = make_folder(tmp_path / "a"), make_folder(tmp_path / "b")
    models = looked(home, first, second)
    digests = Held(home.digests)
    identities = Identities(digests)
    plan = planned(identities.glance(models))
    assert not plan.identified
    assert "The files of a are being read: 0% of" in messages(plan.problems)
    assert "same model" not in messages(plan.problems)
    assert len(plan.configurations) == 4, "nothing is said to be the same before it is known"
    digests.begun.wait()
    digests.may.set()
    until(lambda: planned(identities.glance(models)).identified)
    plan = planned(identities.glance(models))
    assert "same model" in messages(plan.problems)
    assert "being read" not in messages(plan.problems)
    assert digests.threads == {"model-files"}
    identities.close()


def test_that_a_file_that_cannot_be_read_in_the_background_is_a_problem_until_it_can(
    home: Places, tmp_path: Path
) -> None:
    class Failing(Digests):
        broken = True

        def of(self, file: Path, progress: Callable[[int], None] = lambda _bytes: None) -> str:
            if self.broken and file.name == "model.safetensors":
                raise OSError(errno.EIO, "Input/output error")
            return super().of(file, progress)

    digests = Failing(home.digests)
    folder = make_folder(tmp_path / "a")
    models = looked(home, folder)
    identities = Identities(digests)
    until(lambda: isinstance(identities.glance(models)[str(folder)], Problem))
    until(lambda: isinstance(identities.glance(models)[str(folder)], Problem))
    digests.broken = False
    until(lambda: planned(identities.glance(models)).identified)
    identities.close()


def test_that_closing_ends_the_reading(home: Places, tmp_path: Path) -> None:
    digests = Held(home.digests)
    identities = Identities(digests)
    identities.glance(looked(home, make_folder(tmp_path / "a")))
    digests.begun.wait()
    identities.close()
    assert not [t for t in threading.enumerate() if t.name == "model-files"]


def test_that_skipped_configurations_are_not_called_unknown_before_hashes_are(home: Places, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a")
    models = looked(home, folder)
    identities = Identities(Digests(home.digests))
    known = make_plan(experiment(str(folder)), identities.read(models, quiet), probe())
    skipping = experiment(str(folder), run=known.experiment.run.__class__(skip=(known.configurations[0].hash,)))
    assert make_plan(skipping, identities.read(models, quiet), probe()).skipped
    unread = Identities(Held(tmp_path / "elsewhere"))
    plan = make_plan(skipping, unread.glance(models), probe())
    assert "run.skip names" not in messages(plan.problems)
    unread.close()


def test_that_nothing_runs_before_it_is_known_what_it_is(house: House) -> None:
    session = house.open()
    plan = session.plan(house.experiment(), wait=False)
    assert not plan.identified
    with pytest.raises(ProblemsFound, match="are being read"):
        session.run(plan)
    until(lambda: session.plan(house.experiment(), wait=False).identified)
    plan = session.plan(house.experiment())
    assert {c.model.fingerprint[:7] for c in plan.configurations} == {"sha256:"}


def test_that_a_file_that_is_being_written_is_a_problem_of_the_plan(home: Places, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a")

    class Written(Digests):
        def of(self, file: Path, progress: Callable[[int], None] = lambda _bytes: None) -> str:
            def grow(count: int) -> None:
                progress(count)
                (folder / "config.json").write_text(json.dumps({"model_type": "llama", "at": count}))

            return super().of(file, grow if file.name == "config.json" else progress)

    found = Identities(Written(home.digests)).read(looked(home, folder), quiet)[str(folder)]
    assert isinstance(found, Problem)
    assert found.severity == "error"
    assert "changed while it was read" in found.message
    write_safetensors(folder / "model.safetensors")
