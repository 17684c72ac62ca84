"""An engine and an axis of another package, run by a real worker process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import EngineOrder, ModelOrder, TechniqueOrder, TrialOrder
from engines.protocol.records import TookEffect
from engines.runner.settings import WORKER_VARIABLE
from tests.engines.worker_harness import folder_model, run_worker, trial_order
from tests.house import ROOT, House
from tests.tiny_model import make_tiny_model
from workbench.store.operations import GetExperiment, ListExperiments

EXPERIMENT = """
schema = 1
name = "dummy"
models = ["random:smollm2-135m-instruct"]
[techniques]
dummy_axis = ["off", "on"]
[workload]
prompt_tokens = 4
new_tokens = 5
requests = 2
window_s = 0.5
warmup_requests = 3
[run]
trials = 1
[engine]
id = "dummy"
threads = 1
dummy_level = 7
"""

COUNTING = """
schema = 1
name = "counting"
models = ["random:smollm2-135m-instruct"]
[workload]
kind = "counting"
numbers = [4, 6]
[run]
trials = 1
[engine]
id = "dummy"
"""

pytestmark = pytest.mark.usefixtures("home")


def order(engine: str = "dummy") -> TrialOrder:
    return msgspec.structs.replace(
        trial_order(ModelOrder(ref="none", title="None", kind="random")),
        engine=EngineOrder(id=engine, threads=1),
        techniques=(TechniqueOrder(id="dummy_axis.on"),),
    )


def test_that_an_engine_of_another_package_runs_in_a_real_worker(dummy_package: Path, tmp_path: Path) -> None:
    outcome = run_worker(order(), tmp_path / "trial")
    assert outcome.exit_code == 0, outcome.stderr
    assert len(outcome.measured) == order().workload.requests
    facts = outcome.facts
    assert facts["dummy.axis"] == "dummy_axis.on"


@pytest.mark.real
def test_that_an_axis_of_another_package_is_applied_by_the_transformers_engine(
    dummy_package: Path, tmp_path: Path
) -> None:
    plain = trial_order(folder_model(make_tiny_model(tmp_path / "tiny")))
    small = TechniqueOrder(id="zeros.small", parameters={"share": 0.25})
    outcome = run_worker(msgspec.structs.replace(plain, techniques=(*plain.techniques, small)), tmp_path / "trial")
    assert outcome.exit_code == 0, outcome.stderr
    (effect,) = (e for e in outcome.all(TookEffect) if e.technique == "zeros.small")
    assert (effect.stage, effect.changed["zeros"]) == ("model", pytest.approx(0.25, abs=0.01))


def test_that_a_worker_names_the_engines_it_has_and_those_that_failed(dummy_package: Path, tmp_path: Path) -> None:
    outcome = run_worker(order("another"), tmp_path / "trial")
    assert (outcome.exit_code, outcome.failure) == (3, "order")
    cue = outcome.cue("failure:order")
    assert "no engine called another" in cue.text
    assert "transformers, llama.cpp, dummy" in cue.text
    assert "dummy-broken failed to load (RuntimeError: made to fail)" in cue.text


def test_that_a_kind_of_work_of_another_package_runs_to_a_table(
    dummy_package: Path, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(WORKER_VARIABLE)  # the real worker
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(dummy_package), str(ROOT))))
    file = tmp_path / "counting.toml"
    file.write_text(COUNTING)
    planned = house.command("run", "--plan", str(file))
    assert planned.stdout.endswith("2 trials in 1 block\n"), "nobody knows how long it takes"
    done = house.command("run", str(file), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = house.json("compare", "--metrics", "training_step_s")["configurations"]
    assert [(c["labels"]["numbers"], c["metrics"]["training_step_s"]["n"]) for c in told] == [("4", 1), ("6", 1)]


def test_that_a_worker_without_the_package_refuses_its_engine(tmp_path: Path) -> None:
    outcome = run_worker(order(), tmp_path / "trial")
    assert outcome.failure == "order"


def test_that_the_application_finds_what_the_package_adds(dummy_package: Path) -> None:
    script = (
        "import json; from engines.catalogue import engines; from engines.techniques import axes;"
        "from workbench.metrics.registry import METRICS;"
        "print(json.dumps([[e.id for e in engines()], [a.id for a in axes()], [m.id for m in METRICS]]))"
    )
    found = json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert [listed[-1] for listed in found] == ["dummy", "dummy_axis", "dummy_switched"]


def test_that_techniques_lists_a_broken_plug_in_with_its_error(dummy_package: Path) -> None:
    command = [sys.executable, "-m", "workbench", "techniques"]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert "dummy_axis.on" in said
    assert "dummy-broken could not be loaded: RuntimeError: made to fail" in said


def test_that_the_probe_of_a_machine_looks_for_what_the_package_needs(dummy_package: Path) -> None:
    script = "from engines.host.probe import packages; print(*(f'{p.name} {p.version}' for p in packages()), sep='\\n')"
    command = [sys.executable, "-c", script]
    assert "llm-workbench-dummy 1.0" in subprocess.run(command, capture_output=True, check=True, text=True).stdout


def test_that_setup_shows_what_the_package_adds(dummy_package: Path) -> None:
    shown = ROOT / "tests" / "widgets" / "setup" / "with_dummy_package.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(shown)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_that_an_experiment_on_the_engine_runs_to_a_table_with_the_packages_metric(
    dummy_package: Path, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(WORKER_VARIABLE)  # the real worker
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(dummy_package), str(ROOT))))
    file = tmp_path / "dummy.toml"
    file.write_text(EXPERIMENT)
    done = house.command("run", str(file), "--json", "--export", str(tmp_path / "export"))
    assert done.returncode == 0, done.stdout + done.stderr
    told = house.json("compare", "--metrics", "dummy_switched")["configurations"]
    switched = {c["labels"]["dummy axis"]: c["metrics"]["dummy_switched"]["value"] for c in told}
    assert switched == {"off": 0.0, "on": 1.0}
    assert {(c["labels"]["engine"], c["labels"]["dummy level"]) for c in told} == {("dummy", "7")}


@pytest.mark.real
def test_that_a_kind_of_work_of_another_package_uses_the_model_of_the_transformers_engine(
    dummy_package: Path, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(WORKER_VARIABLE)  # the real worker
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(dummy_package), str(ROOT))))
    file = tmp_path / "counting.toml"
    text = COUNTING.replace('"random:smollm2-135m-instruct"', f'"{house.model}"').replace("[4, 6]", "[4]")
    file.write_text(text.replace('id = "dummy"', 'id = "transformers"\nstart_method = "plain"'))
    done = house.command("run", str(file), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    session = house.open()
    (experiment,) = session.store.execute(ListExperiments())
    facts = session.store.execute(GetExperiment(experiment=experiment.experiment)).environments
    assert [told["counting.with"] for told in facts.values()] == ["LlamaForCausalLM"]
    refused = tmp_path / "refused.toml"
    refused.write_text(text.replace('id = "dummy"', 'id = "llama.cpp"'))
    assert "The engine llama.cpp cannot do counting." in house.command("run", "--plan", str(refused)).stdout


def test_that_an_engine_of_another_package_runs_a_built_in_technique(dummy_package: Path, tmp_path: Path) -> None:
    named = (TechniqueOrder(id="precision.float32"), TechniqueOrder(id="dummy_axis.on"))
    outcome = run_worker(msgspec.structs.replace(order(), techniques=named), tmp_path / "trial")
    assert outcome.exit_code == 0, outcome.stderr
    assert [e.technique for e in outcome.all(TookEffect)] == ["precision.float32", "dummy_axis.on"]
    other = msgspec.structs.replace(order(), techniques=(TechniqueOrder(id="precision.bfloat16"),))
    refused = run_worker(other, tmp_path / "other")
    assert "The engine Dummy cannot do bfloat16" in str(refused.cue("failure:technique"))
