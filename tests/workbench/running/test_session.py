"""The whole application without Qt: from an experiment to figures, through a real runner and real sockets."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from engines.protocol.client import RunnerClient, RunnerError, connect_local
from engines.protocol.messages import GetQueue, ListSpools, QueueState
from engines.protocol.problems import ProblemsFound
from engines.protocol.records import LostRecord
from tests.engines.runner_harness import end_runner
from tests.house import Heard, House, until
from workbench.experiment.file import dump, parse
from workbench.plan.plan import block_order
from workbench.running.events import Notice, QueueChanged, RecordsArrived, RunnerLink, StoreChanged
from workbench.running.workbench import Workbench
from workbench.store.operations import (
    ConfigurationRow,
    GetExperiment,
    GetTrial,
    ListExperiments,
    ListTrials,
    Query,
    ReadRecords,
    StoreError,
)
from workbench.store.records import replay
from workbench.units import format_numbers


def queue_of(client: RunnerClient) -> QueueState:
    state = client.call(GetQueue())
    assert isinstance(state, QueueState)
    return state


def _configurations(session: Workbench) -> list[ConfigurationRow]:
    listed = session.store.execute(ListExperiments())
    return [c for row in listed for c in session.store.execute(GetExperiment(experiment=row.experiment)).configurations]


def test_that_an_experiment_becomes_figures(house: House) -> None:
    session = house.open()
    heard = Heard()
    session.listen(heard)
    session.follow()
    plan = session.plan(house.experiment(trials=2, precisions=("float32", "bfloat16")))
    experiment = session.run(plan)
    trials = house.finished(session, experiment)
    assert [t.outcome for t in trials] == ["completed"] * 4
    assert {t.block for t in trials} == {0, 1}
    detail = session.store.execute(GetExperiment(experiment=experiment))
    per_token = [m.value for m in detail.metrics if m.metric == "time_per_output_token_s"]
    assert len(per_token) == 4
    assert all(value is not None and value >= 0.002 for value in per_token), "the worker sleeps 2 ms a token"
    assert min(v for v in per_token if v is not None) < 0.1, "and the machine stood still in some of the trials at most"
    assert [link.state for link in heard.of(RunnerLink)][:2] == ["connecting", "connected"]
    assert heard.of(QueueChanged)
    assert {event.trial for event in heard.of(RecordsArrived)} == {t.trial for t in trials}
    assert heard.of(StoreChanged)


def test_that_trials_end_while_no_client_is_there_and_the_next_start_has_every_record(house: House) -> None:
    session = house.open()
    session.follow()
    experiment = session.run(session.plan(house.experiment(trials=2, new_tokens=(100,))))
    until(lambda: session.queue().in_state("running"))
    session.close()
    # nobody listens while the trials run to their ends
    with connect_local(house.places, start=False, timeout=60) as client:
        until(lambda: len(queue_of(client).in_state("ended")) == 2, what="both trials end")
    again = house.open()
    again.follow()
    trials = house.finished(again, experiment)
    assert [t.outcome for t in trials] == ["completed"] * 2
    for trial in trials:
        lines = again.store.execute(ReadRecords(trial=trial.trial))
        assert len(lines) == trial.last_seq, "every record from the first to the last"


def test_that_a_damaged_spool_costs_its_damaged_records_and_says_so(house: House) -> None:
    session = house.open()
    session.follow()
    experiment = session.run(session.plan(house.experiment(new_tokens=(100,))))
    until(lambda: session.queue().in_state("running"))
    session.close()
    with connect_local(house.places, start=False, timeout=60) as client:
        until(lambda: len(queue_of(client).in_state("ended")) == 1, what="the trial ends")
    end_runner(house.places)
    (spool,) = house.places.spools.glob("*/records.jsonl")
    said = spool.read_bytes().splitlines(keepends=True)
    odd = next(n for n, line in enumerate(said) if b'"kind":"request"' in line)
    said[odd] = said[odd].replace(b'"index":', b'"index":"?","was":')
    said[len(said) - 5 : len(said) - 3] = [b"\x00" * 80 + b"\n"]
    spool.write_bytes(b"".join(said))
    again = house.open()
    heard = Heard()
    again.listen(heard)
    again.follow()
    (trial,) = house.finished(again, experiment)
    assert (trial.outcome, trial.verdict, trial.last_seq) == ("completed", "invalid", len(said))
    lost = [odd, len(said) - 4, len(said) - 3]  # the first line is the header
    which = f"3 records ({format_numbers(lost)})"
    (reason,) = (r for r in again.store.execute(GetExperiment()).reasons if r.code == "lost_records")
    assert which in reason.message
    until(lambda: [n for n in heard.of(Notice) if "damaged records" in n.message], what="a notice")
    arrived = [record for event in heard.of(RecordsArrived) for record in event.records]
    for records in (arrived, replay(again.store, trial.trial)):
        assert [record.seq for record in records if isinstance(record, LostRecord)] == lost, "charts, live and stored"
    assert reason.message in house.command("show", trial.trial).stdout


def test_that_a_killed_client_loses_nothing(house: House) -> None:
    file = house.model.parent / "experiment.toml"
    file.write_text(dump(house.experiment(trials=3, new_tokens=(150,))))
    process = house.start("run", str(file))
    # a look takes a second of its own: the first trials may have ended in it
    until(lambda: {"running", "ended"} & {e["state"] for e in house.json("queue")["entries"]}, what="a trial runs")
    process.kill()
    process.communicate()
    session = house.open()
    session.follow()
    newest = session.store.execute(GetExperiment())
    trials = house.finished(session, newest.experiment.experiment)
    assert [t.outcome for t in trials] == ["completed"] * 3
    stamps = session.store.execute(Query(sql="SELECT trial, count(*) FROM tokens GROUP BY trial")).rows
    assert len(stamps) == 3
    assert all(isinstance(count, int) and count >= 5 * 150 for _, count in stamps)


def test_that_a_killed_runner_ends_its_trial_and_goes_on_with_the_queue(house: House) -> None:
    session = house.open()
    heard = Heard()
    session.listen(heard)
    session.follow()
    experiment = session.run(session.plan(house.experiment(trials=3, new_tokens=(400,))))
    # a trial whose worker has not begun would run whole after the kill
    until(lambda: any(e.phase in ("warmup", "measure") for e in session.queue().in_state("running")))
    runner = house.runner_pid()
    workers = psutil.Process(runner).children()
    os.kill(runner, signal.SIGKILL)
    trials = house.finished(session, experiment, seconds=150)
    outcomes = sorted(t.outcome or "" for t in trials)
    assert outcomes == ["completed", "completed", "lost"]
    lost = next(t for t in trials if t.outcome == "lost")
    assert lost.message
    assert not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers), "no orphan"
    assert any(link.state == "lost" for link in heard.of(RunnerLink))


def test_that_a_command_that_reads_tells_the_queue_of_a_dead_runner_and_starts_none_of_it(house: House) -> None:
    session = house.open()
    session.run(session.plan(house.experiment(trials=3, new_tokens=(900,))))
    until(lambda: [e for e in session.queue().in_state("running") if e.phase], what="a trial has said something")
    os.kill(house.runner_pid(), signal.SIGKILL)
    session.close()
    for _ in range(2):
        told = house.command("queue").stdout
        assert "The runner is not running" in told
        assert told.count("waiting") == 2
        assert "--resume" in told
    assert house.command("list", "1").returncode == 0, "it takes in what the dead runner left"
    state = house.json("queue")
    assert [e["state"] for e in state["entries"]] == ["waiting", "waiting", "ended"], "and measures nothing"
    assert "only reads" in state["nothing_starts"]
    assert house.command("queue", "--resume").returncode == 0
    until(lambda: house.json("queue")["entries"][0]["state"] != "waiting", what="the queue goes on")


def test_that_a_crashed_worker_is_a_failed_row_and_the_queue_goes_on(house: House) -> None:
    session = house.open()
    session.follow()
    experiment = session.run(session.plan(house.experiment(trials=1, prompt_tokens=(666, 16))))
    trials = house.finished(session, experiment)
    assert sorted(t.outcome or "" for t in trials) == ["completed", "failed"]
    failed = next(t for t in trials if t.outcome == "failed")
    assert failed.failure == "killed"
    assert failed.message
    assert failed.advice


def test_that_stopping_keeps_the_data_and_removing_from_the_queue_ends_a_waiting_trial(house: House) -> None:
    session = house.open()
    session.follow()
    experiment = session.run(session.plan(house.experiment(trials=2, new_tokens=(1000,))))
    until(lambda: session.queue().in_state("running"))
    waiting = session.queue().in_state("waiting")[0]
    running = session.queue().in_state("running")[0]
    session.stop(waiting.trial)
    until(lambda: session.store.execute(ListTrials(state="running")), what="the store knows")
    session.stop(running.trial)
    trials = {t.trial: t for t in house.finished(session, experiment)}
    assert trials[waiting.trial].outcome == "stopped"
    assert trials[running.trial].outcome == "stopped"
    assert trials[running.trial].last_seq > 3


def test_that_a_deleted_trial_does_not_come_back(house: House) -> None:
    session = house.open()
    session.follow()
    experiment = session.run(session.plan(house.experiment(trials=2)))
    first, second = house.finished(session, experiment)
    assert session.delete((first.trial,)) == (first.trial,)
    session.close()
    again = house.open()
    heard = Heard()
    again.listen(heard)
    again.follow()
    until(lambda: heard.of(QueueChanged))
    time.sleep(0.5)
    assert [t.trial for t in again.store.execute(ListTrials())] == [second.trial]
    with pytest.raises(StoreError) as caught:
        again.store.execute(GetTrial(trial=first.trial))
    assert caught.value.code == "not_found"
    spools = again.link().call(ListSpools())
    assert first.trial not in {s.trial for s in spools.spools}  # type: ignore[union-attr]


def test_that_deleting_a_running_trial_ends_it(house: House) -> None:
    session = house.open()
    session.follow()
    session.run(session.plan(house.experiment(new_tokens=(1000,))))
    until(lambda: session.queue().in_state("running"))
    trial = session.queue().in_state("running")[0].trial
    session.delete((trial,))
    until(lambda: not session.queue().in_state("running"), what="the trial ends")
    time.sleep(0.5)
    assert session.store.execute(ListTrials()) == ()


def test_that_a_retried_trial_is_a_new_one_of_the_same_configuration_and_block(house: House) -> None:
    session = house.open()
    session.follow()
    experiment = session.run(session.plan(house.experiment(prompt_tokens=(666,))))
    (failed,) = house.finished(session, experiment)
    (fresh,) = session.retry((failed.trial,))
    trials = {t.trial: t for t in house.finished(session, experiment)}
    assert trials[fresh].configuration == failed.configuration
    assert trials[fresh].block == failed.block
    assert trials[fresh].seed == failed.seed != 0


def test_that_more_blocks_go_on_where_a_longer_experiment_would_have(house: House) -> None:
    session = house.open()
    session.follow()
    wanted = house.experiment(trials=1, precisions=("float32", "bfloat16", "float16"))
    plan = session.plan(wanted)
    experiment = session.run(plan)
    house.finished(session, experiment)
    new = session.more_blocks(experiment, 2)
    trials = sorted(house.finished(session, experiment), key=lambda t: t.position)
    assert len(new) == 6
    assert {t.trial for t in trials if t.block > 0} == set(new)
    assert [t.position for t in trials] == list(range(9))
    assert len({t.seed for t in trials}) == 1
    hashes = [c.hash for c in plan.configurations]
    assert [(t.block, t.configuration) for t in trials] == list(block_order(trials[0].seed, 3, hashes))
    assert {t.outcome for t in trials} == {"completed"}


def test_that_more_blocks_leave_out_what_never_completed_and_refuse_where_nothing_did(house: House) -> None:
    session = house.open()
    session.follow()
    failing = session.run(session.plan(house.experiment(prompt_tokens=(666,))))
    house.finished(session, failing)
    with pytest.raises(ProblemsFound, match="completed"):
        session.more_blocks(failing, 5)
    mixed = session.run(session.plan(house.experiment(prompt_tokens=(666, 16))))
    house.finished(session, mixed)
    (fresh,) = session.more_blocks(mixed, 1)
    after = {t.trial: t for t in house.finished(session, mixed)}
    assert (after[fresh].block, after[fresh].outcome) == (1, "completed")


def test_that_every_run_draws_a_seed_and_stores_it_with_the_experiment(house: House) -> None:
    session = house.open()
    plan = session.plan(house.experiment())
    details = [session.store.execute(GetExperiment(experiment=session.run(plan))) for _ in range(2)]
    stored = [parse(detail.experiment.definition)[0] for detail in details]
    assert [detail.trials[0].seed for detail in details] == [e.seed for e in stored if e is not None]
    assert details[0].trials[0].seed != details[1].trials[0].seed


def test_that_a_later_command_runs_in_its_own_environment(house: House) -> None:
    file = house.model.parent / "experiment.toml"
    file.write_text(dump(house.experiment()))
    assert house.command("run", str(file), MKL_CBWR="AVX2").returncode == 0, "this one starts the runner"
    second = house.command("run", str(file), MKL_CBWR="COMPATIBLE", HF_TOKEN="hf_secret", NCCL_DEBUG="INFO")
    assert "NCCL_DEBUG" in second.stderr
    diff = house.command("diff", "1", "2").stdout
    assert [line for line in diff.splitlines() if "MKL_CBWR" in line and "AVX2" in line and "COMPATIBLE" in line], diff
    session = house.open()
    stored = session.store.execute(
        Query(sql="SELECT resolved FROM configurations UNION SELECT facts FROM environments")
    )
    assert stored.rows
    assert not [row for row in stored.rows if "hf_secret" in str(row[0])]
    assert len({c.configuration for c in _configurations(session)}) == 1, "it is no part of what is run"
    assert not [c for c in _configurations(session) if "environment" in c.resolved]


def test_that_what_the_runner_refuses_does_not_wait_in_the_store(house: House) -> None:
    session = house.open()
    session.follow()
    plan = session.plan(house.experiment(trials=2))
    first = session.run(plan)
    house.finished(session, first)
    obstacle = house.places.queue_file.with_name("queue.json.new")
    obstacle.mkdir()  # the runner cannot write its queue
    with pytest.raises(RunnerError, match="The trials were not queued") as caught:
        session.run(plan)
    assert "Free some space" not in caught.value.advice, "space is not what is missing"
    assert [row.experiment for row in session.store.execute(ListExperiments())] == [first]
    with pytest.raises(RunnerError):
        session.retry(tuple(t.trial for t in session.store.execute(ListTrials(experiment=first))))
    assert {t.state for t in session.store.execute(ListTrials(experiment=first))} == {"ended"}
    obstacle.rmdir()
    house.finished(session, session.run(plan))


def test_that_two_sessions_share_one_database_and_the_guest_takes_over(house: House) -> None:
    owner = house.open()
    guest = house.open()
    assert owner.is_owner
    assert not guest.is_owner
    owner.follow()
    guest.follow()
    first = guest.run(guest.plan(house.experiment()))
    assert [t.outcome for t in house.finished(guest, first)] == ["completed"]
    owner.close()
    second = guest.run(guest.plan(house.experiment(trials=2)))
    assert [t.outcome for t in house.finished(guest, second)] == ["completed"] * 2
    assert guest.is_owner


def test_that_nothing_to_run_is_refused_with_every_problem(house: House) -> None:
    session = house.open()
    import msgspec

    wrong = msgspec.structs.replace(house.experiment(), models=("no-such-model", "/no/such/folder"))
    plan = session.plan(wrong)
    with pytest.raises(ProblemsFound) as caught:
        session.run(plan)
    places = " ".join(str(p) for p in caught.value.problems)
    assert "no-such-model" in places
    assert "/no/such/folder" in places
    assert session.store.execute(ListTrials()) == ()
