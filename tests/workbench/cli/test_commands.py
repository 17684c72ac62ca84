"""The command line as scripts and people use it: through processes, with exit codes and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.house import House, until
from workbench.cli.main import build_parser, main
from workbench.experiment.file import dump
from workbench.store.operations import ListTrials


@pytest.fixture
def file(house: House, tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(dump(house.experiment(trials=2, precisions=("float32", "bfloat16"))))
    return path


def test_that_run_follows_prints_the_comparison_and_exports(house: House, file: Path, tmp_path: Path) -> None:
    done = house.command("run", str(file), "--export", str(tmp_path / "out"))
    assert done.returncode in (0, 1), done.stderr  # 1: a busy machine may make a trial invalid
    assert "bfloat16" in done.stdout
    assert "baseline" in done.stdout
    assert " 4 of 4" in done.stderr
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".png", ".svg", ".csv"}
    listed = house.json("list")
    assert [(e["name"], e["trials"], e["completed"]) for e in listed] == [("test", 4, 4)]
    shown = house.json("show", "1")
    assert shown["trial"]["outcome"] == "completed"
    assert any(m["metric"] == "latency_s" and m["value"] > 0 for m in shown["metrics"])
    compared = house.json("compare", "--baseline", "bfloat16")
    assert [row["baseline"] for row in compared["configurations"]] == [False, True]
    rows = house.json("query", "SELECT count(*) AS n FROM requests WHERE NOT warmup")
    assert rows == [{"n": 8}]


def test_that_more_blocks_are_run_and_followed(house: House, file: Path) -> None:
    assert house.command("run", str(file)).returncode in (0, 1)
    wrong = house.command("more", "1", "--blocks", "0")
    assert (wrong.returncode, "1 to 1,000" in wrong.stderr) == (2, True)
    done = house.command("more", "1", "--blocks", "1")
    assert done.returncode in (0, 1), done.stderr
    assert "test: 1 more block, 2 trials." in done.stderr
    assert "6 of 6" in done.stderr
    assert "3 of 6" not in done.stderr, "trials that had ended before are not told of again"
    assert "baseline" in done.stdout
    assert [(e["trials"], e["completed"]) for e in house.json("list")] == [(6, 6)]
    queued = house.json("more", "1", "--blocks", "1", "--detach")
    assert len(queued["trials"]) == 2


def test_that_five_mistakes_are_reported_at_once_with_their_places(house: House, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(
        'schema = 1\nmodels = []\nsede = 7\n[techniques]\nprecision = ["int9"]\n'
        '[workload]\nprompt_tokens = -4\nbatch_size = "two"\n[run]\ntrials = 0\n'
    )
    done = house.command("run", str(path))
    assert done.returncode == 2
    for place in ("line 3", "line 5", "line 7", "line 8", "line 10"):
        assert place in done.stderr
    assert "int8" in done.stderr, "a near name is offered"
    assert house.json("list") == []


def test_that_a_plan_is_shown_and_nothing_runs(house: House, file: Path) -> None:
    done = house.command("run", str(file), "--plan")
    assert done.returncode == 0
    assert "4 trials in 2 blocks" in done.stdout
    plan = house.json("run", str(file), "--plan")
    assert len(plan["configurations"]) == 2
    assert house.json("list") == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "77"), 5, "77"),
        (("compare",), 5, "experiment"),
        (("run", "/no/such/file.toml"), 2, "/no/such/file.toml"),
        (("export", "--format", "bmp"), 2, "bmp"),
        (("delete",), 2, "Name trials"),
        (("stop",), 2, "Name a trial"),
        (("query", "DELETE FROM trials"), 3, "SELECT"),
        (("stop", "no-such-trial"), 5, "no-such-trial"),
    ],
)
def test_that_a_wrong_command_says_so_and_has_its_exit_code(
    house: House, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = house.command(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_that_errors_are_json_where_the_answer_would_be(house: House) -> None:
    done = house.command("show", "77", "--json")
    assert done.returncode == 5
    assert json.loads(done.stderr)["error"]


def test_that_list_and_run_work_while_another_process_owns_the_database(house: House, file: Path) -> None:
    owner = house.open()
    owner.follow()
    done = house.command("run", str(file))
    assert done.returncode in (0, 1), done.stderr
    assert len(house.json("list", "1")) == 4
    assert len(owner.store.execute(ListTrials())) == 4
    assert owner.is_owner


def test_that_detached_trials_run_and_a_later_list_has_them(house: House, file: Path) -> None:
    done = house.command("run", str(file), "--detach")
    assert done.returncode == 0
    until(lambda: [t["outcome"] for t in house.json("list", "1")] == ["completed"] * 4, what="all trials are listed")


def test_that_stop_all_ends_what_runs_and_what_waits(house: House, tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_text(dump(house.experiment(trials=3, new_tokens=(1000,))))
    house.command("run", str(path), "--detach")
    until(lambda: "running" in {e["state"] for e in house.json("queue")["entries"]}, what="a trial runs")
    done = house.command("stop", "--all")
    assert done.returncode == 0, done.stderr
    assert "waiting trials: taken off the queue" in done.stdout
    assert "stopping, its data is kept" in done.stdout
    until(lambda: {t["outcome"] for t in house.json("list", "1")} == {"stopped"}, what="all are stopped")
    assert house.command("stop", "--all").stdout.strip() == "No trials running or queued."


def test_that_pause_and_resume_show_in_the_queue(house: House) -> None:
    assert house.json("queue", "--pause")["paused"] is True
    assert "paused" in house.command("queue").stdout
    assert house.json("queue", "--resume")["paused"] is False


def test_that_delete_asks_and_a_script_must_say_yes(house: House, file: Path) -> None:
    house.command("run", str(file))
    refused = house.command("delete", "1")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert len(house.json("delete", "1", "--yes")["deleted"]) == 1
    assert len(house.json("list", "1")) == 3


def test_that_a_damaged_database_is_named_and_left_as_it_is(house: House, tmp_path: Path) -> None:
    database = tmp_path / "cut.duckdb"
    house.command("list", "--database", str(database))
    whole = database.read_bytes()
    database.write_bytes(whole[: len(whole) // 3])
    done = house.command("list", "--database", str(database))
    assert done.returncode == 3
    assert "cut.duckdb" in done.stderr
    assert database.read_bytes() == whole[: len(whole) // 3]


def test_that_a_database_of_a_newer_schema_is_refused(house: House, tmp_path: Path) -> None:
    database = tmp_path / "newer.duckdb"
    house.command("list", "--database", str(database))
    with duckdb.connect(str(database)) as connection:
        connection.execute("UPDATE store SET schema_version = 999")
    done = house.command("list", "--database", str(database))
    assert done.returncode == 3
    assert "newer" in done.stderr


def test_that_the_catalogue_commands_answer(house: House) -> None:
    assert any(m["ref"] == "smollm2-135m-instruct" for m in house.json("models")["catalogue"])
    assert {t["id"] for t in house.json("techniques")} >= {"precision.float32", "precision.int8"}
    assert all(m["definition"] for m in house.json("metrics"))
    doctor = house.json("doctor")
    assert doctor["probe"]["devices"][0]["id"] == "cpu"


def test_that_no_display_is_said_and_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["gui"]) == 2
    assert "--headless" in capsys.readouterr().err


def test_that_every_command_has_a_handler_that_exists() -> None:
    import importlib

    parser = build_parser()
    commands = parser._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert set(commands) >= {
        "gui",
        "run",
        "demo",
        "queue",
        "stop",
        "list",
        "show",
        "delete",
        "compare",
        "export",
        "models",
        "techniques",
        "metrics",
        "doctor",
    }
    group = commands.pop("machines")  # its own commands do the work
    of_machines = group._subparsers._group_actions[0].choices
    for command in (*commands.values(), *of_machines.values()):
        module, _, function = command.get_default("handler").partition(":")
        assert callable(getattr(importlib.import_module(f"workbench.cli.{module}"), function))
