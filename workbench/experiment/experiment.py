"""The experiment file: models x techniques x workloads x machines, as TOML and as values.

The window saves this exact form and the command line runs it. A list where one value is expected is a sweep.

    schema = 1
    name = "precision of SmolLM2"
    models = ["smollm2-135m-instruct"]       # catalogue id, folder, GGUF file or hub id; "random:ID" for random weights

    [techniques]
    precision = ["float32", "bfloat16", { id = "int8" }]

    [workload]
    prompt_tokens = [128, 512]
    new_tokens = 64

    [run]
    machines = ["this"]
    trials = 3

    [engine]
    threads = 0

docs/experiment-file.md describes every key. The types are here; `workbench.experiment.file` reads and writes them.
Pure values; any thread.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, cast

import msgspec

from engines.catalogue import engines
from engines.protocol.kinds import KINDS as KINDS
from engines.protocol.orders import TRAINED
from engines.protocol.settings import Scalar, Setting, settings_of
from engines.protocol.work import AnyTraining, Inference, Workload, tag_of

SCHEMA = 1
MAX_TRIALS = 1000
MAX_SEED = 2**32 - 1
"""Kinds of work; `settings_of` says what each may be set to."""
KIND = Setting(
    "kind", "Kind", default="inference", choices=tuple(KINDS), help="kind of work; the keys below belong to inference"
)


class TechniqueChoice(msgspec.Struct, frozen=True):
    """A technique id ("precision.int8") and its parameters; a tuple of several values is a sweep."""

    id: str
    parameters: dict[str, tuple[Scalar, ...]] = {}


class WorkloadChoice(msgspec.Struct, frozen=True):
    """The work, with sweeps. Made by `of` and changed by `with_values`."""

    first: Workload
    """The first of the swept ones."""
    sweeps: dict[str, tuple[Scalar, ...]] = {}
    """The values of those settings that have several."""

    @classmethod
    def of(cls, kind: str = "inference", /, **values: Scalar | tuple[Scalar, ...]) -> WorkloadChoice:
        """What a file means that says no more than this. Sweeps are tuples; unknown names raise TypeError."""
        defaults = {s.name: s.default for s in settings_of(KINDS[kind])}
        return cls(KINDS[kind](**defaults)).with_values(values)  # type: ignore[arg-type]  # checked by their settings

    @property
    def kind(self) -> str:
        return tag_of(type(self.first))

    @property
    def trains(self) -> bool:
        return isinstance(self.first, AnyTraining)

    @property
    def settings(self) -> tuple[Setting, ...]:
        return settings_of(type(self.first))

    @property
    def swept(self) -> tuple[Setting, ...]:
        """Those that have several values."""
        return tuple(s for s in self.settings if s.name in self.sweeps)

    @property
    def inference(self) -> Inference | None:
        return self.first if isinstance(self.first, Inference) else None

    def values(self, name: str) -> tuple[Scalar, ...]:
        """All values of a setting that may be swept, the only one of another."""
        return self.sweeps.get(name, (getattr(self.first, name),))

    def whole(self, name: str) -> tuple[int, ...]:
        """The values of a setting that is a whole number; none where this work has no such setting."""
        known = any(s.name == name for s in self.settings)
        return tuple(v for v in self.values(name) if isinstance(v, int)) if known else ()

    def with_values(self, values: Mapping[str, Scalar | tuple[Scalar, ...]]) -> WorkloadChoice:
        """With other values; a tuple of several makes a sweep."""
        listed = {s.name for s in self.settings if s.is_list}
        first, sweeps = {}, {name: old for name, old in self.sweeps.items() if name not in values}
        for name, value in values.items():
            several = value if isinstance(value, tuple) and name not in listed else (value,)
            first[name] = several[0]
            if len(several) > 1:
                sweeps[name] = several
        return WorkloadChoice(msgspec.structs.replace(self.first, **first), sweeps)

    def each(self) -> Iterator[Workload]:
        """The cross product of the sweeps, in the order of the settings."""
        names = [s.name for s in self.swept]
        for values in itertools.product(*(self.sweeps[name] for name in names)):
            yield msgspec.structs.replace(self.first, **dict(zip(names, values, strict=True)))


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    machines: Annotated[
        tuple[str, ...],
        Setting(
            title="Machines",
            maximum=200,
            pattern=r"[a-z0-9][a-z0-9_-]*(/\S+)?",
            pattern_text='"this", the id of a machine that was added, or "MACHINE/DEVICE"',
            help='`"this"` (its GPU if it has one, else the processor), `"this/cpu"`, `"this/cuda:0"`, '
            '`"this/cuda:GPU-UUID"`; `"lab"` or `"lab/cuda:0"` of a machine that was added',
        ),
    ] = ("this",)
    trials: Annotated[
        int,
        Setting(
            title="Trials",
            minimum=1,
            maximum=MAX_TRIALS,
            suffix="of each",
            help="blocks: each runs every configuration once; the order is drawn for every two blocks, the second runs "
            "it backwards",
        ),
    ] = 5
    """Quick 3, standard 5, precise 10."""
    stop_at_ratio: Annotated[
        float | None,
        Setting(
            title="Stop early",
            minimum=0.001,
            maximum=1,
            help="end early, after a whole block, once every ratio to the baseline is known to ± this (0.02 is ±2 %); "
            "`trials` is then the most that is run",
            unset="all trials are run",
            example="0.02",
        ),
    ] = None
    """By the rule of `workbench.statistics.stopping`."""
    stop_metric: Annotated[
        str | None,
        Setting(
            title="Metric",
            pattern=r"[a-z][a-z0-9_]*",
            pattern_text="the id of a metric",
            help="id of the metric whose ratios decide (see `llm-workbench metrics`)",
            unset='"decode_tokens_per_second"',
            example='"decode_tokens_per_second"',
        ),
    ] = None
    """None: `workbench.statistics.stopping.METRIC`."""
    skip: Annotated[
        tuple[str, ...],
        Setting(
            title="Left out",
            maximum=200,
            pattern=r"[0-9a-f]{8,64}(@\S+)?",
            pattern_text="the hash of a configuration (at least its first 8 digits)",
            help="hashes of configurations left out, at least their first 8 digits",
        ),
    ] = ()
    telemetry_hz: Annotated[
        float,
        Setting(title="Telemetry", minimum=0, maximum=20, unit="Hz", help="readings a second; 0 turns telemetry off"),
    ] = 10.0


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[
        str,
        Setting(
            title="Engine",
            choices=("auto", *(e.id for e in engines())),
            help="auto: the first engine that can apply a configuration's techniques",
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Setting(
            title="Threads",
            minimum=0,
            maximum=1024,
            suffix="0: automatic",
            help="processor threads of each trial; 0: one fewer than the processor has, at least one",
        ),
    ] = 0
    start_method: Annotated[
        str,
        Setting(
            title="Start",
            choices=("auto", "plain", "template"),
            help="template: workers are forked from a process that has imported the libraries; auto: plain from 10 "
            "trials on and on GPUs, else template",
        ),
    ] = "auto"
    memory_limit_bytes: Annotated[
        int | None,
        Setting(
            title="Memory limit",
            minimum=64 * 2**20,
            maximum=2**50,
            unit="bytes",
            help="address space of the worker",
            unset="no limit",
            example="8_000_000_000",
        ),
    ] = None
    time_limit_s: Annotated[
        float | None,
        Setting(
            title="Time limit",
            minimum=1,
            maximum=30 * 86400,
            unit="seconds",
            help="the trial is stopped then, its data kept",
            unset="no limit",
            example="600.0",
        ),
    ] = None
    own: dict[str, Scalar] = {}
    """What differs from the defaults of the engines' own settings, by name."""

    def value(self, setting: Setting) -> Scalar:
        """Of any key of the [engine] table."""
        if setting.name in self.__struct_fields__:
            return cast("Scalar", getattr(self, setting.name))
        return self.own.get(setting.name, cast("Scalar", setting.default))

    def with_value(self, setting: Setting, value: Scalar) -> EngineSettings:
        if setting.name in self.__struct_fields__:
            return msgspec.structs.replace(self, **{setting.name: value})
        own = {name: old for name, old in self.own.items() if name != setting.name}
        return msgspec.structs.replace(self, own=own if value == setting.default else own | {setting.name: value})


def engine_settings() -> tuple[Setting, ...]:
    """The keys of the [engine] table: those of all engines, then each engine's own."""
    return (*settings_of(EngineSettings), *(setting for engine in engines() for setting in engine.settings))


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the experiment trains itself, once in each block, before the configurations that use it."""

    name: str
    model: str
    """What is trained, as in `Experiment.models`."""
    techniques: tuple[TechniqueChoice, ...] = ()
    workload: WorkloadChoice = WorkloadChoice.of("training", keep="model")

    @property
    def ref(self) -> str:
        return f"{TRAINED}{self.name}"


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Setting(title="The name", maximum=200, help="one line", example='"precision of SmolLM2"')] = (
        "untitled"
    )
    seed: Annotated[
        int | None,
        Setting(
            title="Seed",
            minimum=0,
            maximum=MAX_SEED,
            help="decides the order of the trials; prompts do not depend on it",
            unset="drawn for each run and stored with it",
            example="7",
        ),
    ] = None
    """Given to the engine too."""
    models: Annotated[
        tuple[str, ...],
        Setting(title="Models", maximum=4096, help="see below", example='["smollm2-135m-instruct"]'),
    ] = ()
    techniques: tuple[TechniqueChoice, ...] = ()
    workload: WorkloadChoice = WorkloadChoice.of()
    run: RunSettings = RunSettings()
    engine: EngineSettings = EngineSettings()
    trained: tuple[TrainedModel, ...] = ()

    def training_of(self, model: TrainedModel) -> Experiment:
        """The part of it that trains one model."""
        return msgspec.structs.replace(
            self, models=(model.model,), techniques=model.techniques, workload=model.workload, trained=()
        )
