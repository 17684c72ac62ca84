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

from pathlib import Path

import msgspec

from engines.protocol.orders import Scalar
from workbench.experiment.problems import Problem

SCHEMA = 1
MAX_FILE_BYTES = 4 * 2**20
"""Nobody writes an experiment this long; a wrong file dropped on the window is not read whole."""


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
    """None: as long as this machine's sensors need, as in `WorkloadOrder`."""
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
    attention: str = "sdpa"
    batch_tokens: int = 2048
    micro_batch_tokens: int = 512
    flash_attention: str = "auto"
    gpu_layers: int = -1
    memory_map: bool = True
    start_method: str = "auto"
    """"plain", "template", or "auto": see `workbench.plan.cells.start_method`."""
    memory_limit_bytes: int | None = None
    time_limit_s: float | None = None


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    name: str = "untitled"
    seed: int | None = None
    """Of the order of trials, and given to the engine; None: drawn when the experiment is run, and stored with it."""
    models: tuple[str, ...] = ()
    techniques: tuple[TechniqueChoice, ...] = ()
    workload: Workload = Workload()
    run: RunSettings = RunSettings()
    engine: EngineSettings = EngineSettings()


def parse(text: str, source: str = "experiment") -> tuple[Experiment | None, tuple[Problem, ...]]:
    """An experiment from TOML, with every problem in the file at once (place "line N, key", message, hint).

    None only where there are errors; warnings (unknown keys of a newer schema) leave the experiment usable. `source`
    names the text where a problem has no line of its own.
    """
    from workbench.experiment.file import read  # late: that module is made of the types above

    return read(text, source)


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
    return msgspec.structs.replace(experiment, models=models), problems


def dump(experiment: Experiment) -> str:
    """TOML that `parse` reads back to an equal experiment (techniques grouped by axis). Defaults are written out;
    single values are not lists; what is not set (a limit) is left out."""
    from workbench.experiment.file import write

    return write(experiment)


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
