"""The experiment file: mistakes with places and hints, and what is written is read back."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from engines.protocol.problems import Problem
from engines.protocol.settings import Setting, settings_of
from engines.techniques import Technique, techniques
from workbench.experiment import file as experiment_toml
from workbench.experiment import toml_places
from workbench.experiment.experiment import (
    KINDS,
    EngineSettings,
    Experiment,
    RunSettings,
    TechniqueChoice,
    WorkloadChoice,
)
from workbench.experiment.file import dump, load, parse

FIVE_MISTAKES = """\
schema = 1
name = "five mistakes"
models = ["smollm2-135m-instruct"]
trails = 3

[techniques]
precision = [
    "float32",
    "bfloat61",
]

[workload]
prompt_tokens = [128, -5]
new_tokens = []

[run]
trials = "three"
"""


def errors_of(text: str) -> tuple[Problem, ...]:
    experiment, problems = parse(text)
    assert experiment is None
    return problems


def test_that_five_mistakes_are_reported_at_once_with_places_and_hints() -> None:
    problems = errors_of(FIVE_MISTAKES)
    assert [p.place for p in problems] == [
        "line 4, trails",
        "line 9, techniques.precision[1]",
        "line 13, workload.prompt_tokens[1]",
        "line 14, workload.new_tokens",
        "line 17, run.trials",
    ]
    assert all(p.severity == "error" for p in problems)
    assert "Did you mean 'bfloat16'?" in problems[1].hint
    assert problems[2].message == "prompt_tokens is 1 to 1,000,000 tokens, not -5."
    assert "empty" in problems[3].message
    assert "whole number" in problems[4].message
    assert "For example trials = 5." in problems[4].hint


def test_that_broken_toml_names_its_line() -> None:
    (problem,) = errors_of('name = "x"\nmodels = [\n"a" "b"]\n')
    assert problem.place == "line 3"
    assert problem.message.startswith("Not valid TOML")
    assert "line" not in problem.message


def test_that_toml_cut_short_is_a_problem_at_its_last_line() -> None:
    (problem,) = errors_of('name = "x"\nmodels = ["a",')
    assert problem.place == "line 2"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('[techniques]\nprecison = "int8"', "line 2, techniques.precison", "Did you mean 'precision'?"),
        ('[techniques]\nprecision = "attention.linear"', "line 2, techniques.precision", "Unknown technique"),
        ("[techniques]\nprecision = 8", "line 2, techniques.precision", "not the number 8"),
        ('[techniques]\nprecision = ["int8", "precision.int8"]', "line 2, techniques.precision[1]", "twice"),
        ('[techniques]\nprecision = [{ id = "int8", group = 4 }]', "techniques.precision[0].group", "no parameter"),
        ('[techniques]\nprecision = [{ group = 4 }]', "techniques.precision[0]", "needs its id"),
        ("techniques = 3", "line 1, techniques", "is a table"),
        ("workload = []", "line 1, workload", "is a table"),
        ("[workload]\nrequests = [1, 2]", "line 2, workload.requests", "not a list"),
        ("[workload]\nbatch_size = [4, 4]", "line 2, workload.batch_size[1]", "twice"),
        ("[workload]\nbatch_size = true", "line 2, workload.batch_size", "whole number of sequences"),
        ("[workload]\nbatch_size = 99999", "line 2, workload.batch_size", "1 to 4,096"),
        ("[workload]\nwindow_s = nan", "line 2, workload.window_s", "finite"),
        ("[workload]\nwindow_s = inf", "line 2, workload.window_s", "finite"),
        ('[workload]\ntask = "generat"', "line 2, workload.task", "Did you mean 'generate'?"),
        ('[engine]\nattention = "flash"', "line 2, engine.attention", "sdpa or eager"),
        ("[engine]\nmemory_limit_bytes = 1", "line 2, engine.memory_limit_bytes", "67,108,864"),
        ('[run]\nmachines = ["That!"]', "line 2, run.machines[0]", '"this"'),
        ("[run]\ntelemetry_hz = 100", "line 2, run.telemetry_hz", "0 to 20"),
        ("[run]\ntrials = 0", "line 2, run.trials", "1 to 1,000"),
        ("seed = -1", "line 1, seed", "0 to"),
        ('name = ""', "line 1, name", "empty"),
        ('name = "a\\nb"', "line 1, name", "line end"),
        ("models = [1]", "line 1, models[0]", "text in quotes"),
        ("schema = 0", "line 1, schema", "whole number"),
        ("[workload]\nrequests = 0x" + "f" * 5000, "line 2, workload.requests", "very long number"),
        ("seed = 1979-05-27", "line 1, seed", "whole number"),
    ],
)  # fmt: skip
def test_that_a_mistake_is_named_where_it_stands(text: str, place: str, words: str) -> None:
    (problem,) = errors_of(text)
    assert place in problem.place
    assert words in f"{problem.message} {problem.hint}"


def test_that_a_number_too_long_for_python_is_a_problem_and_not_a_crash() -> None:
    (problem,) = errors_of("seed = " + "9" * 5000)
    assert "TOML" in problem.message


def test_that_unknown_keys_of_a_newer_schema_are_warnings_only() -> None:
    experiment, problems = parse(
        'schema = 99\nname = "n"\nfuture = 1\n[run]\nfleet = "x"\n[techniques]\nsorcery = "x"\n'
    )
    assert experiment.name == "n"
    assert {p.severity for p in problems} == {"warning"}
    places = ["line 1, schema", "line 3, future", "line 5, run.fleet", "line 7, techniques.sorcery"]
    assert [p.place for p in problems] == places


def test_that_short_and_full_technique_ids_mean_the_same() -> None:
    short, _ = parse('[techniques]\nprecision = "int8"')
    full, _ = parse('[techniques]\nprecision = ["precision.int8"]')
    table, _ = parse('[techniques]\nprecision = { id = "int8" }')
    assert short == full == table
    assert short.techniques == (TechniqueChoice("precision.int8"),)


def test_that_technique_parameters_are_checked_swept_and_written_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Technique(
        id="precision.fake",
        title="fake",
        sentence="",
        source="",
        implementation="",
        parameters=(
            Setting("group", "Group", "int", 64, 1, 512),
            Setting("scale", "Scale", "float", 1.0, 0, 2),
            Setting("double", "Double", "bool", False),
        ),
    )
    monkeypatch.setattr(experiment_toml, "find", lambda id_: fake if id_ == fake.id else None)
    good, problems = parse('[techniques]\nprecision = [{ id = "fake", group = [32, 64], scale = 1, double = true }]')
    assert problems == ()
    assert good.techniques == (
        TechniqueChoice("precision.fake", {"group": (32, 64), "scale": (1.0,), "double": (True,)}),
    )
    assert parse(dump(good)) == (good, ())
    bad = errors_of(
        '[techniques]\nprecision = [\n{ id = "fake", group = [0, 64, 64], scale = "x" },\n'
        '{ id = "fake", grup = 3, double = [] }]'
    )
    assert [(p.place, p.message) for p in bad] == [
        ("line 3, techniques.precision[0].group[0]", "group is 1 to 512, not 0."),
        ("line 3, techniques.precision[0].group[2]", "64 stands in the list twice."),
        ("line 3, techniques.precision[0].scale", "scale is a number, not 'x'."),
        ("line 4, techniques.precision[1].grup", "precision.fake has no parameter 'grup'."),
        ("line 4, techniques.precision[1].double", "The list of double is empty: there is nothing to run."),
    ]
    assert bad[3].hint == "Did you mean 'group'?"


def test_that_an_empty_file_is_the_default_experiment() -> None:
    assert parse("") == (Experiment(), ())


def test_that_dump_writes_defaults_and_single_values_plainly() -> None:
    document = tomllib.loads(dump(Experiment(techniques=(TechniqueChoice("precision.int8"),))))
    assert document["workload"]["prompt_tokens"] == 128
    assert document["techniques"]["precision"] == "int8"
    assert document["run"]["machines"] == ["this"]
    assert "memory_limit_bytes" not in document["engine"]


def test_that_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    experiment, (problem,) = load(tmp_path / "missing.toml")
    assert experiment is None
    assert "No such file" in problem.message
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in load(binary)[1][0].message
    assert load(tmp_path)[0] is None
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (5 * 2**20))
    assert "larger" in load(large)[1][0].message


def test_that_relative_models_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "x").mkdir()
    file = tmp_path / "e.toml"
    file.write_text('models = ["./mine", "weights/x", "org/name", "smollm2-135m-instruct", "~/m", "random:gpt2"]')
    experiment, problems = load(file)
    assert problems == ()
    assert experiment is not None
    here = str(tmp_path)
    assert experiment.models == (
        f"{here}/mine",
        f"{here}/weights/x",
        "org/name",
        "smollm2-135m-instruct",
        "~/m",
        "random:gpt2",
    )


# --- properties ------------------------------------------------------------------------------------


plain_text = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(
    lambda s: bool(s.strip())
)


def value_of(setting: Setting) -> st.SearchStrategy[object]:
    """Any value a setting may hold."""
    low, high = setting.minimum or 0, setting.maximum or 10**6
    one: st.SearchStrategy[object] = {
        "bool": st.booleans(),
        "int": st.integers(int(low), int(high)),
        "float": st.floats(low, high),
        "text": st.sampled_from(setting.choices) if setting.choices else plain_text,
    }[setting.type]
    if setting.is_list:
        return st.lists(one, max_size=3, unique=True).map(tuple)
    return st.lists(one, min_size=1, max_size=3, unique=True).map(tuple) if setting.sweep else one


def workloads(kind: str) -> st.SearchStrategy[WorkloadChoice]:
    """Any work of a kind, whatever settings it has."""
    some = {s.name: value_of(s) for s in settings_of(KINDS[kind])}
    return st.fixed_dictionaries({}, optional=some).map(lambda values: WorkloadChoice.of(kind, **values))


experiments = st.builds(
    Experiment,
    name=plain_text,
    seed=st.none() | st.integers(0, 2**32 - 1),
    models=st.lists(plain_text, max_size=4, unique=True).map(tuple),
    techniques=st.lists(st.sampled_from([TechniqueChoice(t.id) for t in techniques()]), unique_by=lambda t: t.id).map(
        lambda chosen: tuple(sorted(chosen, key=lambda t: t.id.partition(".")[0]))
    ),
    workload=st.sampled_from(tuple(KINDS)).flatmap(workloads),
    run=st.builds(
        RunSettings,
        machines=st.lists(st.sampled_from(["this", "this/cpu", "this/cuda:GPU-1"]), unique=True).map(tuple),
        trials=st.integers(1, 1000),
        skip=st.lists(st.text("0123456789abcdef", min_size=8, max_size=64), max_size=3, unique=True).map(tuple),
        telemetry_hz=st.floats(0, 20),
    ),
    engine=st.builds(
        EngineSettings,
        threads=st.integers(0, 1024),
        own=st.fixed_dictionaries(
            {},
            optional={"attention": st.just("eager"), "gpu_layers": st.integers(0, 99), "memory_map": st.just(False)},
        ),
        memory_limit_bytes=st.none() | st.integers(64 * 2**20, 2**50),
        time_limit_s=st.none() | st.floats(1, 30 * 86400),
    ),
)


@given(experiments)
@settings(deadline=None)
def test_that_what_is_dumped_is_parsed_back(experiment: Experiment) -> None:
    assert parse(dump(experiment)) == (experiment, ())


keys = st.text(min_size=1, max_size=6).filter(lambda s: all(not 0xD800 <= ord(c) <= 0xDFFF for c in s))
values = st.recursive(
    st.integers(-100, 100) | st.booleans() | keys | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(keys, values, max_size=5), st.booleans())
@settings(deadline=None)
def test_that_every_key_of_any_document_is_located_on_a_line_that_holds_it(
    document: dict[str, object], multiline: bool
) -> None:
    text = tomli_w.dumps(document, multiline_strings=multiline)
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        reject()  # tomli_w writes some control characters in multi-line strings that TOML forbids
    places = toml_places.locate(text)
    lines = text.replace("\r\n", "\n").split("\n")

    def check(value: object, path: toml_places.Path) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                check(inner, (*path, key))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                check(inner, (*path, index))
        else:
            line = places[path]
            assert 1 <= line <= len(lines)
            if isinstance(value, (int, float)) and math.isfinite(value):
                assert str(value).lower() in lines[line - 1].lower()

    check(written, ())


def test_that_places_survive_comments_strings_and_headers() -> None:
    text = (
        '# a = 1\nb = """\nc = 2\n"""\n\'d.e\' = [ # no\n  1, # x\n  { f = "}]#", g = [\n 3] }\n]\n'
        '[[h]]\ni = 1\n[[h]]\ni = 2\n[h.j]\nk.l = """"q""""\nm = 5\n"n\\u0041" = 1\n'
    )
    tomllib.loads(text)
    places = toml_places.locate(text)
    assert places[("b",)] == 2
    assert places[("d.e", 0)] == 6
    assert places[("d.e", 1, "g")] == 7
    assert places[("d.e", 1, "g", 0)] == 8
    assert places[("h", 1, "i")] == 13
    assert places[("h", 1, "j", "k", "l")] == 15
    assert places[("h", 1, "j", "m")] == 16
    assert places[("h", 1, "j", "nA")] == 17
    assert ("a",) not in places
    assert ("c",) not in places
