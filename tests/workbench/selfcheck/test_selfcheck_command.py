"""`llm-workbench selfcheck`: its options, what it prints, and SIGTERM."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.house import House, until
from tests.workbench.selfcheck.selfcheck_kit import FAST
from workbench.cli import selfcheck as cli
from workbench.cli.main import build_parser, main
from workbench.selfcheck import load
from workbench.store.operations import ListTrials


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command in this process, its trials short."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "chosen", lambda _options: replace(FAST, blocks=1))
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("short")
def test_that_the_command_prints_a_table_json_and_the_stored_one(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["selfcheck", "--show"]) == 5
    assert "llm-workbench selfcheck" in capsys.readouterr().err
    assert main(["selfcheck", "--blocks", "1", "--no-window", "--json"]) in (0, 1)
    done = capsys.readouterr()
    found = json.loads(done.out)
    assert found["blocks"] == 1
    progress = [json.loads(line)["progress"] for line in done.err.splitlines()]
    assert all(0 <= p["fraction"] <= 1 and p["text"] for p in progress)
    shown = house.command("selfcheck", "--show")
    assert shown.returncode == 0, shown.stderr
    for word in ("Telemetry, throughput", "Runner and sampler", "not measured", "Stamp of a token", "Resident memory"):
        assert word in shown.stdout
    assert house.json("selfcheck", "--show")["id"] == found["id"]


def test_that_the_commands_wishes_are_those_of_its_options() -> None:
    parser = build_parser()
    plain = cli.chosen(parser.parse_args(["selfcheck"]))
    assert (plain.minutes, plain.blocks, plain.window, plain.turns) == (20.0, None, True, load.TURNS)
    quick = cli.chosen(parser.parse_args(["selfcheck", "--quick", "--blocks", "3", "--no-window", "--device", "cpu"]))
    assert (quick.minutes, quick.blocks, quick.window, quick.device, quick.quick) == (4.0, 3, False, "cpu", True)


@pytest.mark.parametrize("wrong", [("--blocks", "0"), ("--minutes", "0"), ("--minutes", "-3")])
def test_that_no_blocks_and_no_time_are_wrong_use(house: House, wrong: tuple[str, str]) -> None:
    done = house.command("selfcheck", *wrong)
    assert done.returncode == 2
    assert "above 0" in done.stderr


def test_that_sigterm_ends_it_without_leftovers(house: House) -> None:
    process = house.start("selfcheck", "--blocks", "50", "--no-window", "--json")
    session = house.open()
    until(lambda: session.queue().in_state("running"), seconds=120, what="a trial runs")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode in (0, 1, 130)
    until(lambda: not session.queue().in_state("running"), what="the trial is stopped")
    session.catch_up()
    until(lambda: not session.store.execute(ListTrials(state="waiting")), what="nothing waits")
