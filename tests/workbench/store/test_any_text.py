"""Names that an encoding cannot hold: output escapes them, files with such names are written, and what cannot hold them
says so in a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines.models.lookup.resolve import resolve
from engines.protocol.problems import Problem
from tests.house import ROOT, House
from tests.workbench.store_kit import add_experiment
from workbench.experiment.file import dump
from workbench.store.local import LocalStore
from workbench.store.operations import GetExperiment, Rename, StoreError

TEXT = "é € 𝄞 \udce9"
"""Of 8, 16 and 21 bits, and what Python makes of a byte that is not UTF-8."""
_CHILD = f"""
import json, sys
from engines.protocol.streams import take_any_text
take_any_text()
print(json.dumps({TEXT!a}, ensure_ascii=False))
print({TEXT!a}, file=sys.stderr)
"""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder whose name is not UTF-8."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9j\xe0"))
    folder.mkdir()
    return folder


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_that_any_text_is_written_and_json_stays_json(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode(encoding)) == TEXT
    assert b"\\udce9" in done.stderr


def test_that_a_fork_whose_output_is_a_pipe_by_now_may_ask_again(tmp_path: Path) -> None:
    """A worker is forked from a template whose output is the runner's log, a file."""
    again = "from os import dup2, pipe; kept = pipe(); dup2(kept[1], 1); dup2(kept[1], 2); take_any_text()"
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-c", f"{_CHILD}{again}"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
            check=False,
        )
    assert done.returncode == 0


def test_that_a_finished_experiment_is_told_on_a_terminal_without_its_letters(house: House, odd: Path) -> None:
    model = house.model.rename(house.model.with_name("modèle"))
    file = odd / "experiment.toml"
    file.write_text(dump(House(house.places, model).experiment()), encoding="utf-8")
    for arguments in (
        ("run", str(file)),
        ("compare",),
        ("queue",),
        ("export", "--to", str(odd / "tables"), "--format", "csv,md,json,parquet,svg"),
        ("export", "--bundle", str(odd / "bundle")),
        ("import", str(odd / "bundle")),
    ):
        done = house.command(*arguments, PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
    assert "mod\\u00e8le" in house.command("show", "1", PYTHONIOENCODING="ascii").stdout
    shown = house.command("compare", "--json", PYTHONIOENCODING="ascii").stdout
    assert json.loads(shown)["constant"]["model"] == "modèle"
    assert {path.suffix for path in (odd / "tables").iterdir()} == {".csv", ".md", ".json", ".parquet", ".svg"}


def test_that_the_runners_command_takes_any_text(house: House) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engines", "attach", b"t-\xe9"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "'t-\\udce9' is not UTF-8: no trial can have it.\n"


def test_that_a_database_says_that_it_takes_no_such_name(odd: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"d\\udce9j\\udce0.* is not UTF-8") as caught:
        LocalStore(odd / "workbench.duckdb")
    assert caught.value.code == "not_utf8"
    store = LocalStore(tmp_path / "workbench.duckdb")
    add_experiment(store, "t-1")
    try:
        for operation in (GetExperiment(experiment="\udce9"), Rename(experiment="e-1", name="\udce9")):
            with pytest.raises(StoreError, match="is not UTF-8"):
                store.execute(operation)
    finally:
        store.close()


def test_that_a_model_in_such_a_folder_is_a_problem_of_the_plan_and_a_link_helps(house: House, odd: Path) -> None:
    shutil.copytree(house.model, odd / "tiny")
    found = resolve(str(odd / "tiny"), house.places, odd)
    assert isinstance(found, Problem)
    assert "not UTF-8" in found.message
    link = odd.parent / "plain"
    link.symlink_to(odd / "tiny")
    assert not isinstance(resolve(str(link), house.places, odd), Problem)
