"""An experiment planned for several machines."""

from __future__ import annotations

from collections import Counter

import msgspec

from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.problems import Problem
from tests.workbench.plan.test_plan import ONE, experiment, probe
from workbench.experiment.experiment import RunSettings
from workbench.plan.history import History
from workbench.plan.obstacles import INSTALL
from workbench.plan.plan import Site, make_plan, orders, plan_sites, with_seed

HERE = Site(probe(), ONE)
LAB = Site(probe(), ONE, machine="lab", title="Lab server")


def test_that_every_machine_runs_every_configuration_under_a_hash_of_its_own() -> None:
    both = experiment("a", run=RunSettings(machines=("this", "lab"), trials=2))
    plan = with_seed(plan_sites(both, [HERE, LAB]))
    here = [c for c in plan.configurations if c.machine == "this"]
    there = [c for c in plan.configurations if c.machine == "lab"]
    assert [c.hash + "@lab" for c in here] == [c.hash for c in there]
    assert all(c.title.endswith(" · Lab server") for c in there)
    alone = make_plan(experiment("a", run=RunSettings(machines=("this",))), ONE, probe())
    assert [c.hash for c in alone.configurations] == [c.hash for c in here], "another machine changes no hash here"
    made = orders(plan, store="s", experiment="e")
    assert Counter(o.machine for o in made) == {"this": 4, "lab": 4}
    assert {o.configuration.endswith("@lab") == (o.machine == "lab") for o in made} == {True}
    assert len({c.color for c in plan.configurations}) == len(plan.configurations)


def test_that_machines_work_side_by_side_and_learn_from_their_own_trials() -> None:
    both = experiment("a", run=RunSettings(machines=("this", "lab"), trials=1))
    first = plan_sites(both, [HERE, LAB]).configurations[0].hash
    slow = Site(probe(), ONE, History(durations={f"{first}@lab": (1000.0,)}), machine="lab", title="Lab server")
    plan = plan_sites(both, [HERE, slow])
    assert plan.by_hash(f"{first}@lab").expected_s == 1000
    assert plan.by_hash(first).expected_s < 1000
    seconds = {m: sum(c.expected_s for c in plan.configurations if c.machine == m) for m in ("this", "lab")}
    assert plan.expected_s == max(seconds.values())


def test_that_a_machine_that_is_not_there_is_named() -> None:
    both = experiment("a", run=RunSettings(machines=("this", "lab")))
    (problem,) = [p for p in plan_sites(both, [HERE]).problems if p.severity == "error"]
    assert "'lab'" in problem.message
    down = Problem(severity="error", place="run.machines", message="lab: no route to host")
    plan = plan_sites(both, [HERE], {"lab": down})
    assert down in plan.problems
    assert not plan.order


def test_that_what_another_machine_lacks_is_installed_by_setting_it_up() -> None:
    bare = msgspec.structs.replace(probe(), packages=())
    both = experiment("a", run=RunSettings(machines=("this", "lab")))
    plan = plan_sites(both, [Site(bare, ONE), Site(bare, ONE, machine="lab", title="Lab server")])
    here = next(c for c in plan.configurations if c.machine == "this").problems[0]
    there = next(c for c in plan.configurations if c.machine == "lab").problems[0]
    assert [fix.path for fix in here.fixes if fix.path == INSTALL] == [INSTALL]
    assert [fix.path for fix in there.fixes if fix.path == INSTALL] == []
    assert there.hint == "llm-workbench machines setup lab --engines transformers"
    assert "pip install" not in there.message


def test_that_other_files_under_the_same_name_are_said() -> None:
    def having(fingerprint: str, **site: str) -> Site:
        (model,) = ONE.values()
        assert isinstance(model, ResolvedModel)
        order = msgspec.structs.replace(model.order, kind="folder", path="/m", fingerprint=fingerprint)
        return Site(probe(), {"a": msgspec.structs.replace(model, order=order)}, **site)  # type: ignore[arg-type]

    both = experiment("a", run=RunSettings(machines=("this", "lab")))
    here = having("sha256:1")

    def warned(there: Site) -> list[str]:
        return [p.message for p in plan_sites(both, [here, there]).problems if "different files" in p.message]

    assert warned(having("sha256:1", machine="lab", title="Lab")) == []
    (message,) = warned(having("sha256:2", machine="lab", title="Lab"))
    assert message.endswith("This computer; Lab.")
    assert warned(having("", machine="lab", title="Lab")) == [], "not read yet"
