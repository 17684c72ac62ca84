"""The Setup page's values: fields, draft, edits, rows. No Qt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import Qt

from engines.models.lookup.local_model import LocalModel
from engines.models.lookup.resolve import resolve
from engines.protocol.messages import Package, ProbeResult
from engines.protocol.orders import Inference
from engines.protocol.places import Places
from engines.protocol.problems import Fix, Problem
from engines.protocol.records import Sensor
from engines.protocol.settings import Setting, SettingType, settings_of
from engines.techniques import ModelFacts, find
from tests.builders import probe_result, processor
from tests.widgets.setup.kit import PACKAGES, PROCESSOR
from widgets.setup import edits
from widgets.setup.draft import Draft, State, dump_session, load_session
from widgets.setup.fields.values import Parsed, parse_values, show_values
from widgets.setup.files import stem, write
from widgets.setup.machine.rows import Known, device_rows, machine_rows, measured
from widgets.setup.models.library import Library, scan
from widgets.setup.models.rows import Facets, Fetching, ModelRow, Resolved, describe, model_groups, narrowed
from widgets.setup.plan.columns import columns_of, count_text, memory_sentence, needs_text, share_text, trials_text
from widgets.setup.plan.model import PlanModel
from widgets.setup.plan.rows import filtered, fix_text, plan_view, sorted_rows
from widgets.setup.techniques.rows import combinations, lacking, source_address, technique_groups
from workbench.experiment.experiment import Experiment, RunSettings, TechniqueChoice, TrainedModel, WorkloadChoice
from workbench.experiment.file import load
from workbench.experiment.fixes import leave_out
from workbench.machines.facts import machine_facts
from workbench.plan.plan import Plan, Site, make_plan, plan_sites

GIB = 2**30
PROBE = probe_result(
    PROCESSOR,
    processor(24 * GIB, 23 * GIB, id="cuda:GPU-abcdef12", title="Test GPU"),
    sensors=(
        Sensor(
            source="rapl",
            quantity="energy_joules",
            title="Energy",
            method="RAPL",
            available=False,
            reason="energy_uj is readable by root only.",
            hint="Ask the administrator.",
        ),
        Sensor(source="nvml.GPU-abcdef12", quantity="power_watts", title="Power", method="NVML", rate_hz=10.0),
    ),
    packages=PACKAGES,
)
CPU_ONLY = msgspec.structs.replace(PROBE, devices=PROBE.devices[:1])
PROMPT = next(s for s in settings_of(Inference) if s.name == "prompt_tokens")
RANK = Setting("rank", "Rank", type="int", default=16, minimum=1, maximum=512, sweep=True)
FREE = Setting("free", "Free", sweep=True)
SMALL, LARGE = "random:smollm2-135m-instruct", "random:llama-3.1-8b-instruct"


def resolved_of(experiment: Experiment, home: Places, probe: ProbeResult = CPU_ONLY) -> Resolved:
    return Resolved({ref: resolve(ref, home, Path.cwd()) for ref in experiment.models}, machine_facts(probe))


# --- fields -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("128", (128,)),
        (" 128, 512 ", (128, 512)),
        ("8,16", (8, 16)),
        ("128,512,1024", (128, 512, 1024)),
        ("128..1024 x2", (128, 256, 512, 1024)),
        ("16..64 +16", (16, 32, 48, 64)),
        ("1..4", (1, 2, 3, 4)),
        ("8, 16..64 ×2", (8, 16, 32, 64)),
        ("100..500 x2", (100, 200, 400)),
    ],
)
def test_that_lists_and_ranges_make_a_sweep(text: str, values: tuple[int, ...]) -> None:
    assert parse_values(text, PROMPT) == Parsed(values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing"),
        ("12,", "missing beside a comma"),
        ("abc", "whole number"),
        ("1.5", "whole number"),
        ("0", "Prompt is 1 to 1,000,000 tokens, not 0"),
        ("1,024", "“1,024”: write 1024."),
        ("1,979", "“1,979”: write 1979 or 1, 979."),
        ("8, 1,979", "write 1979 or 1, 979"),
        ("1,000,000", "write 1000000."),
        ("8, 8", "twice"),
        ("9..3", "does not go up"),
        ("1..8 x1", "never ends"),
        ("1..100000", "more than 100 values"),
    ],
)
def test_that_a_mistake_is_said_in_a_sentence(text: str, says: str) -> None:
    parsed = parse_values(text, PROMPT)
    assert says in parsed.error
    assert not parsed.values


@pytest.mark.parametrize(
    ("text", "error", "values"),
    [
        ("0,5", "“0,5”: write 0.5 or 0, 5.", ()),
        ("0,05", "“0,05”: write 0.05.", ()),
        ("0.1,0.2", "", (0.1, 0.2)),
        ("0, 5", "", (0, 5)),
        ("1,979", "“1,979”: write 1979 or 1.979 or 1, 979.", ()),
    ],
)
def test_that_a_comma_that_may_be_decimal_is_asked_about(text: str, error: str, values: tuple[float, ...]) -> None:
    assert parse_values(text, replace(FREE, type="float")) == Parsed(values, error)


def test_that_a_reading_out_of_range_is_none() -> None:
    assert parse_values("128,256", RANK).values == (128, 256)


def test_that_a_single_value_takes_no_list() -> None:
    assert parse_values("1,979", replace(PROMPT, sweep=False)).error == "“1,979”: write 1979."
    assert "cannot be swept" in parse_values("1, 2", replace(PROMPT, sweep=False)).error


def test_that_parameters_are_checked_by_their_own_range() -> None:
    assert parse_values("8, 16", RANK).values == (8, 16)
    assert parse_values("600", RANK).error == "Rank is 1 to 512, not 600."
    assert parse_values("on, off", replace(FREE, type="bool")).values == (True, False)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8, unique=True))
def test_that_what_is_shown_can_be_read_back(values: list[int]) -> None:
    assert parse_values(show_values(values), PROMPT).values == tuple(values)


@given(st.text(max_size=30), st.sampled_from(["int", "float", "bool", "text"]))
def test_that_no_text_breaks_a_field(text: str, kind: SettingType) -> None:
    parsed = parse_values(text, replace(PROMPT, type=kind))
    assert bool(parsed.error) != bool(parsed.values)


# --- draft --------------------------------------------------------------------------------------------


def test_that_a_file_saved_since_stays_saved(tmp_path: Path) -> None:
    draft = Draft()
    draft.change(Experiment(name="a"))
    draft.mark_saved(tmp_path / "a.toml", draft.experiment)
    assert draft.is_on_disk
    before = draft.state
    draft.change(Experiment(name="b"))
    assert not draft.is_on_disk
    draft.bring_back(before)
    assert draft.is_on_disk


def test_that_the_session_is_restored_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    state = State(Experiment(name="one two", models=(SMALL,)), Experiment(), tmp_path / "x.toml", "P")
    assert load_session(dump_session(state)) == state
    assert load_session("{") is None
    assert load_session("") is None


def test_that_a_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    experiment = Experiment(name="A B/c", models=(SMALL,), workload=WorkloadChoice.of(prompt_tokens=(128, 512)))
    path = tmp_path / f"{stem(experiment.name)}.toml"
    write(experiment, path)
    assert path.name == "a-b-c.toml"
    assert load(path) == (experiment, ())
    with pytest.raises(OSError, match="No such file"):
        write(experiment, tmp_path / "nowhere" / "x.toml")
    assert [p.name for p in tmp_path.iterdir()] == ["a-b-c.toml"]


# --- edits --------------------------------------------------------------------------------------------


def test_that_a_second_technique_joins_the_default_that_runs_anyway() -> None:
    one = edits.set_technique(Experiment(), "precision.int8", True)
    assert [c.id for c in one.techniques] == ["precision.float32", "precision.int8"]
    two = edits.set_technique(one, "precision.float32", False)
    assert [c.id for c in two.techniques] == ["precision.int8"]
    assert edits.chosen_ids(edits.set_technique(two, "precision.int8", False), "precision") == ("precision.float32",)


def test_that_a_gguf_file_s_own_precision_is_what_runs_anyway() -> None:
    stored, q8 = "precision.gguf-stored", "precision.q8_0"
    assert edits.chosen_ids(Experiment(), "precision", {"gguf"}) == (stored,)
    assert edits.chosen_ids(Experiment(), "kv_cache", {"gguf"}) == ("kv_cache.full",)
    one = edits.set_technique(Experiment(), q8, True, {"gguf"})
    assert [c.id for c in one.techniques] == [stored, q8], "float32 is nothing that a GGUF file can have"
    assert edits.set_technique(Experiment(), stored, True, {"gguf"}) == Experiment()
    both = edits.chosen_ids(Experiment(), "precision", ["folder", "gguf"])
    assert both == ("precision.float32", stored)


def test_that_a_gguf_file_shows_its_own_precision_as_the_default(home: Places, tmp_path: Path) -> None:
    from tests.tiny_gguf import write_tiny_gguf

    experiment = Experiment(models=(str(write_tiny_gguf(tmp_path / "x.gguf")),))
    groups = technique_groups(experiment, resolved_of(experiment, home))
    assert [r.key for g in groups for r in g.rows if r.checked] == ["precision.gguf-stored", "kv_cache.full"]
    assert [g.title for g in groups if g.count == "the default"] == ["Precision · GGUF", "KV cache"]


def test_that_quality_is_not_promised_of_a_model_without_a_tokenizer(home: Places, tmp_path: Path) -> None:
    from tests.tiny_gguf import write_tiny_gguf

    bare = str(write_tiny_gguf(tmp_path / "bare.gguf", tokenizer=False))
    whole = str(write_tiny_gguf(tmp_path / "whole.gguf"))

    def said(*refs: str) -> str:
        experiment = Experiment(models=refs)
        plan = make_plan(experiment, {ref: resolve(ref, home, tmp_path) for ref in refs}, CPU_ONLY)
        return next(m.text for m in measured(experiment, [Known(probe=CPU_ONLY)], plan) if m.name == "Quality")

    assert said(whole) == "perplexity on held-out text"
    assert said(SMALL) == "not available: the weights are random"
    assert said(bare).startswith("not available: no model has a tokenizer")
    assert said(bare, whole) == "1 of 2 models; the others have no tokenizer, or random weights"
    assert said(SMALL, whole) == "1 of 2 models; random weights have none"


def test_that_a_parameter_takes_its_technique_in_and_a_default_is_not_written() -> None:
    int8 = find("precision.int8")
    assert int8 is not None
    changed = edits.set_parameter(Experiment(), int8, "compute", ("auto", "float32"))
    assert changed.techniques[-1] == TechniqueChoice("precision.int8", {"compute": ("auto", "float32")})
    assert edits.values_of(changed, int8, "compute") == ("auto", "float32")
    back = edits.set_parameter(changed, int8, "compute", ("auto",))
    assert back.techniques[-1] == TechniqueChoice("precision.int8")


def test_that_a_model_goes_under_any_of_its_names() -> None:
    experiment = Experiment(models=("/m/one", "two"))
    assert edits.set_model(experiment, "one", False, ("/m/one",)).models == ("two",)
    assert edits.set_model(experiment, "one", True, ("/m/one",)) == experiment
    assert edits.set_model(experiment, "three", True).models == ("/m/one", "two", "three")


def test_that_the_best_device_alone_is_written_as_this() -> None:
    both = edits.set_device(Experiment(), PROBE, "cpu", True)
    assert both.run.machines == ("this/cpu", "this/cuda:GPU-abcdef12")
    assert edits.set_device(both, PROBE, "cpu", False).run.machines == ("this",)
    assert edits.devices_of(both, PROBE) == ("cpu", "cuda:GPU-abcdef12")


def test_that_devices_of_several_machines_keep_their_places() -> None:
    two = edits.set_machine(Experiment(), "lab", True)
    assert two.run.machines == ("this", "lab")
    assert edits.set_machine(two, "lab", True) == two
    both = edits.set_device(two, PROBE, "cpu", True, "lab")
    assert both.run.machines == ("this", "lab/cpu", "lab/cuda:GPU-abcdef12")
    assert edits.devices_of(both, PROBE, "lab") == ("cpu", "cuda:GPU-abcdef12")
    assert edits.devices_of(both, PROBE) == ("cuda:GPU-abcdef12",)
    one = edits.set_device(both, CPU_ONLY, "cpu", False)
    assert one.run.machines == ("lab/cpu", "lab/cuda:GPU-abcdef12")
    assert edits.set_device(one, CPU_ONLY, "cpu", True).run.machines == (*one.run.machines, "this")
    assert edits.set_machine(one, "lab", False).run.machines == ()


def test_that_a_machine_that_was_not_reached_can_be_ticked_by_its_best_device() -> None:
    known = (Known(probe=CPU_ONLY), Known("lab", "gpu-box", None, "not connected"))
    here, lab = machine_rows(edits.set_machine(Experiment(), "lab", True), known)
    assert (here.title, lab.title) == ("This computer", "gpu-box")
    assert [(d.key, d.checked) for d in (*here.devices, *lab.devices)] == [("cpu", True), ("lab/", True)]
    (answered,) = machine_rows(Experiment(), (Known("lab", "gpu-box", PROBE),))
    assert answered.title == "", "one machine alone needs no heading"
    assert [(d.key, d.checked) for d in answered.devices] == [("lab/cuda:GPU-abcdef12", False), ("lab/cpu", False)]


# --- models -------------------------------------------------------------------------------------------


def rows(library: Library, chosen: tuple[str, ...] = (), search: str = "", facets: Facets = Facets()) -> list[ModelRow]:  # noqa: B008
    groups = model_groups(library, chosen, Resolved(machine=machine_facts(CPU_ONLY)), Fetching())
    return [row for group in narrowed(groups, search, facets) for row in group.rows]


def test_that_the_starter_is_offered_and_nothing_is_fetched(home: Places) -> None:
    library = scan(home, (), ())
    starter = rows(library)[0]
    assert starter.key == "smollm2-135m-instruct"
    assert starter.action == "Fetch, 93 MB"
    assert not starter.enabled
    assert not home.models.exists()


def test_that_search_and_facets_narrow_but_never_hide_what_is_chosen() -> None:
    library = Library(scanned=True, starter_here=True)
    assert {r.family for r in rows(library, search="qwen2.5")} == {"Qwen2.5"}
    small = rows(library, facets=Facets(size="≤ 0.5 B"))
    assert small
    assert all(r.parameters <= 0.5e9 for r in small)
    kept = rows(library, chosen=(LARGE,), search="gpt2")
    assert [r.key for r in kept if r.checked] == [LARGE]


def test_that_a_typed_hub_id_is_offered() -> None:
    offer = rows(Library(scanned=True), search="acme/tiny-1b")[0]
    assert (offer.key, offer.title, offer.enabled) == ("acme/tiny-1b", "Use hub id acme/tiny-1b", True)
    assert not any(r.title.startswith("Use hub id") for r in rows(Library(scanned=True), search="smollm2"))


@pytest.mark.parametrize("typed", ["~nobody-of-that-name", "/" + "long" * 100])
def test_that_a_path_that_cannot_be_is_offered_as_nothing(typed: str) -> None:
    assert rows(Library(scanned=True), search=typed) == []


def test_that_every_model_of_the_experiment_has_a_row_and_broken_ones_say_why(home: Places) -> None:
    experiment = Experiment(models=("acme/tiny-1b", "gone-model", SMALL))
    groups = model_groups(Library(scanned=True), experiment.models, resolved_of(experiment, home), Fetching())
    found = {r.key: r for g in groups for r in g.rows if r.checked}
    assert set(found) == set(experiment.models)
    assert found["gone-model"].reason == "Unknown model."
    assert "downloaded" in found["acme/tiny-1b"].state


def test_that_a_gguf_file_is_grey_until_llama_cpp_is_here_and_says_what_installs_it() -> None:
    model = LocalModel(ref="/m/x.gguf", title="x", source="LM Studio", kind="gguf", path="/m/x.gguf", size_bytes=10)
    row = next(r for r in rows(Library(models=(model,), scanned=True, starter_here=True)) if r.key == "/m/x.gguf")
    assert row.reason == "Needs llama-cpp-python and gguf: llm-workbench doctor --install gguf"
    assert row.reason in row.tip, "the row may be too narrow for it"


def test_that_only_what_a_title_was_given_in_brackets_is_set_apart() -> None:
    def shown(title: str, aside: str) -> tuple[str, str]:
        model = LocalModel(
            ref="/m/x", title=title, aside=aside, source="LM Studio", kind="folder", path="/m/x", size_bytes=10
        )
        row = next(r for r in rows(Library(models=(model,), scanned=True)) if r.key == "/m/x")
        return row.title, row.detail.partition(" · ")[0]

    assert shown("Small (from Q4_1)", "from Q4_1") == ("Small", "from Q4_1")
    assert shown("run (final) (v2)", "")[0] == "run (final) (v2)", "a folder's own name"


def test_that_installing_is_offered_only_where_it_helps(home: Places, tmp_path: Path) -> None:
    technique = find("precision.q4_k_m")
    assert technique is not None
    for ref, offered in ((SMALL, ("llama-cpp-python", "gguf")), ("random:gpt2", ())):
        experiment = Experiment(models=(ref,))
        assert lacking(technique, experiment, resolved_of(experiment, home)) == offered
    both = Experiment(models=(SMALL, "random:gpt2"))
    assert lacking(technique, both, resolved_of(both, home)), "it would do for one of them"
    assert lacking(technique, Experiment(), resolved_of(Experiment(), home)), "no model is chosen yet"
    assert lacking(technique, both, Resolved({}, None)) == ()


def test_that_attention_is_named_by_its_heads() -> None:
    facts = ModelFacts(
        kind="folder",
        architecture="llama",
        parameters=134_515_008,
        stored_bytes=1,
        stored_dtype="bfloat16",
        heads=9,
        kv_heads=3,
    )
    assert describe(facts) == "135 M · llama · GQA 9/3"


# --- techniques, machine ------------------------------------------------------------------------------


def test_that_techniques_without_their_package_are_grey_with_the_command(home: Places) -> None:
    bare = msgspec.structs.replace(CPU_ONLY, packages=PACKAGES[:2])
    experiment = Experiment(models=(SMALL,))
    found = {r.key: r for g in technique_groups(experiment, resolved_of(experiment, home, bare)) for r in g.rows}
    assert found["precision.int8"].reason == "Needs torchao: pip install torchao"
    assert found["precision.float32"].enabled
    assert found["precision.float32"].checked


def test_that_architectures_are_offered_where_a_model_is_built_here(home: Places) -> None:
    def titles(*models: str, kind: str = "inference") -> list[str]:
        experiment = Experiment(models=models, workload=WorkloadChoice.of(kind))
        return [g.title for g in technique_groups(experiment, resolved_of(experiment, home))]

    assert "Attention" not in titles()
    assert "Attention" in titles(SMALL)
    trained = titles(kind="pretraining")
    assert trained.index("Attention") < trained.index("Precision · Float")


def test_that_precisions_stand_under_headings_with_their_own_ticks_counted(home: Places) -> None:
    experiment = Experiment(
        models=(SMALL,), techniques=tuple(TechniqueChoice(f"precision.{p}") for p in ("nf4", "int4"))
    )
    groups = technique_groups(experiment, resolved_of(experiment, home))
    titles = [g.title for g in groups]
    assert titles[: titles.index("Adapter") + 1] == [
        "Precision · Float",
        "Precision · 8 bit",
        "Precision · 4 bit",
        "Precision · Quantised files",
        "Precision · GGUF",
        "KV cache",
        "Adapter",
    ]
    assert [g.count for g in groups][:7] == ["", "", "2 selected", "", "", "the default", ""]
    assert len({g.key for g in groups}) == len(groups), "each folds on its own"
    training = technique_groups(Experiment(workload=WorkloadChoice.of("training")), Resolved({}, None))
    assert next(iter(training)).key.startswith("finetune"), "what only this work has comes first"
    assert "KV cache" not in [g.title for g in training]
    found = technique_groups(experiment, resolved_of(experiment, home), "4 bit fp4")
    assert [[r.title for r in g.rows] for g in found] == [["fp4"]]


def test_that_combinations_multiply_sweeps() -> None:
    experiment = Experiment(
        techniques=(TechniqueChoice("precision.float32"), TechniqueChoice("precision.int8", {"compute": ("auto", "x")}))
    )
    assert combinations(experiment) == "3 combinations"
    assert combinations(Experiment()) == "1 combination"


def test_that_a_source_leads_to_its_paper() -> None:
    assert source_address("Kalamkar et al. 2019, arXiv 1905.12322") == "https://arxiv.org/abs/1905.12322"
    assert source_address("torchao, https://github.com/pytorch/ao") == "https://github.com/pytorch/ao"
    assert source_address("IEEE 754-2019") == ""
    both = "Hu et al. 2021, arXiv 2106.09685; peft, https://huggingface.co/docs/peft"
    assert source_address(both) == "https://arxiv.org/abs/2106.09685", "the paper before the library"


def test_that_the_machine_says_what_can_be_measured_on_the_chosen_device() -> None:
    cpu = {m.name: m for m in measured(Experiment(), [Known(probe=CPU_ONLY)], None)}
    assert cpu["Energy"].text == "not available: energy_uj is readable by root only"
    assert cpu["Energy"].hint == "Ask the administrator."
    gpu = {m.name: m for m in measured(Experiment(), [Known(probe=PROBE)], None)}
    assert gpu["Energy"].available
    both = {m.name: m for m in measured(edits.set_device(Experiment(), PROBE, "cpu", True), [Known(probe=PROBE)], None)}
    assert both["Energy"].text == "GPU only"
    rows = device_rows(Experiment(), PROBE)
    assert [(r.key, r.checked) for r in rows] == [("cuda:GPU-abcdef12", True), ("cpu", False)]


# --- the plan -----------------------------------------------------------------------------------------


def plan_of(experiment: Experiment, home: Places) -> Plan:
    models = {ref: resolve(ref, home, Path.cwd()) for ref in experiment.models}
    return make_plan(experiment, models, CPU_ONLY)


def test_that_notes_shown_elsewhere_are_known_by_their_key_and_not_by_their_words(home: Places) -> None:
    plan = plan_of(Experiment(models=(SMALL,), techniques=(TechniqueChoice("precision.float32"),)), home)
    notes = tuple(
        Problem(severity="note", place="plan", message=message, key=key)
        for message, key in (("Two seeds show nothing.", "seeds"), ("From earlier trials of others.", ""))
    )
    assert plan_view(msgspec.structs.replace(plan, problems=notes)).problems == notes[1:]


def test_that_the_plan_has_columns_for_what_varies_and_says_what_is_left_out(home: Places) -> None:
    experiment = Experiment(
        models=(SMALL, LARGE),
        techniques=(TechniqueChoice("precision.float32"), TechniqueChoice("precision.int8")),
        workload=WorkloadChoice.of(prompt_tokens=(128, 512)),
        run=RunSettings(trials=3),
    )
    view = plan_view(plan_of(experiment, home))
    keys = [c.key for c in view.columns]
    assert "prompt_tokens" in keys
    assert "batch_size" not in keys
    assert "machine" not in keys
    assert view.count == "8 configurations × 3 trials"
    cannot = filtered(view.rows, 1)
    assert {r.cells["technique:precision"] for r in cannot} == {"float32"}
    assert all("too large" in r.problem_text for r in cannot)
    assert view.run_text == f"Run {3 * (8 - len(cannot))} trials"
    assert view.left_out == f"{len(cannot)} of 8 configurations left out"
    assert view.left_out_why == f"{len(cannot)} do not fit in memory"
    first = sorted_rows(view.rows, "problems", False)[0]
    assert first.severity == "error"
    needed, free = needs_text(first.memory)
    assert float(needed) > 12
    assert free == " / 12.0 GiB"
    assert "weights" in memory_sentence(first.memory)


def test_that_the_plan_says_what_fits_on_each_machine(home: Places) -> None:
    experiment = Experiment(models=(LARGE,), run=RunSettings(machines=("this", "lab/cpu", "lab/cuda:0")))
    models = {LARGE: resolve(LARGE, home, Path.cwd())}
    large = msgspec.structs.replace(PROBE.devices[1], memory_total_bytes=140 * GIB, memory_free_bytes=130 * GIB)
    there = msgspec.structs.replace(PROBE, devices=(PROBE.devices[0], large))
    sites = [Site(CPU_ONLY, models), Site(there, models, machine="lab", title="gpu-box")]
    view = plan_view(plan_sites(experiment, sites, {}), {"lab": "gpu-box"})
    assert "machine" in [c.key for c in view.columns]
    rows = {r.cells["machine"]: r for r in view.rows}
    assert list(rows) == ["this computer", "gpu-box, CPU", "gpu-box, GPU abcdef"]
    assert [r.state for r in rows.values()] == ["cannot", "cannot", "runs"]
    assert rows["gpu-box, GPU abcdef"].memory.device_total == 140 * GIB
    assert rows["this computer"].scale < rows["gpu-box, GPU abcdef"].scale


def test_that_a_row_left_out_runs_no_trial_and_offers_no_fixes(home: Places) -> None:
    experiment = Experiment(models=(SMALL,), workload=WorkloadChoice.of(batch_size=(1, 2)))
    view = plan_view(plan_of(experiment, home))
    out = leave_out(experiment, view.rows[0].hash[:12])
    after = plan_view(plan_of(out, home))
    assert after.rows[0].state == "left_out"
    assert after.rows[0].cells["trials"] == "0"
    assert after.rows[0].fixes == ()
    assert (after.left_out, after.left_out_why) == ("1 of 2 configurations left out", "by you")


def test_that_a_plan_without_models_says_what_to_do(home: Places) -> None:
    view = plan_view(plan_of(Experiment(), home))
    assert view.reason == "Choose a model first."
    assert view.problems == ()


# --- the plan of training -----------------------------------------------------------------------------


TRAINS = msgspec.structs.replace(CPU_ONLY, packages=(*CPU_ONLY.packages, Package(name="peft", version="1")))


def training_plan(home: Places, *models: str, **values: object) -> Plan:
    experiment = Experiment(
        models=models or (SMALL,),
        techniques=(TechniqueChoice("finetune.lora", {"rank": (8, 16)}),),
        workload=WorkloadChoice.of("training", **values),  # type: ignore[arg-type]
        run=RunSettings(trials=5),
    )
    return make_plan(experiment, resolved_of(experiment, home).models, TRAINS)


def test_that_learning_rates_share_a_row_of_the_plan(home: Places) -> None:
    plan = training_plan(home, learning_rate=(1e-4, 3e-4, 1e-3), sequence_tokens=(64, 128))
    view = plan_view(plan)
    assert len(plan.configurations) == 12
    assert len(view.rows) == 4
    assert view.count == "4 configurations × 3 rates × 5 seeds"
    assert {row.cells["trials"] for row in view.rows} == {"3 × 5 = 15"}
    assert sum(len(row.hashes) for row in view.rows) == 12
    assert "learning_rate" not in [c.key for c in view.columns]
    assert "sequence_tokens" in [c.key for c in view.columns]
    one = leave_out(plan.experiment, view.rows[0].hashes[0])
    view = plan_view(make_plan(one, resolved_of(one, home).models, TRAINS))
    assert (view.rows[0].state, view.rows[0].cells["trials"]) == ("runs", "2 × 5 = 10")
    for hash in view.rows[0].hashes:
        one = leave_out(one, hash)
    view = plan_view(make_plan(one, resolved_of(one, home).models, TRAINS))
    assert (view.rows[0].state, view.rows[0].cells["trials"]) == ("left_out", "0")


def test_that_the_plan_of_training_names_method_trained_parameters_and_share(home: Places) -> None:
    view = plan_view(training_plan(home))
    keys = [c.key for c in view.columns]
    assert keys[:2] == ["check", "technique:finetune"], "one model is not named in every row"
    assert [c.title for c in view.columns][1] == "Method"
    assert "model" in [c.key for c in plan_view(training_plan(home, SMALL, LARGE)).columns]
    row = view.rows[0]
    memory = row.memory
    assert memory.trained_parameters > 0
    assert row.cells["trainable"] == count_text(memory.trained_parameters)
    assert memory.trained_share is not None
    assert row.cells["share"] == share_text(memory.trained_share)
    assert "gradients" in row.cells["memory"]
    assert row.cells["trials"] == "5"


def test_that_the_range_of_memory_and_the_source_of_the_time_are_in_words(home: Places) -> None:
    row = plan_view(training_plan(home)).rows[0]
    learned = msgspec.structs.replace(row.memory, low=GIB, high=2 * GIB, trials=6)
    assert memory_sentence(learned).endswith("Expected: 1.00 to 2.00 GiB, from 6 trials here.")
    assert "Expected" not in memory_sentence(msgspec.structs.replace(learned, low=0, high=0))
    assert row.time_source.startswith("A guess, good to a factor of three")
    model = PlanModel()
    model.show_rows(columns_of(training_plan(home)), (row, replace(row, hash="x", state="cannot")))
    tips = [model.index(i, model.column_of("time")).data(Qt.ItemDataRole.ToolTipRole) for i in (0, 1)]
    assert sorted(tips, key=bool) == [None, row.time_source], "what does not run has no time"


def test_that_rows_left_out_are_said_by_the_data_panel_alone(home: Places) -> None:
    plan = training_plan(home)
    note = Problem(severity="note", place="workload.data", message="2 of 31 rows are left out.")
    many = msgspec.structs.replace(note, severity="warning")
    other = msgspec.structs.replace(note, place="workload.steps")
    view = plan_view(msgspec.structs.replace(plan, problems=(note, many, other)))
    assert view.problems == (many, other)


def test_that_a_model_trained_first_has_a_row_of_its_own(home: Places) -> None:
    trained = TrainedModel(name="lora", model=SMALL, techniques=(TechniqueChoice("finetune.lora"),))
    experiment = Experiment(
        models=(SMALL, trained.ref),
        trained=(trained,),
        workload=WorkloadChoice.of("inference", prompt_tokens=(32, 64)),
    )
    view = plan_view(make_plan(experiment, {SMALL: resolve(SMALL, home, Path.cwd())}, TRAINS))
    assert "technique:finetune" in [c.key for c in view.columns], "what tells it from inference"
    trains = [row for row in view.rows if row.cells["technique:finetune"]]
    assert [row.cells["prompt_tokens"] for row in trains] == ["—"]
    assert len(sorted_rows(view.rows, "prompt_tokens", False)) == 5


def test_that_a_fix_says_what_it_saves_and_costs() -> None:
    assert fix_text(Fix("Batch 2", "workload.batch_size", 2)) == "Batch 2"
    noted = Fix("Batch 2 × 2", "workload", (), "saves 1 GiB, no slower; same effective batch")
    assert fix_text(noted) == "Batch 2 × 2: saves 1 GiB, no slower; same effective batch"


def test_that_a_row_larger_than_the_device_lengthens_the_column(home: Places) -> None:
    small, both = plan_view(training_plan(home)), plan_view(training_plan(home, SMALL, LARGE))
    total = small.rows[0].memory.device_total
    assert {row.scale for row in small.rows} == {total}
    scales = {row.scale for row in both.rows}
    assert len(scales) == 1, "of all rows of a device"
    assert total < scales.pop() <= 2 * total


def test_that_counts_and_shares_are_written_for_people() -> None:
    assert [count_text(n) for n in (0, 950, 18_100_000, 1_710_000_000)] == ["0", "950", "18.1 M", "1.71 B"]
    assert [share_text(s) for s in (1.0, 0.157, 0.0106, 0.00002)] == ["100 %", "15.7 %", "1.06 %", "under 0.01 %"]
    assert [trials_text(n) for n in ([5], [5, 5, 5, 5], [0], [0, 0], [5, 0])] == [
        "5",
        "4 × 5 = 20",
        "0",
        "0",
        "1 × 5 = 5",
    ]


def test_that_models_that_one_base_became_are_told_apart_by_how_they_were_trained() -> None:
    def trained(name: str, made_by: str) -> LocalModel:
        return LocalModel(
            ref=f"/a/{name}", title="Small · LoRA (adapter)", aside="adapter", source="Trained here", kind="folder",
            path=f"/a/{name}", size_bytes=10, made_by=made_by,
        )  # fmt: skip

    models = (trained("t-1", "LoRA, notes, 60 steps"), trained("t-2", "LoRA, mails, 60 steps"))
    shown = [row for row in rows(Library(models=models, scanned=True)) if row.key.startswith("/a/")]
    assert [row.detail for row in shown] == ["LoRA, notes, 60 steps · adapter", "LoRA, mails, 60 steps · adapter"]
    assert all("Small · LoRA (adapter)" in row.tip for row in shown)
