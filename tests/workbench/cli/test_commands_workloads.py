"""`llm-workbench tasks` and `texts` as people see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.protocol.places import places
from engines.protocol.records import WrittenText
from engines.protocol.tasks import LOCAL_TASKS
from tests.workbench.store_kit import add_experiment, ended, lines, started
from workbench.cli import workloads
from workbench.cli.main import main
from workbench.cli.workloads import _folded
from workbench.models.fetching import FetchError
from workbench.store.local import LocalStore
from workbench.store.operations import Ingest


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_WORKBENCH_HOME", str(tmp_path / "home"))
    file = tmp_path / "own.duckdb"
    store = LocalStore(file)
    add_experiment(store, "t-0", "t-1")
    for trial, words in (("t-0", "def f():\n    return 1"), ("t-1", "def g():\n    return 1")):
        said = WrittenText(seq=2, prompt_id="code", prompt="Write code", text=words, tokens=7, ended=True)
        store.execute(Ingest(trial=trial, lines=lines((started(), said, ended(3)))))
    store.close()
    return file


def test_that_texts_stand_side_by_side_or_below_each_other(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert main(["texts", "--database", str(database)]) == 0
    wide = capsys.readouterr().out.splitlines()
    assert wide[0] == "[code] Write code"
    assert any("def f():" in line and "def g():" in line for line in wide)
    assert any("baseline" in line and "differs from character 5 on" in line for line in wide)
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["texts", "--database", str(database)]) == 0
    narrow = capsys.readouterr().out.splitlines()
    assert not any("def f():" in line and "def g():" in line for line in narrow)
    assert "        return 1" in narrow


def test_that_texts_are_json_for_scripts_and_their_absence_says_how_to_get_them(
    database: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["texts", "1", "--json", "--baseline", "c-1", "--database", str(database)]) == 0
    (prompt,) = json.loads(capsys.readouterr().out)
    assert [t["is_baseline"] for t in prompt["texts"]] == [False, True]
    assert main(["texts", "nothing of that name", "--database", str(database)]) == 5
    empty = tmp_path / "empty.duckdb"
    store = LocalStore(empty)
    add_experiment(store, "t-9")
    store.close()
    capsys.readouterr()
    assert main(["texts", "--database", str(empty)]) == 0
    assert "text_tokens = 64" in capsys.readouterr().out


@pytest.mark.usefixtures("database")
def test_that_tasks_say_what_is_here_and_how_to_get_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["tasks"]) == 0
    said = capsys.readouterr().out
    assert "llm-workbench tasks --fetch" in said
    assert all(task.id in said and task.licence in said for task in LOCAL_TASKS)

    def fetched(here: object, report: object) -> None:
        places().tasks.mkdir(parents=True)
        for task in LOCAL_TASKS:
            (places().tasks / task.file).touch()

    monkeypatch.setattr(workloads, "ensure_tasks", fetched)
    assert main(["tasks", "--fetch", "--json"]) == 0
    assert all(task["ready"] for task in json.loads(capsys.readouterr().out)["tasks"])


@pytest.mark.usefixtures("database")
def test_that_a_failed_fetch_is_exit_code_6_with_advice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(here: object, report: object) -> None:
        raise FetchError("No network.", "Try later.")

    monkeypatch.setattr(workloads, "ensure_tasks", failed)
    assert main(["tasks", "--fetch"]) == 6
    assert "Try later." in capsys.readouterr().err


def test_that_folding_keeps_line_ends_and_indents() -> None:
    assert _folded("def f():\n    return 1\n\nend", 20) == "def f():\n    return 1\n\nend"
    assert _folded("one two three", 7) == "one two\nthree"
    assert _folded("", 7) == ""
