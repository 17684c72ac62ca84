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

from typing import cast

import msgspec

from engines.protocol.orders import Scalar
from engines.protocol.settings import Setting

SCHEMA = 1


class TechniqueChoice(msgspec.Struct, frozen=True):
    """A technique id ("precision.int8") and its parameters; a tuple of several values is a sweep."""

    id: str
    parameters: dict[str, tuple[Scalar, ...]] = {}


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """As `engines.protocol.orders.Inference`, with sweeps where a user would want them."""

    task: str = "generate"
    prompt_tokens: tuple[int, ...] = (128,)
    new_tokens: tuple[int, ...] = (64,)
    batch_size: tuple[int, ...] = (1,)
    depth_tokens: tuple[int, ...] = (0,)
    prompt_file: str = ""
    """Prompts of the user's own; relative to the experiment file."""
    requests: int = 3
    window_s: float = 5.0
    warmup_requests: int = 10
    perplexity_tokens: int = 1024
    text_tokens: int = 0
    tasks: tuple[str, ...] = ()
    task_samples: int = 0
    idle_s: float | None = None
    """None: as long as this machine's sensors need, as in `Inference`."""
    prefill_energy_s: float | None = None


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    machines: tuple[str, ...] = ("this",)
    """"this", or "this/DEVICE" with a device id of the probe."""
    trials: int = 5
    """Blocks: one trial of every configuration each. Quick 3, standard 5, precise 10."""
    stop_at_ratio: float | None = None
    """End early, at a whole block, once every ratio to the baseline is known to ± this (0.02 is ±2 %), by the rule of
    `workbench.statistics.stopping`; None: run all `trials`."""
    stop_metric: str | None = None
    """Id of the metric whose ratios decide; None: `workbench.statistics.stopping.METRIC`."""
    skip: tuple[str, ...] = ()
    """Hashes of configurations the user left out."""
    telemetry_hz: float = 10.0
    """Readings per second, 20 at the most; 0 turns telemetry off."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    id: str = "auto"
    """"auto": each configuration runs on the engine its techniques belong to; or one engine for all."""
    threads: int = 0
    start_method: str = "auto"
    """"plain", "template", or "auto": see `workbench.plan.cells.start_method`."""
    memory_limit_bytes: int | None = None
    time_limit_s: float | None = None
    own: dict[str, Scalar] = {}
    """Settings that one engine has (`EngineInfo.settings`), where they are not at their default."""

    def value(self, setting: Setting) -> Scalar:
        """Of any key of the [engine] table."""
        if setting.name in self.__struct_fields__:
            return cast("Scalar", getattr(self, setting.name))
        return self.own.get(setting.name, cast("Scalar", setting.default))

    def with_value(self, setting: Setting, value: Scalar) -> EngineSettings:
        if setting.name in self.__struct_fields__:
            return msgspec.structs.replace(self, **{setting.name: value})
        own = {name: kept for name, kept in self.own.items() if name != setting.name}
        return msgspec.structs.replace(self, own=own if value == setting.default else {**own, setting.name: value})


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    name: str = "untitled"
    seed: int | None = None
    """Of the order of trials, and given to the engine; None: drawn when the experiment is run, and stored with it."""
    models: tuple[str, ...] = ()
    techniques: tuple[TechniqueChoice, ...] = ()
    workload: Workload = Workload()
    run: RunSettings = RunSettings()
    engine: EngineSettings = EngineSettings()
