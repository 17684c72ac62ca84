"""Ending an experiment early: at whole blocks, by the rule, and what is not run looks like nothing that failed."""

from __future__ import annotations

import msgspec
import pytest

from tests.house import Heard, House, until
from tests.workbench.store_kit import ended, lines, order, started
from workbench.cli.main import main
from workbench.comparison.comparison import compare
from workbench.experiment.experiment import Experiment, RunSettings, WorkloadChoice
from workbench.experiment.file import dump, parse
from workbench.running.early_end import NOTE, EarlyEnds
from workbench.running.events import Notice, StoreChanged
from workbench.statistics.stopping import LEAST, METRIC, problems_of
from workbench.store.local import LocalStore
from workbench.store.operations import (
    AddExperiment,
    AddTrials,
    DeleteTrials,
    GetExperiment,
    GetStoreId,
    Ingest,
    ListTrials,
    MetricRow,
    Operation,
    R,
    SetMetrics,
    SetNote,
)

BLOCKS = 10


def planned(store: LocalStore, run: RunSettings | None = None) -> None:
    """Ten blocks of two configurations, all waiting. Trial "t-3-1" is of block 3 and configuration c-1."""
    id = store.execute(GetStoreId())
    orders = tuple(
        order(f"t-{i // 2}-{i % 2}", store=id, configuration=f"c-{i % 2}", position=i) for i in range(2 * BLOCKS)
    )
    definition = dump(Experiment(name="first", run=run or RunSettings(trials=BLOCKS, stop_at_ratio=0.02)))
    store.execute(AddExperiment(experiment="e-1", name="first", definition=definition, seed=7, orders=orders))


def judged(store: LocalStore, trial: str, value: float, verdict: str = "valid", metric: str = METRIC) -> None:
    store.execute(Ingest(trial=trial, lines=lines((started(), ended(2)))))
    row = MetricRow(
        trial=trial, metric=metric, version=1, value=value, unit="tokens/s", method="", scope="", n=1, reason=""
    )
    store.execute(SetMetrics(trial=trial, metrics=(row,), reasons=(), verdict=verdict))


def block(store: LocalStore, number: int, ratio: float = 1.5, metric: str = METRIC) -> None:
    """A block whose ratio is that of the others to a thousandth."""
    judged(store, f"t-{number}-0", 100.0, metric=metric)
    judged(store, f"t-{number}-1", 100.0 * ratio * (1 + number / 10_000), metric=metric)


def left(store: LocalStore) -> int:
    return len(store.execute(ListTrials(state="waiting")))


def test_that_it_ends_two_blocks_after_the_intervals_were_narrow_and_not_before(store: LocalStore) -> None:
    planned(store)
    ends = EarlyEnds(store)
    for number in range(LEAST - 1):
        block(store, number)
        assert ends.consider(f"t-{number}-1") is None
    judged(store, f"t-{LEAST - 1}-0", 100.0)
    assert ends.consider(f"t-{LEAST - 1}-0") is None, "the block is not whole"
    judged(store, f"t-{LEAST - 1}-1", 150.0)
    done = ends.consider(f"t-{LEAST - 1}-1")
    assert done.trials == tuple(f"t-{b}-{c}" for b in (7, 8, 9) for c in (0, 1))
    detail = store.execute(GetExperiment())
    assert {t.outcome for t in detail.trials} == {"completed"}
    assert len(detail.trials) == 2 * LEAST
    note = detail.experiment.note
    assert note == done.note
    assert note.startswith(NOTE)
    assert "7 whole blocks of 10" in note
    assert "±2 % was reached after 5 blocks" in note
    assert "decode throughput" in note
    assert "6 trials were not needed" in note
    assert note in compare(detail).footnotes


def test_that_whoever_finds_trials_gone_finds_the_reason(store: LocalStore) -> None:
    """A command that follows the experiment ends when all that is left has ended, and tells the note."""
    notes: list[str] = []

    class Followed:
        def execute(self, operation: Operation[R]) -> R:
            done = store.execute(operation)
            if isinstance(operation, DeleteTrials):
                notes.append(store.execute(GetExperiment()).experiment.note)
            return done

        def close(self) -> None:
            pass

    planned(store)
    for number in range(LEAST):
        block(store, number)
    done = EarlyEnds(Followed()).consider(f"t-{LEAST - 1}-1")
    assert notes == [done.note]


def test_that_wide_intervals_run_all_trials(store: LocalStore) -> None:
    planned(store)
    ends = EarlyEnds(store)
    for number in range(BLOCKS):
        block(store, number, ratio=1.5 if number % 2 else 1.9)
        assert ends.consider(f"t-{number}-1") is None
    assert store.execute(GetExperiment()).experiment.note == ""


def test_that_an_experiment_that_does_not_ask_for_it_runs_all_trials(store: LocalStore) -> None:
    planned(store, RunSettings(trials=BLOCKS))
    ends = EarlyEnds(store)
    for number in range(LEAST + 1):
        block(store, number)
        assert ends.consider(f"t-{number}-1") is None
    assert left(store) == 4


def test_that_another_metric_may_decide(store: LocalStore) -> None:
    planned(store, RunSettings(trials=BLOCKS, stop_at_ratio=0.05, stop_metric="latency_s"))
    ends = EarlyEnds(store)
    for number in range(LEAST):
        block(store, number, metric="latency_s")
    done = ends.consider(f"t-{LEAST - 1}-1")
    assert "±5 %" in done.note
    assert "latency" in done.note


def test_that_a_trial_that_has_begun_and_one_that_is_run_again_stay(store: LocalStore) -> None:
    planned(store)
    for number in range(LEAST):
        block(store, number)
    store.execute(Ingest(trial="t-7-0", lines=lines((started(),))))
    again = msgspec.structs.replace(order("t-again", store=store.execute(GetStoreId()), position=4), block=2)
    store.execute(AddTrials(orders=(again,)))
    done = EarlyEnds(store).consider("t-6-1")
    assert "t-7-0" not in done.trials
    assert "t-again" not in done.trials
    assert left(store) == 1


def test_that_an_experiment_that_ended_early_is_left_alone_when_trials_are_run_again(store: LocalStore) -> None:
    planned(store)
    for number in range(LEAST):
        block(store, number)
    assert EarlyEnds(store).consider("t-6-1") is not None
    again = msgspec.structs.replace(order("t-again", store=store.execute(GetStoreId()), position=4), block=9)
    store.execute(AddTrials(orders=(again,)))
    assert EarlyEnds(store).consider("t-6-1") is None
    assert left(store) == 1


def test_that_invalid_trials_make_no_whole_block_and_a_configuration_that_always_fails_is_not_waited_for(
    store: LocalStore,
) -> None:
    planned(store)
    id = store.execute(GetStoreId())
    failing = tuple(
        msgspec.structs.replace(order(f"t-{b}-2", store=id, configuration="c-2", position=100 + b), block=b)
        for b in range(BLOCKS)
    )
    store.execute(AddTrials(orders=failing))
    ends = EarlyEnds(store)
    for number in range(LEAST):
        block(store, number)
        store.execute(Ingest(trial=f"t-{number}-2", lines=lines((started(), ended(2, outcome="failed")))))
        store.execute(SetMetrics(trial=f"t-{number}-2", metrics=(), reasons=(), verdict="invalid"))
    judged(store, "t-6-1", 150.0, verdict="invalid")
    assert ends.consider("t-6-2") is None
    block(store, 7)
    store.execute(Ingest(trial="t-7-2", lines=lines((started(), ended(2, outcome="failed")))))
    assert ends.consider("t-7-1") is None, "a trial of the block is not judged"
    store.execute(SetMetrics(trial="t-7-2", metrics=(), reasons=(), verdict="invalid"))
    assert ends.consider("t-7-2") is not None


def test_that_a_deleted_trial_is_nothing_to_consider(store: LocalStore) -> None:
    assert EarlyEnds(store).consider("t-none") is None


def test_that_a_note_comes_back_with_its_experiment(store: LocalStore) -> None:
    planned(store)
    store.execute(SetNote(experiment="e-1", note="something to know"))
    assert store.execute(GetExperiment()).experiment.note == "something to know"


@pytest.mark.parametrize(
    ("run", "configurations", "words"),
    [
        (RunSettings(trials=20, stop_at_ratio=0.02, stop_metric="decode_speed"), 3, "No metric is called decode_speed"),
        (RunSettings(trials=5, stop_at_ratio=0.02), 3, "needs 7 trials of each"),
        (RunSettings(trials=20, stop_at_ratio=0.02), 1, "with one there is none"),
    ],
)
def test_that_what_keeps_it_from_ending_early_is_said_in_the_plan(
    run: RunSettings, configurations: int, words: str
) -> None:
    (problem,) = problems_of(Experiment(run=run), configurations)
    assert words in problem.message


@pytest.mark.parametrize(
    ("kind", "metric", "instead"),
    [
        ("training", None, "test_loss"),
        ("training", "latency_s", "test_loss"),
        ("inference", "test_loss", METRIC),
        ("training", "test_loss", None),
        ("training", "memory_mean_bytes", None),
        ("inference", "memory_mean_bytes", None),
    ],
)
def test_that_a_metric_of_other_work_ends_nothing_and_is_named(
    kind: str, metric: str | None, instead: str | None
) -> None:
    run = RunSettings(trials=20, stop_at_ratio=0.02, stop_metric=metric)
    found = problems_of(Experiment(run=run, workload=WorkloadChoice.of(kind)), 3)
    assert [fix.value for problem in found for fix in problem.fixes] == ([instead] if instead else [])
    assert all("nothing would end it early" in problem.message for problem in found)


def test_that_nothing_is_said_where_all_is_well_or_nothing_was_asked() -> None:
    assert problems_of(Experiment(run=RunSettings(trials=20, stop_at_ratio=0.02)), 2) == ()
    assert problems_of(Experiment(run=RunSettings(trials=LEAST, stop_at_ratio=0.02)), 2) == ()
    assert len(problems_of(Experiment(run=RunSettings(trials=LEAST - 1, stop_at_ratio=0.02)), 2)) == 1
    assert problems_of(Experiment(run=RunSettings(trials=3, stop_metric="none")), 1) == ()


def test_that_the_file_has_the_keys_and_refuses_what_makes_no_sense() -> None:
    found, problems = parse('[run]\nstop_at_ratio = 0.03\nstop_metric = "latency_s"\n')
    assert found is not None
    assert problems == ()
    assert (found.run.stop_at_ratio, found.run.stop_metric) == (0.03, "latency_s")
    assert parse(dump(found))[0] == found
    assert "stop_" not in dump(Experiment())
    for wrong in ("stop_at_ratio = 0", 'stop_at_ratio = "2 %"', "stop_at_ratio = 2.0", 'stop_metric = "Decode speed"'):
        assert parse(f"[run]\n{wrong}\n")[0] is None


def test_that_a_running_experiment_ends_early_and_everyone_is_told(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    session = house.open()
    heard = Heard()
    session.listen(heard)
    session.follow()
    wanted = house.experiment(trials=30, precisions=("float32", "bfloat16"), new_tokens=(40,))
    run = msgspec.structs.replace(wanted.run, stop_at_ratio=0.9)
    experiment = session.run(session.plan(msgspec.structs.replace(wanted, run=run)))
    until(lambda: heard.of(Notice), seconds=200.0, what="the experiment ends early")
    trials = house.finished(session, experiment)
    assert 2 * LEAST <= len(trials) < 60
    assert {t.outcome for t in trials} == {"completed"}
    until(lambda: not session.queue().in_state("waiting"), what="the queue is empty")
    (notice,) = heard.of(Notice)
    note = session.store.execute(GetExperiment()).experiment.note
    assert note in notice.message
    assert any(experiment in change.experiments and change.trials for change in heard.of(StoreChanged))
    session.close()
    assert main(["compare"]) == 0
    assert NOTE in capsys.readouterr().out
