"""Reads and writes the experiment file. One reading finds every mistake, each with its place and a hint.

Pure; any thread. What a key may hold stands in its `Setting`; this module walks the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
import tomli_w

from engines.protocol.problems import Problem, Severity
from engines.protocol.settings import Scalar, Setting, did_you_mean, settings_of, shown
from engines.techniques import Technique, axes, find, techniques
from workbench.experiment import toml_places
from workbench.experiment.experiment import (
    KIND,
    KINDS,
    SCHEMA,
    EngineSettings,
    Experiment,
    RunSettings,
    TechniqueChoice,
    TrainedModel,
    WorkloadChoice,
    engine_settings,
)

MAX_FILE_BYTES = 4 * 2**20
"""Nobody writes an experiment this long; a wrong file dropped on the window is not read whole."""

Table = Mapping[str, object]

_TOML_LINE = re.compile(r" \(at line (\d+), column (\d+)\)$")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_BASE = Setting("model", "Model", default="", maximum=4096, example='"smollm2-135m-instruct"')
_TRAINS = replace(KIND, default="training", choices=("training", "pretraining"), help="kind of training")
_TOML_END = " (at end of document)"


def parse(text: str, source: str = "experiment") -> tuple[Experiment | None, tuple[Problem, ...]]:
    """An experiment from TOML, with every problem in the file at once (place "line N, key", message, hint).

    None only where there are errors; warnings (unknown keys of a newer schema) leave the experiment usable. `source`
    names the text where a problem has no line of its own.
    """
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # also a number too long for Python
        return None, (_syntax_problem(str(error), text),)
    except RecursionError:
        return None, (Problem(severity="error", place=source, message="The file nests lists too deeply to be read."),)
    reader = _Reader(toml_places.locate(text), source)
    experiment = reader.experiment(document)
    problems = tuple(sorted(reader.problems, key=_line_number))
    if any(p.severity == "error" for p in problems):
        return None, problems
    return experiment, problems


def dump(experiment: Experiment) -> str:
    """TOML that `parse` reads back to an equal experiment (techniques grouped by axis). Defaults are written out;
    single values are not lists; what is not set (a limit) is left out."""
    document: dict[str, object] = {
        "schema": SCHEMA,
        "name": experiment.name,
        **({} if experiment.seed is None else {"seed": experiment.seed}),
        "models": list(experiment.models),
    }
    document["techniques"] = _grouped(experiment.techniques)
    load, engine = experiment.workload, experiment.engine
    document["workload"] = _kind_of(load, KIND) | _load_table(load)
    if experiment.trained:
        document["trained"] = {
            t.name: {
                "model": t.model,
                "techniques": _grouped(t.techniques),
                "workload": _kind_of(t.workload, _TRAINS) | _load_table(t.workload),
            }
            for t in experiment.trained
        }
    document["run"] = _table({s: getattr(experiment.run, s.name) for s in settings_of(RunSettings)})
    document["engine"] = _table({s: engine.value(s) for s in engine_settings()})
    return tomli_w.dumps(document)


def _grouped(choices: Sequence[TechniqueChoice]) -> dict[str, object]:
    grouped: dict[str, list[object]] = {}
    for choice in choices:
        axis, _, short = choice.id.partition(".")
        chosen = {name: _one_or_list(values) for name, values in choice.parameters.items()}
        grouped.setdefault(axis, []).append({"id": short, **chosen} if chosen else short)
    return {axis: _one_or_list(entries) for axis, entries in grouped.items()}


def _kind_of(load: WorkloadChoice, setting: Setting) -> dict[str, object]:
    return {} if load.kind == setting.default else {setting.name: load.kind}


def _load_table(load: WorkloadChoice) -> dict[str, object]:
    return _table({s: _one_or_list(load.values(s.name)) for s in load.settings})


def _table(values: Mapping[Setting, object]) -> dict[str, object]:
    return {s.name: list(v) if isinstance(v, tuple) else v for s, v in values.items() if v is not None}


def _one_or_list(values: Sequence[object]) -> object:
    return values[0] if len(values) == 1 else list(values)


def _line_number(problem: Problem) -> int:
    found = re.match(r"line (\d+)", problem.place)
    return int(found[1]) if found else 0


def _syntax_problem(message: str, text: str) -> Problem:
    found = _TOML_LINE.search(message)
    if found:
        place, what = f"line {found[1]}", message[: found.start()]
    else:
        place, what = f"line {text.count(chr(10)) + 1}", message.removesuffix(_TOML_END)
    return Problem(
        severity="error",
        place=place,
        message=f"Not valid TOML: {what[:1].lower()}{what[1:]}.",
        hint='Texts stand in "quotes", lists in [brackets], one key = value a line; nothing after this line was read.',
    )


class _Reader:
    """One reading of one document. Collects problems; values with a problem fall back to their default."""

    def __init__(self, lines: dict[toml_places.Path, int], source: str) -> None:
        self.lines = lines
        self.source = source
        self.problems: list[Problem] = []
        self.newer = False

    def experiment(self, document: Table) -> Experiment:
        self._schema(document)
        tables = ("techniques", "workload", "run", "engine", "trained")
        top = self._values(document, (), settings_of(Experiment), also=("schema", *tables))
        run = self._values(self._table(document, "run"), ("run",), settings_of(RunSettings))
        return Experiment(
            techniques=self._techniques(document.get("techniques", {})),
            workload=self._workload(self._table(document, "workload")),
            run=RunSettings(**run),  # type: ignore[arg-type]  # checked by their settings, as the others
            engine=self._engine(self._table(document, "engine")),
            trained=self._trained(self._table(document, "trained")),
            **top,  # type: ignore[arg-type]
        )

    def _trained(self, table: Table) -> tuple[TrainedModel, ...]:
        """Models that are trained first: a table [trained.NAME] for each."""
        found: list[TrainedModel] = []
        for name, inner in table.items():
            path = ("trained", name)
            if not isinstance(inner, dict):
                self._say(path, f"trained.{name} is a table, not {_kind(inner)}.", f"Write [trained.{name}].")
                continue
            if not _NAME.fullmatch(name):
                self._say(path, f"{shown(name)} cannot be the name of a trained model.", "Letters, digits, - and _.")
            model = self._values(inner, path, (_BASE,), also=("techniques", "workload")).get("model", "")
            if not model:
                self._say(path, "It does not say what is trained.", f"Write model = {_BASE.example}.")
            load = inner.get("workload", {})
            if not isinstance(load, dict):
                self._say((*path, "workload"), f"workload is a table, not {_kind(load)}.")
                load = {}
            where = (*path, "workload")
            kind = self._single(_TRAINS, load.get(KIND.name, _TRAINS.default), (*where, KIND.name))
            kind = kind if isinstance(kind, str) else str(_TRAINS.default)
            values = {"keep": "model"} | self._values(load, where, settings_of(KINDS[kind]), also=(KIND.name,))
            if values["keep"] == "nothing":
                self._say((*where, "keep"), "The trained model is used, so it has to be kept.", "Leave keep out.")
            found.append(
                TrainedModel(
                    name=name,
                    model=str(model),
                    techniques=self._techniques(inner.get("techniques", {}), (*path, "techniques")),
                    workload=WorkloadChoice.of(kind, **values),
                )
            )
        return tuple(found)

    def _workload(self, table: Table) -> WorkloadChoice:
        kind = self._single(KIND, table.get(KIND.name, KIND.default), ("workload", KIND.name))
        if not isinstance(kind, str):
            return WorkloadChoice.of()  # what else the table holds is judged once its kind is known
        values = self._values(table, ("workload",), settings_of(KINDS[kind]), also=(KIND.name,))
        return WorkloadChoice.of(kind, **values)

    def _engine(self, table: Table) -> EngineSettings:
        known, made = engine_settings(), EngineSettings()
        values = self._values(table, ("engine",), known)
        for setting in (s for s in known if s.name in values):
            made = made.with_value(setting, cast("Scalar", values[setting.name]))
        return made

    # --- problems ------------------------------------------------------------------------------

    def _say(self, path: toml_places.Path, message: str, hint: str = "", severity: Severity = "error") -> None:
        line = toml_places.line_of(self.lines, path)
        key = toml_places.dotted(path)
        place = f"line {line}, {key}" if line else f"{self.source}, {key}" if key else self.source
        self.problems.append(Problem(severity=severity, place=place, message=message, hint=hint))

    def _unknown(self, path: toml_places.Path, known: Sequence[str]) -> None:
        if self.newer:
            self._say(path, "This version does not know the key; it is ignored.", severity="warning")
        else:
            self._say(path, f"Unknown key {shown(path[-1])}.", did_you_mean(str(path[-1]), known))

    def _schema(self, document: Table) -> None:
        schema = document.get("schema", SCHEMA)
        if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
            self._say(
                ("schema",), f"The schema is a whole number from 1, not {shown(schema)}.", f"Write schema = {SCHEMA}."
            )
        elif schema > SCHEMA:
            self.newer = True
            self._say(
                ("schema",),
                f"The file is of schema {schema}; this version reads schema {SCHEMA}.",
                "What it does not know is ignored. A newer version of the workbench would read all of it.",
                severity="warning",
            )

    # --- tables of plain keys ------------------------------------------------------------------

    def _table(self, document: Table, name: str) -> Table:
        table = document.get(name, {})
        if isinstance(table, dict):
            return table
        self._say((name,), f"{name} is a table, not {_kind(table)}.", f"Write [{name}] on a line of its own.")
        return {}

    def _values(
        self, table: Table, path: toml_places.Path, keys: tuple[Setting, ...], also: tuple[str, ...] = ()
    ) -> dict[str, Scalar | tuple[Scalar, ...]]:
        by_name = {key.name: key for key in keys}
        values: dict[str, Scalar | tuple[Scalar, ...]] = {}
        for name, raw in table.items():
            if name in also:
                continue
            if name not in by_name:
                self._unknown((*path, name), (*by_name, *also))
                continue
            value = self._value(by_name[name], raw, (*path, name))
            if value is not None:
                values[name] = value
        return values

    def _value(self, key: Setting, raw: object, path: toml_places.Path) -> Scalar | tuple[Scalar, ...]:
        """The checked value, a tuple for sweeps and lists, or None after saying what is wrong."""
        if not (key.sweep or key.is_list):
            if isinstance(raw, list):
                self._say(path, f"{key.name} takes one value, not a list.", "It cannot be swept.")
                return None
            return self._single(key, raw, path)
        if not isinstance(raw, list):
            value = self._single(key, raw, path)
            return None if value is None else (value,)
        if not raw and key.sweep:
            self._say(
                path, f"The list of {key.name} is empty: there is nothing to run.", f"Try {key.name} = {key.example}."
            )
            return None
        values: list[Scalar] = []
        for index, item in enumerate(raw):
            value = self._single(key, item, (*path, index))
            if value is None:
                continue
            if value in values:
                self._say((*path, index), f"{shown(item)} stands in the list twice.", "Leave one of them out.")
            else:
                values.append(value)
        return tuple(values)

    def _single(self, key: Setting, raw: object, path: toml_places.Path) -> Scalar:
        value, message, hint = key.check(raw)
        if message:
            self._say(path, message, hint)
        return value

    # --- techniques ----------------------------------------------------------------------------

    def _techniques(self, table: object, inside: toml_places.Path = ("techniques",)) -> tuple[TechniqueChoice, ...]:
        if not isinstance(table, dict):
            self._say(inside, f"techniques is a table, not {_kind(table)}.", "Write [techniques] and axis = [...].")
            return ()
        known = [axis.id for axis in axes()]
        choices: list[TechniqueChoice] = []
        for axis, raw in table.items():
            path = (*inside, axis)
            if axis not in known:
                self._unknown_axis(path, known)
                continue
            entries = raw if isinstance(raw, list) else [raw]
            if not entries:
                self._say(
                    path,
                    f"The list of {axis} is empty: there is nothing to run.",
                    "Name a technique or leave the key out.",
                )
            for index, entry in enumerate(entries):
                place = (*path, index) if isinstance(raw, list) else path
                choice = self._technique(axis, entry, place)
                if choice is None:
                    continue
                if choice in choices:
                    self._say(place, f"{choice.id} stands in the list twice.", "Leave one of them out.")
                else:
                    choices.append(choice)
        return tuple(choices)

    def _unknown_axis(self, path: toml_places.Path, known: Sequence[str]) -> None:
        if self.newer:
            self._unknown(path, known)
        else:
            self._say(path, f"Unknown axis {shown(path[-1])}.", did_you_mean(str(path[-1]), known))

    def _technique(self, axis: str, entry: object, path: toml_places.Path) -> TechniqueChoice | None:
        if isinstance(entry, dict):
            id_ = entry.get("id")
            if not isinstance(id_, str):
                self._say(
                    path, "A technique with parameters needs its id.", f'Write {{ id = "{_example(axis)}", ... }}.'
                )
                return None
        elif isinstance(entry, str):
            id_ = entry
        else:
            self._say(path, f"A technique is a text, not {_kind(entry)}.", f'Write "{_example(axis)}".')
            return None
        place = (*path, "id") if isinstance(entry, dict) else path
        technique = find(id_ if "." in id_ else f"{axis}.{id_}")
        if technique is None:
            known = [t.short for t in techniques(axis)] + [t.id for t in techniques(axis)]
            self._say(place, f"Unknown technique {shown(id_)}.", did_you_mean(id_, known, show=len(known) // 2))
            return None
        if technique.axis != axis:
            self._say(place, f"{technique.id} belongs to the axis {technique.axis}, not {axis}.")
            return None
        if not isinstance(entry, dict):
            return TechniqueChoice(technique.id)
        return TechniqueChoice(technique.id, self._parameters(technique, entry, path))

    def _parameters(self, technique: Technique, entry: Table, path: toml_places.Path) -> dict[str, tuple[Scalar, ...]]:
        by_name = {p.name: replace(p, sweep=True) for p in technique.parameters}
        chosen: dict[str, tuple[Scalar, ...]] = {}
        for name, raw in entry.items():
            if name == "id":
                continue
            if name not in by_name:
                hint = did_you_mean(name, list(by_name)) if by_name else f"{technique.id} has no parameters."
                self._say((*path, name), f"{technique.id} has no parameter {shown(name)}.", hint)
            elif (value := self._value(by_name[name], raw, (*path, name))) is not None:
                chosen[name] = cast("tuple[Scalar, ...]", value)
        return chosen


def _example(axis: str) -> str:
    return next((t.short for t in techniques(axis)), "technique")


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return f"the number {shown(value)}"
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else shown(value)


def load(path: Path) -> tuple[Experiment | None, tuple[Problem, ...]]:
    """As `parse`, from a file; an unreadable file is a problem, not an exception.

    Models written as relative paths ("./my-model", "weights/x.gguf" where that exists) are meant relative to the file's
    folder and come out absolute, so that the experiment means the same wherever it is planned.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return None, (_unreadable(path, f"it is larger than {MAX_FILE_BYTES // 2**20} MiB"),)
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, (_unreadable(path, "it is not UTF-8 text"),)
    except OSError as error:
        return None, (_unreadable(path, error.strerror or str(error)),)
    experiment, problems = parse(text, str(path))
    if experiment is None:
        return None, problems
    models = tuple(_from_folder(ref, path.parent) for ref in experiment.models)
    trained = tuple(msgspec.structs.replace(t, model=_from_folder(t.model, path.parent)) for t in experiment.trained)
    return msgspec.structs.replace(experiment, models=models, trained=trained), problems


def _from_folder(ref: str, folder: Path) -> str:
    """A model written as a relative path, made absolute; anything else as it is."""
    if ref.startswith(("./", "../")) or ref in (".", ".."):
        return str((folder / ref).absolute())
    if "/" not in ref and not ref.endswith(".gguf"):
        return ref
    if ref.startswith(("/", "~", "random:")):
        return ref
    there = folder / ref
    return str(there.absolute()) if there.exists() else ref


def _unreadable(path: Path, reason: str) -> Problem:
    return Problem(
        severity="error",
        place=str(path),
        message=f"The file cannot be read: {reason}.",
        hint="Give the path of an experiment file (TOML).",
    )
