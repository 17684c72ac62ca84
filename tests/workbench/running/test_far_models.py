"""Models, prompts and data of experiments on another computer: as that computer has them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import msgspec
import psutil
import pytest

from engines.models import artifacts
from engines.models.artifacts import Made
from engines.models.files import model_files
from engines.models.identity import Digests
from engines.models.lookup.answer import Answer, Own, decode_answer
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import LookedUp, LookUp, Wanted
from engines.protocol.orders import ModelOrder
from engines.protocol.problems import COPY, Fix, Problem, ProblemsFound
from engines.protocol.records import Artifact
from engines.protocol.work import Inference, Training
from engines.techniques import ModelFacts
from tests.house import House, until
from tests.sshd import Network, Sshd, add
from tests.tiny_model import large_model, make_tiny_model
from tests.workbench.store_kit import add_experiment, ended, lines, started
from workbench.experiment.experiment import Experiment, RunSettings, WorkloadChoice
from workbench.machines.copying import CopyError
from workbench.machines.machine import THIS_COMPUTER
from workbench.models.fetching import Report
from workbench.plan.plan import Plan
from workbench.running.far_lookup import _usable
from workbench.running.sites import _said
from workbench.store.operations import Ingest


@pytest.fixture
def lab(house: House, far: Network) -> Sshd:
    made = far.computer("lab")
    add(house.places, made)
    return made


def on_lab(house: House, model: str, **workload: object) -> Experiment:
    experiment = house.experiment(**workload)
    return msgspec.structs.replace(experiment, models=(model,), run=RunSettings(trials=1, machines=("lab",)))


def errors(plan: Plan) -> list[Problem]:
    return [p for p in plan.problems if p.severity == "error"]


def test_that_a_path_means_the_file_of_that_computer(house: House, lab: Sshd) -> None:
    there = make_tiny_model(lab.home / "models" / "mine")
    session = house.open()
    plan = session.plan(on_lab(house, "models/mine"), base=house.model.parent)
    assert not errors(plan)
    (cell,) = plan.configurations
    assert cell.model.path == str(there)
    assert cell.model.fingerprint == Digests(house.places.digests).of_model(model_files(there))
    here = session.plan(house.experiment())
    assert here.configurations[0].hash == cell.hash.partition("@")[0], "the same model, wherever it lies"


def test_that_what_is_not_there_is_said_with_the_machine(house: House, lab: Sshd) -> None:
    session = house.open()
    (problem, *_) = errors(session.plan(on_lab(house, "./nothing")))
    assert problem.message == "On Lab: There is no such file or folder."
    assert problem.hint == f"Looked at {lab.home / 'nothing'}."
    assert not [fix for fix in problem.fixes if fix.path == COPY]


def test_that_a_model_of_this_computer_is_copied_and_runs_there(house: House, lab: Sshd) -> None:
    session = house.open()
    experiment, base = on_lab(house, house.model.name), house.model.parent
    (problem, *_) = errors(session.plan(experiment, base))
    assert problem.message == "On Lab: tiny is not there."
    (offered,) = [fix for fix in problem.fixes if fix.path == COPY]
    assert offered.value == ("lab", "model", "tiny")
    assert offered.label.startswith("Copy it there, ")
    shares: list[float | None] = []
    path = session.copy_model("tiny", "lab", base, report=lambda share, _text: shares.append(share))
    assert Path(path).is_relative_to(lab.places.copied)
    assert shares[-1] == 1.0
    plan = session.plan(experiment, base)
    assert not errors(plan)
    assert plan.configurations[0].model.path == path
    assert plan.configurations[0].model.ref == "tiny"
    local = msgspec.structs.replace(experiment, run=RunSettings(trials=1))
    assert session.plan(local, base).configurations[0].hash == plan.configurations[0].hash.partition("@")[0]
    session.follow()
    (trial,) = house.finished(session, session.run(plan))
    assert (trial.outcome, trial.machine) == ("completed", "lab")


@pytest.mark.parametrize("base_is_there", [False, True])
def test_that_an_adapter_of_this_computer_is_copied_with_its_base(house: House, lab: Sshd, base_is_there: bool) -> None:
    elsewhere = lab.home / ".lmstudio" / "models" / "somebody" / "other"
    if base_is_there:
        make_tiny_model(elsewhere)
    adapter = house.model.parent / "adapter"
    adapter.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": str(house.model)}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    session = house.open()
    experiment, base = on_lab(house, "adapter"), house.model.parent
    (problem, *_) = errors(session.plan(experiment, base))
    assert [fix.value for fix in problem.fixes if fix.path == COPY] == [("lab", "model", "adapter")]
    there = Path(session.copy_model("adapter", "lab", base))
    assert (there / "adapter_model.safetensors").read_bytes() == b"weights"
    plan = session.plan(experiment, base)
    assert not errors(plan)
    (cell,) = plan.configurations
    assert cell.model.adapter == str(there)
    assert Path(cell.model.path).is_relative_to(elsewhere if base_is_there else lab.places.copied)
    assert len([path for path in lab.places.copied.iterdir() if path.is_dir()]) == (1 if base_is_there else 2)
    here = msgspec.structs.replace(experiment, run=RunSettings(trials=1))
    assert session.plan(here, base).configurations[0].hash == cell.hash.partition("@")[0]
    session.follow()
    (trial,) = house.finished(session, session.run(plan))
    assert (trial.outcome, trial.machine) == ("completed", "lab")


def test_that_the_same_files_under_another_name_need_no_copy(house: House, lab: Sshd) -> None:
    blob = lab.home / ".lmstudio" / "models" / "somebody" / "other"
    make_tiny_model(blob)
    session = house.open()
    plan = session.plan(on_lab(house, house.model.name), house.model.parent)
    assert not errors(plan)
    (cell,) = plan.configurations
    assert cell.model.path == str(blob)
    assert cell.title.startswith("tiny")


def test_that_what_cannot_be_copied_is_refused(house: House, lab: Sshd) -> None:
    session = house.open()
    with pytest.raises(ProblemsFound, match="no files on this computer"):
        session.copy_model("random:smollm2-135m-instruct", "lab")
    with pytest.raises(ProblemsFound, match="no such file"):
        session.copy_model("./nothing", "lab")


def test_that_prompts_and_data_are_those_of_that_computer(house: House, lab: Sshd) -> None:
    make_tiny_model(lab.home / "tiny")
    (lab.home / "prompts.txt").write_text("one\ntwo\nthree\n")
    (lab.home / "data.jsonl").write_text("".join(json.dumps({"text": f"row {n}"}) + "\n" for n in range(40)))
    session = house.open()
    plan = session.plan(on_lab(house, "tiny", prompt_file="prompts.txt"), house.model.parent)
    assert plan.configurations[0].inference.prompt_file == str(lab.home / "prompts.txt")
    assert plan.configurations[0].inference.prompt_file_hash
    (problem, *_) = errors(session.plan(on_lab(house, "tiny", prompt_file="other.txt")))
    assert problem.message.startswith("On Lab: ")
    training = Experiment(
        name="t",
        models=("tiny",),
        workload=WorkloadChoice.of("training", data="data.jsonl"),
        run=RunSettings(trials=1, machines=("lab",)),
    )
    load = session.plan(training).configurations[0].workload
    assert isinstance(load, Training)
    assert load.data == str(lab.home / "data.jsonl")
    assert load.data_hash


def test_that_prompts_and_data_of_this_computer_are_copied(house: House, lab: Sshd) -> None:
    make_tiny_model(lab.home / "tiny")
    base = house.model.parent
    (base / "mine.txt").write_text("one\ntwo\nthree\n")
    session = house.open()
    experiment = on_lab(house, "tiny", prompt_file="mine.txt")
    (problem, *_) = errors(session.plan(experiment, base))
    assert problem.message == "On Lab: mine.txt is not there."
    assert [fix.value for fix in problem.fixes if fix.path == COPY] == [("lab", "data", "mine.txt")]
    path = session.copy_data("mine.txt", "lab", base)
    plan = session.plan(experiment, base)
    assert not errors(plan)
    assert plan.configurations[0].inference.prompt_file == path
    here = msgspec.structs.replace(experiment, run=RunSettings(trials=1))
    assert session.plan(here, base).configurations[0].hash == plan.configurations[0].hash.partition("@")[0]
    (base / "mine.txt").write_text("other\nprompts\nnow\n")
    assert errors(session.plan(experiment, base)), "what was copied are other prompts"


def test_that_a_folder_of_data_is_copied_with_its_splits(house: House, lab: Sshd) -> None:
    make_tiny_model(lab.home / "tiny")
    base = house.model.parent
    for split in ("train", "validation"):
        file = base / "mine" / "data" / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps({"text": f"{split} {n}"}) + "\n" for n in range(40)))
    training = WorkloadChoice.of("training", data="mine")
    run = RunSettings(trials=1, machines=("lab",))
    experiment = Experiment(name="t", models=("tiny",), workload=training, run=run)
    session = house.open()
    assert errors(session.plan(experiment, base))
    path = session.copy_data("mine", "lab", base)
    plan = session.plan(experiment, base)
    load = plan.configurations[0].workload
    assert isinstance(load, Training)
    assert load.data == path
    assert sorted(f.name for f in (Path(path) / "data").iterdir()) == ["train.jsonl", "validation.jsonl"]
    here = msgspec.structs.replace(experiment, models=(str(house.model),), run=RunSettings(trials=1))
    local = session.plan(here, base).configurations[0].workload
    assert isinstance(local, Training)
    assert local.data_hash == load.data_hash
    with pytest.raises(ProblemsFound, match="There is no file"):
        session.copy_data("nothing.jsonl", "lab", base)


def test_that_a_copy_survives_a_link_that_breaks(house: House, lab: Sshd) -> None:
    base = large_model(house.model.parent / "large", 40 << 20).parent
    session = house.open()
    shares: list[float] = []

    def report(share: float | None, text: str) -> None:
        if text.startswith("Copying"):
            assert share is not None
            shares.append(share)
            if len(shares) == 2:  # some of it is under way
                lab.drop()

    with pytest.raises(CopyError, match="was not copied to Lab") as broken:
        session.copy_model("large", "lab", base, report=report)
    assert "is kept" in broken.value.advice
    (part,) = lab.places.copied.glob("*.part")
    until(lambda: not [p for p in psutil.process_iter(["cmdline"]) if receives(p, lab)], what="the other end has gone")
    arrived = sum(file.stat().st_size for file in part.iterdir())
    shares.clear()
    path = session.copy_model("large", "lab", base, report=heard(shares))
    assert shares[0] * sum(f.stat().st_size for f in model_files(base / "large").all) == pytest.approx(arrived)
    assert Digests(lab.places.digests).of_model(model_files(Path(path)))


def heard(shares: list[float]) -> Report:
    return lambda share, text: shares.append(share or 0.0) if text.startswith("Copying") else None


def receives(process: psutil.Process, lab: Sshd) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()[-2:] == ["engines", "receive"] and process.environ().get("HOME") == str(lab.home)
    return False


def test_that_the_models_of_a_machine_are_listed(house: House, lab: Sshd) -> None:
    make_tiny_model(lab.home / ".lmstudio" / "models" / "somebody" / "mine")
    (found,) = house.open().models_on("lab")
    assert (found.title, found.source) == ("mine", "LM Studio")
    assert found.ref == str(lab.home / ".lmstudio" / "models" / "somebody" / "mine")


def test_that_commands_list_and_copy(house: House, lab: Sshd) -> None:
    (house.model.parent / "rows.jsonl").write_text(json.dumps({"text": "a"}) + "\n")
    copied = house.command("models", "--copy", str(house.model), "--to", "lab")
    assert (copied.returncode, copied.stderr) == (0, "")
    assert copied.stdout.startswith(f"{house.model} is on lab: {lab.places.copied}")
    copied = house.command("data", str(house.model.parent / "rows.jsonl"), "--copy-to", "lab")
    assert (copied.returncode, copied.stderr) == (0, "")
    assert Path(copied.stdout.rpartition(": ")[2].strip()).read_text() == '{"text": "a"}\n'
    make_tiny_model(lab.home / ".lmstudio" / "models" / "somebody" / "mine")
    assert [row["title"] for row in house.json("models", "--machine", "lab")["local"]] == ["mine"]
    wrong = house.command("models", "--copy", str(house.model))
    assert wrong.returncode == 2
    assert "go together" in wrong.stderr
    unknown = house.command("models", "--copy", str(house.model), "--to", "nowhere")
    assert unknown.returncode == 4
    assert "nowhere" in unknown.stderr


def test_that_large_files_are_read_there_while_the_person_goes_on(house: House, lab: Sshd) -> None:
    large_model(lab.home / "large", 100 << 20)
    session = house.open()
    experiment = on_lab(house, "large")
    until(lambda: session.plan(experiment, wait=False).identified, what="they have been read")
    plan = session.plan(experiment, wait=True)
    assert plan.configurations[0].model.fingerprint.startswith("sha256:")
    assert list(lab.places.digests.iterdir()), "they were read there"
    assert not house.places.digests.exists()


def test_that_a_copy_can_be_stopped_and_the_plan_waits_for_it(house: House, lab: Sshd) -> None:
    base = large_model(house.model.parent / "large", 40 << 20).parent
    session = house.open()
    experiment = on_lab(house, "large")
    plans: list[Plan] = []

    def report(share: float | None, text: str) -> None:
        if text.startswith("Copying") and not plans:
            plans.append(session.plan(experiment, base))
            session.copies.stop("lab", "large")

    with pytest.raises(CopyError, match="was stopped") as stopped:
        session.copy_model("large", "lab", base, report=report)
    assert "is kept" in stopped.value.advice
    assert not plans[0].identified, "nothing is run before it is there"
    assert any(p.message.startswith("On Lab: Copying large to Lab") for p in plans[0].problems)
    assert session.copy_model("large", "lab", base)


def test_that_training_resumes_where_it_ran(house: House, lab: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/only/here")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    session = house.open()
    session.follow()
    crashes = on_lab(house, str(house.model), prompt_tokens=(666,))
    (trial,) = house.finished(session, name := session.run(session.plan(crashes)))
    assert trial.outcome == "failed"
    assert not session.can_resume(trial.trial)
    with pytest.raises(ProblemsFound, match="no checkpoint on Lab"):
        session.resume((trial.trial,))
    base = ModelOrder(ref="tiny", title="tiny", kind="folder", path="/tiny")
    made = Made(artifact="checkpoint", trial=trial.trial, title="t", experiment_title="e", step=3, base=base)
    folder = artifacts.place_of(lab.places.artifacts, trial.trial, artifacts.checkpoint_name(3))

    def fill(draft: Path) -> None:
        (draft / "state").write_bytes(b"123")

    artifacts.write(folder, made, fill)
    (again,) = session.resume((trial.trial,))
    trials = house.finished(session, name)
    assert {row.machine for row in trials} == {"lab"}
    order = json.loads((lab.places.spools / again / "order.json").read_bytes())
    assert (order["resume"]["path"], order["resume"]["step"]) == (str(folder), 3)
    assert order.get("environment") is None, "variables and processors of this computer are not that one's"
    (folder / "state").write_bytes(b"damaged")
    with pytest.raises(ProblemsFound, match="are damaged"):
        session.resume((trial.trial,))


def test_that_a_menu_knows_of_checkpoints_elsewhere_by_what_was_said(house: House) -> None:
    session = house.open()
    add_experiment(session.store, "t-0", "t-1", machine="lab")
    written = Artifact(seq=2, artifact="checkpoint", path="/far/step-3", bytes=1, sha256="sha256:0")
    session.store.execute(Ingest(trial="t-0", lines=lines((started(), written, ended(3, outcome="failed")))))
    session.store.execute(Ingest(trial="t-1", lines=lines((started(), ended(2, outcome="failed")))))
    assert session.can_resume("t-0")
    assert not session.can_resume("t-1")
    assert not session.can_resume("unknown")
    session.close()
    done = house.command("delete", "t-0", "t-1", "--yes")
    assert "What they have trained on lab stays there" in done.stdout


# --- what the far side says is data ------------------------------------------------------------------


def test_that_fixes_from_elsewhere_change_models_and_workload_only() -> None:
    def fixed(path: str, value: object) -> Problem:
        return Problem(severity="error", place="m", message="no", fixes=(Fix("Do it", path, value),))

    paths = {
        "models.m": "x",
        "workload.data": "built-in",
        "run.machines": "evil",
        COPY: "x",
        "install": "evil",
        "skip": "",
    }
    answer = _usable(
        Answer(
            problems={path: fixed(path, value) for path, value in paths.items()},
            own=(Own(problem=fixed("engine.threads", 1)),),
        )
    )
    kept = {path for path, problem in answer.problems.items() if problem.fixes}
    assert kept == {"models.m", "workload.data"}
    assert answer.own[0].problem.fixes == ()
    nested = _usable(Answer(problems={"m": fixed("models.m", {"a": 1})}))
    assert nested.problems["m"].fixes == ()


def test_that_a_runner_answers_about_models_it_has_by_contents(house: House) -> None:
    session = house.open()
    fingerprint = Digests(house.places.digests).of_model(model_files(house.model))
    weights = (house.model / "model.safetensors").stat().st_size
    ask = LookUp(
        refs=(str(house.model), "nothing-at-all"),
        wanted=(Wanted(fingerprint, weights), Wanted("sha256:" + "0" * 64, weights)),
        own=(Inference(), Training()),
    )
    replies = [r for r in session.link().stream(ask) if isinstance(r, LookedUp)]
    answer = decode_answer(replies[-1].found)
    assert set(answer.models) == {str(house.model)}
    assert answer.models[str(house.model)].order.fingerprint == fingerprint
    assert answer.problems["nothing-at-all"].message == "Unknown model."
    assert answer.same == {}, "it is in none of the places where models are kept"
    assert [own.found is None for own in answer.own] == [True, False], "data are built in"
    assert answer.is_complete


def test_that_no_machine_says_a_model_is_one_that_this_experiment_trains() -> None:
    order = ModelOrder(ref="other", title="m", kind="folder", path="/m", trained="0a1b")
    facts = ModelFacts(kind="folder", architecture="llama", parameters=1, stored_bytes=4, stored_dtype="float32")
    said = _said(Answer(models={"m": ResolvedModel(order=order, facts=facts)}), "m", THIS_COMPUTER)
    assert isinstance(said, ResolvedModel)
    assert (said.order.ref, said.order.trained) == ("m", "")
