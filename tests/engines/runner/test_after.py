"""Trials whose model another trial makes: held back, given their model, or ended with words."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from engines.models import artifacts
from engines.models.artifacts import Made
from engines.protocol import messages
from engines.protocol.orders import AfterOrder, ModelOrder, TrialOrder
from engines.protocol.records import TrialEnded
from tests.engines.runner_harness import RunnerProcess, make_order


def pause(runner: RunnerProcess, paused: bool) -> None:
    runner.client.call(messages.SetPaused(paused=paused))


def after(trial: str, first: str, artifact: str = "model") -> TrialOrder:
    order = make_order(trial, configuration="c2")
    return msgspec.structs.replace(
        order,
        after=AfterOrder(trial=first, artifact=artifact),  # type: ignore[arg-type]
        model=msgspec.structs.replace(order.model, trained="c1", title="fake (trained)"),
    )


def keep(runner: RunnerProcess, trial: str, kind: str = "model") -> tuple[Path, Made]:
    base = ModelOrder(ref="tiny", title="tiny", kind="folder", path="/tiny", fingerprint="sha256:1")
    made = Made(artifact=kind, trial=trial, title="t", experiment_title="e", step=1, base=base)  # type: ignore[arg-type]
    folder = artifacts.place_of(runner.places.artifacts, trial, kind)
    done = artifacts.write(folder, made, lambda draft: (draft / "config.json").write_text("{}"))  # type: ignore[arg-type,return-value]
    return folder, done


def ran_with(runner: RunnerProcess, trial: str) -> dict[str, object]:
    order = json.loads((runner.places.spools / trial / "order.json").read_bytes())
    model = order["model"]
    assert isinstance(model, dict)
    return model


def test_that_a_trial_waits_for_its_model_while_others_run(runner: RunnerProcess) -> None:
    pause(runner, True)
    runner.submit(after("t2", "t1"), make_order("t3"), make_order("t1", ["sleep", 0.1], configuration="c1"))
    folder, made = keep(runner, "t1")  # as its worker would
    pause(runner, False)
    runner.until_state("t2", "ended")
    ended = [entry.trial for entry in runner.queue().in_state("ended")]
    assert ended == ["t2", "t1", "t3"], "newest first"
    model = ran_with(runner, "t2")
    assert (model["path"], model["fingerprint"], model["title"]) == (str(folder), made.sha256, "fake (trained)")


def test_that_an_adapter_comes_with_its_base(runner: RunnerProcess) -> None:
    folder, made = keep(runner, "t1", "adapter")
    runner.submit(after("t2", "t1", "adapter"))
    runner.until_state("t2", "ended")
    model = ran_with(runner, "t2")
    assert (model["path"], model["adapter"], model["adapter_hash"]) == ("/tiny", str(folder), made.sha256)


@pytest.mark.parametrize(
    ("steps", "kind", "why"),
    [
        (["fail", "out_of_memory", "Full."], "model_not_trained", "fake t1, which trains its model, failed. Full."),
        (["exit", 9], "model_not_trained", "fake t1, which trains its model, failed."),
        (["print", "done"], "model_not_kept", "the model of trial t1 is not on this computer."),
    ],
    ids=["failed", "crashed", "kept nothing"],
)
def test_that_a_model_that_does_not_come_ends_what_waits_with_words(
    runner: RunnerProcess, steps: list[object], kind: str, why: str
) -> None:
    pause(runner, True)
    runner.submit(make_order("t1", steps, configuration="c1"), after("t2", "t1"), after("t3", "t1"))
    pause(runner, False)
    for trial in ("t2", "t3"):
        runner.until_state(trial, "ended")
        (ended,) = runner.records(trial)
        assert isinstance(ended, TrialEnded)
        assert (ended.outcome, ended.failure) == ("failed", kind)
        assert ended.message.startswith(f"Not run: {why}")
        assert ended.advice
    assert runner.submit(make_order("t4")) == "1 trials queued."
    assert runner.until_state("t4", "ended").outcome == "completed"


def test_that_a_training_taken_off_the_queue_does_not_leave_others_waiting(runner: RunnerProcess) -> None:
    pause(runner, True)
    runner.submit(make_order("t1", configuration="c1"), after("t2", "t1"))
    runner.client.call(messages.Stop(trial="t1"))
    pause(runner, False)
    runner.until_state("t2", "ended")
    (ended,) = runner.records("t2")
    assert isinstance(ended, TrialEnded)
    assert "was stopped" in ended.message


def test_that_what_waits_for_a_trial_that_waits_in_vain_ends_too(runner: RunnerProcess) -> None:
    pause(runner, True)
    runner.submit(after("t3", "t2"), after("t2", "t1"), make_order("t1", ["exit", 9], configuration="c1"))
    pause(runner, False)
    assert runner.until_state("t3", "ended").message.startswith("Not run: ")
    assert not runner.queue().in_state("waiting")


def test_that_what_waits_for_a_model_survives_a_killed_runner(runner: RunnerProcess) -> None:
    pause(runner, True)
    runner.submit(make_order("t1", configuration="c1"), after("t2", "t1"))
    runner.kill()
    runner.start()
    folder, _ = keep(runner, "t1")
    pause(runner, False)
    runner.until_state("t2", "ended")
    assert ran_with(runner, "t2")["path"] == str(folder)
