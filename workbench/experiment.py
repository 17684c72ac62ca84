"""The experiment file: models x techniques x workloads x machines, as TOML and as values.

The window saves this exact form and the command line runs it. A list where one value is expected is a sweep.

    schema = 1
    name = "precision of SmolLM2"
    seed = 7
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
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from engines.protocol.orders import Scalar
from workbench.problems import Problem

SCHEMA = 1


class TechniqueChoice(msgspec.Struct, frozen=True):
    """A technique id ("precision.int8") and its parameters; a tuple of several values is a sweep."""

    id: str
    parameters: dict[str, tuple[Scalar, ...]] = {}


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """As `engines.protocol.orders.WorkloadOrder`, with sweeps where a user would want them."""

    task: str = "generate"
    prompt_tokens: tuple[int, ...] = (128,)
    new_tokens: tuple[int, ...] = (64,)
    batch_size: tuple[int, ...] = (1,)
    requests: int = 3
    window_s: float = 5.0
    warmup_requests: int = 10
    perplexity_tokens: int = 512


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    machines: tuple[str, ...] = ("this",)
    """"this", or "this/DEVICE" with a device id of the probe."""
    trials: int = 5
    """Blocks: one trial of every configuration each. Quick 3, standard 5, precise 10."""
    skip: tuple[str, ...] = ()
    """Hashes of configurations the user left out."""
    telemetry_hz: float = 10.0


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    id: str = "transformers"
    threads: int = 0
    attention: str = "sdpa"
    memory_limit_bytes: int | None = None
    time_limit_s: float | None = None


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    name: str = "untitled"
    seed: int = 7
    models: tuple[str, ...] = ()
    techniques: tuple[TechniqueChoice, ...] = ()
    workload: Workload = Workload()
    run: RunSettings = RunSettings()
    engine: EngineSettings = EngineSettings()


def parse(text: str, source: str = "experiment") -> tuple[Experiment | None, tuple[Problem, ...]]:
    """An experiment from TOML, with every problem in the file at once (place "line N, key", message, hint).

    None only where there are errors; warnings (unknown keys of a newer schema) leave the experiment usable.
    """
    raise NotImplementedError


def load(path: Path) -> tuple[Experiment | None, tuple[Problem, ...]]:
    """As `parse`, from a file; an unreadable file is a problem, not an exception."""
    raise NotImplementedError


def dump(experiment: Experiment) -> str:
    """TOML that `parse` reads back to an equal experiment. Defaults are written out; single values are not lists."""
    raise NotImplementedError
