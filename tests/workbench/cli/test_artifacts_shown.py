"""What trials have left is listed by `show`, also after a journey in a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.protocol.records import Artifact
from tests.workbench.store_kit import add_experiment, ended, lines, started
from workbench.cli.main import main
from workbench.store.local import LocalStore
from workbench.store.operations import Ingest

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_WORKBENCH_HOME", str(tmp_path / "home"))
    file = tmp_path / "own.duckdb"
    there, gone = tmp_path / "adapter", tmp_path / "model"
    there.mkdir()
    store = LocalStore(file)
    add_experiment(store, "t-0", "t-1")
    said = (
        Artifact(seq=2, artifact="adapter", path=str(there), bytes=1_258_291, sha256=DIGEST),
        Artifact(seq=3, artifact="model", path=str(gone), bytes=0, sha256=DIGEST),
    )
    store.execute(Ingest(trial="t-0", lines=lines((started(), *said, ended(4)))))
    store.execute(Ingest(trial="t-1", lines=lines((started(), ended(2)))))
    store.close()
    return file


def test_that_show_lists_what_was_kept_with_size_hash_and_place(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "1", "--database", str(database)]) == 0
    adapter, model = [line for line in capsys.readouterr().out.splitlines() if DIGEST in line]
    assert "1.20 MiB" in adapter
    assert adapter.endswith(str(database.parent / "adapter"))
    assert f"not here any more: {database.parent / 'model'}" in model
    assert main(["show", "2", "--database", str(database)]) == 0
    assert not any(line.startswith("kept") for line in capsys.readouterr().out.splitlines())


def test_that_a_bundle_lists_them_too(database: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["export", "1", "--bundle", str(tmp_path / "bundle"), "--database", str(database)]) == 0
    other = str(tmp_path / "other.duckdb")
    assert main(["import", str(tmp_path / "bundle"), "--database", other]) == 0
    capsys.readouterr()
    assert main(["show", "1", "--json", "--database", other]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(a["artifact"], a["bytes"]) for a in shown["artifacts"]] == [("adapter", 1_258_291), ("model", 0)]
