"""Work on stored trials through the session and the commands: estimates that follow the settings, bundles, a meter."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engines.protocol.places import Places
from tests.house import Heard
from tests.workbench.store_kit import add_experiment, lines
from tests.workbench.synthetic import SECOND, WALL_NS, FakeTrial, records
from workbench.cli.main import main
from workbench.metrics.assumptions import Assumptions
from workbench.running.events import Notice, StoreChanged
from workbench.running.intake import judge_leftovers, take_in
from workbench.running.workbench import Workbench
from workbench.store.operations import (
    DeleteTrials,
    GetExperiment,
    GetTrial,
    Ingest,
    MetricRow,
    Query,
    SetMetrics,
    Store,
)

PRICED = Assumptions(watts_per_core=10.0, price_per_kwh=0.3, carbon_grams_per_kwh=400.0, peak_flops=1e12)


def fill(store: Store, *trials: str) -> None:
    add_experiment(store, *trials)
    for number, trial in enumerate(trials):
        store.execute(Ingest(trial=trial, lines=lines(records(FakeTrial(seed=number)))))


def figure(store: Store, trial: str, metric: str) -> MetricRow:
    return next(m for m in store.execute(GetExperiment()).metrics if (m.trial, m.metric) == (trial, metric))


def test_that_trials_are_judged_with_what_is_set_at_that_moment(home: Places) -> None:
    with Workbench() as session:
        session.stored.set_assumptions(PRICED)
        add_experiment(session.store, "t-1", "t-2")
        take_in(session.store, "t-1", lines(records(FakeTrial())), session.stored.assumed)
        first = figure(session.store, "t-1", "energy_estimate_joules")
        assert first.value is not None
        assert "10 W per core set by the user" in first.method
        session.stored.set_assumptions(Assumptions(watts_per_core=20.0))
        session.store.execute(Ingest(trial="t-2", lines=lines(records(FakeTrial()))))
        assert judge_leftovers(session.store, session.stored.assumed) == ("t-2",)
        second = figure(session.store, "t-2", "energy_estimate_joules")
        assert second.value == pytest.approx(2 * first.value)
        assert figure(session.store, "t-2", "cost_per_million_tokens").value is None


def test_that_a_change_of_settings_reaches_stored_trials_by_recomputing(home: Places) -> None:
    with Workbench() as session:
        fill(session.store, "t-1", "t-2")
        session.catch_up()
        assert "Set the price" in figure(session.store, "t-1", "cost_per_million_tokens").reason
        session.stored.set_assumptions(PRICED)
        assert session.stored.ended() == ("t-1", "t-2")
        heard, steps = Heard(), list[tuple[int, int]]()
        session.listen(heard)

        def progress(done: int, total: int) -> bool:
            steps.append((done, total))
            return True

        assert session.stored.recompute(progress=progress) == 2
        assert steps == [(0, 2), (1, 2), (2, 2)]
        assert heard.of(StoreChanged) == [StoreChanged()]
        cost = figure(session.store, "t-1", "cost_per_million_tokens")
        assert cost.value is not None
        assert cost.method.startswith("estimate at 0.3 EUR/kWh set by the user")
        peak = figure(session.store, "t-1", "model_flops_utilisation_ratio")
        assert "set by the user for any device and precision" in peak.method


def test_that_recomputing_can_be_stopped_between_trials_and_passes_over_deleted_ones(home: Places) -> None:
    with Workbench() as session:
        fill(session.store, "t-1", "t-2", "t-3")
        assert session.stored.recompute(progress=lambda done, _total: done < 1) == 1

        def deleting(done: int, _total: int) -> bool:
            if done == 1:
                session.store.execute(DeleteTrials(trials=("t-2",)))
            return True

        assert session.stored.recompute(progress=deleting) == 2


def test_that_a_settings_file_that_cannot_be_read_is_told_once_and_measured_figures_are_made(home: Places) -> None:
    with Workbench() as session:
        session.stored.settings_path.parent.mkdir(parents=True)
        session.stored.settings_path.write_text("[assumptions")
        heard = Heard()
        session.listen(heard)
        fill(session.store, "t-1", "t-2")
        session.catch_up()
        session.stored.assumed()
        (notice,) = heard.of(Notice)
        assert "not TOML" in notice.message
        assert "left blank" in notice.advice
        assert figure(session.store, "t-2", "latency_s").value is not None


def test_that_a_guest_recomputes_and_the_owner_hears_of_it(home: Places) -> None:
    with Workbench() as owner, Workbench() as guest:
        assert not guest.is_owner
        fill(owner.store, "t-1")
        owner.stored.set_assumptions(PRICED)
        heard = Heard()
        owner.listen(heard)
        assert guest.stored.recompute("1") == 1
        assert StoreChanged(trials=("t-1",)) in heard
        assert figure(owner.store, "t-1", "co2e_per_million_tokens_grams").value is not None


def test_that_the_command_recomputes_one_experiment_or_all(home: Places, capsys: pytest.CaptureFixture[str]) -> None:
    with Workbench() as session:
        fill(session.store, "t-1", "t-2")
    assert main(["settings", "--set", "watts_per_core=10"]) == 0
    assert main(["recompute", "first comparison"]) == 0
    assert "2 trials" in capsys.readouterr().out
    assert main(["recompute", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"recomputed": 2}
    assert main(["recompute", "no such"]) == 5
    assert "no experiment" in capsys.readouterr().err


def test_that_figures_of_older_formulas_are_shown_when_asked_for(
    home: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    old = MetricRow(
        trial="t-1", metric="latency_s", version=0, value=9.0, unit="s", method="", scope="", n=1, reason=""
    )
    with Workbench() as session:
        fill(session.store, "t-1")
        session.catch_up()
        session.store.execute(SetMetrics(trial="t-1", metrics=(old,), reasons=(), verdict="valid"))

    def versions(*more: str) -> list[int]:
        assert main(["show", "t-1", "--json", *more]) == 0
        told = json.loads(capsys.readouterr().out)["metrics"]
        return [m["version"] for m in told if m["metric"] == "latency_s"]

    assert versions() == [1]
    assert sorted(versions("--all-versions")) == [0, 1]
    assert main(["show", "t-1", "--all-versions"]) == 0
    assert "formula 0" in capsys.readouterr().out


def test_that_a_trial_is_shown_with_what_matters_first_and_what_each_figure_is_made_of(
    home: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    with Workbench() as session:
        fill(session.store, "t-1")
        session.catch_up()
    assert main(["show", "t-1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("---")) + 1
    assert lines[first].startswith("Decode throughput")
    assert re.search(r"; made of \d+ tokens$", lines[first])


def test_that_an_experiment_goes_to_another_database_by_command(
    home: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Workbench() as session:
        fill(session.store, "t-1", "t-2")
        session.catch_up()
    folder, other = tmp_path / "out" / "bundle", ["--database", str(tmp_path / "other.duckdb")]
    assert main(["export", "--bundle", str(folder)]) == 0
    assert "2 trials with all records" in capsys.readouterr().out
    assert main(["import", str(folder), *other]) == 0
    assert "Imported 2 trials as experiment 1, first comparison." in capsys.readouterr().out
    assert main(["import", str(folder), *other]) == 0
    assert "Nothing to import: experiment 1, first comparison, already has all 2 trials" in capsys.readouterr().out
    assert main(["import", str(tmp_path), *other]) == 3
    assert "is no bundle" in capsys.readouterr().err
    assert main(["export", "--bundle", str(tmp_path)]) == 3
    assert "holds something else" in capsys.readouterr().err


def meter(path: Path, zone: timedelta = timedelta(), mark: str = "") -> Path:
    start = datetime.fromtimestamp(WALL_NS / SECOND, UTC).replace(tzinfo=None) + zone - timedelta(seconds=3)
    rows = [f"{(start + timedelta(seconds=i)).isoformat()}{mark},120" for i in range(60)]
    path.write_text("time,watts\n" + "\n".join(rows) + "\n")
    return path


def test_that_the_command_imports_a_meter_in_a_zone(
    home: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Workbench() as session:
        fill(session.store, "t-1")
    plug = str(meter(tmp_path / "plug.csv", timedelta(hours=9)))
    assert main(["wall-meter", "1", plug, "--zone", "UTC"]) == 2
    said = capsys.readouterr().err
    assert "not of this trial's time" in said
    assert "Nothing was stored" in said
    assert "--zone" in said
    assert main(["wall-meter", "1", plug, "--zone", "Asia/Tokyo"]) == 0
    assert "readings of the wall meter are stored with trial 1" in capsys.readouterr().out
    assert main(["wall-meter", "1", plug, "--zone", "Atlantis"]) == 2
    assert "no time zone 'Atlantis'" in capsys.readouterr().err
    assert main(["wall-meter", "1", str(tmp_path / "none.csv")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["wall-meter", "9", plug]) == 5
    with Workbench() as session:
        assert figure(session.store, "t-1", "wall_energy_joules").value is not None


def test_that_an_imported_meter_keeps_the_estimates_that_were_set(home: Places, tmp_path: Path) -> None:
    with Workbench() as session:
        fill(session.store, "t-1")
        session.stored.set_assumptions(PRICED)
        heard = Heard()
        session.listen(heard)
        assert session.stored.import_wall_meter("1", meter(tmp_path / "plug.csv", mark="Z")) > 10
        assert heard.of(StoreChanged) == [StoreChanged(experiments=("e-1",), trials=("t-1",))]
        assert figure(session.store, "t-1", "cost_per_million_tokens").value is not None
        assert session.store.execute(GetTrial(trial="t-1")).verdict
        assert session.store.execute(Query(sql="SELECT path FROM artifacts")).rows == (("plug.csv",),)
