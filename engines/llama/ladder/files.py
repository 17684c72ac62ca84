"""The quantisation ladder: which GGUF file an order needs, and how it comes to be. Light to import; worker process, or
`python -m engines.llama.ladder`.

Files are made in a process of their own (`engines.llama.ladder.make`): its memory does not stay in the worker that
measures afterwards, a crash of the quantiser is a failure in words, and a stop ends it at once.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.llama.ladder.cache import CachedFile, cached, content_of, only_facts, sweep
from engines.llama.ladder.hub import hub_source
from engines.llama.ladder.lines import Failed, Made, Step, parse
from engines.llama.preflight import check_packages
from engines.models.files import BrokenModel
from engines.models.identity import Digests
from engines.protocol.client import engine_environment
from engines.protocol.orders import ModelOrder, TrialOrder
from engines.protocol.places import Places, places
from engines.techniques.chosen import names_gguf, precision_of
from engines.techniques.gguf import STORED, type_name
from engines.worker.failures import WorkerFailure

Report = Callable[[str, float], None]

_CHOOSE = "Choose one of the GGUF precisions (F16, Q8_0, ...)."


@dataclass(frozen=True)
class GgufFile:
    """The file an order needs. Of a hub model that is not here yet only the folder is certain: ask again when made."""

    path: Path
    exists: bool
    title: str
    """"SmolLM2-135M-Instruct as Q4_K_M"."""
    facts: tuple[tuple[str, str], ...] = ()
    """What is known of a made file: as `make_file` returned, in every trial that uses it."""


def plan_file(order: TrialOrder) -> GgufFile:
    """Where the file for this order is or will be. Reads the model's files where nobody has done so yet, to
    know what they are. Raises `WorkerFailure`."""
    wanted = _type_of(order)
    model = order.model
    local = local_source(model, allow_network=False)
    if not wanted:
        return GgufFile(local or places().models, exists=local is not None, title=model.title)
    title = f"{model.title} as {wanted}"
    if local is None and model.kind == "hub":
        return GgufFile(places().models / "gguf", exists=False, title=title)
    file = cached_file(places(), model, local, wanted)
    facts = file.facts()
    return GgufFile(file.path, facts is not None, title, tuple(sorted(only_facts(facts or {}).items())))


def make_file(order: TrialOrder, report: Report) -> dict[str, str]:
    """Make the file that `plan_file` named, if it is not there; returns its facts. Raises `WorkerFailure`; nothing
    half-made is left, whatever ends it."""
    wanted = _type_of(order)
    if not wanted and order.model.kind != "hub":
        return {}
    types = (wanted,) if wanted else ()  # none: the hub's own file is fetched
    made = make_files(order.model, types, order.engine.threads, report, allow_network=order.allow_network)
    return only_facts(made[wanted].facts) if wanted else {}


def make_files(
    model: ModelOrder, types: tuple[str, ...], threads: int, report: Report, *, allow_network: bool = False
) -> dict[str, Made]:
    """Each type's file, made unless it is there; without types a hub model is only fetched. Blocks; `report` is called
    in the caller's thread. Raises `WorkerFailure`."""
    check_packages()
    command = [sys.executable, "-m", "engines.llama.ladder.make", "--model", msgspec.json.encode(model).decode()]
    command += ["--to", ",".join(types), "--threads", str(threads), *(["--network"] if allow_network else [])]
    made: dict[str, Made] = {}
    failure: WorkerFailure | None = None
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=engine_environment(places())
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said = parse(line)
                if isinstance(said, Step):
                    report(said.text, said.fraction)
                elif isinstance(said, Made):
                    made[said.type] = said
                elif isinstance(said, Failed):
                    failure = said.failure()
        except BaseException:
            process.kill()
            process.wait()
            sweep(places())
            raise
    if failure is not None or process.returncode or not set(types) <= made.keys():
        sweep(places())
        raise failure or _ended(process.returncode)
    return made


def cached_file(here: Places, model: ModelOrder, local: Path | None, wanted: str) -> CachedFile:
    """The cache's file for a model that is on this machine (`local` None: random weights). Raises `WorkerFailure`."""
    try:
        content = content_of(model, local, Digests(here.digests))
    except BrokenModel as error:
        raise WorkerFailure("model", str(error), error.advice) from error
    except OSError as error:
        raise WorkerFailure(
            "model", f"The files of {model.title} cannot be read: {error}.", "Choose the model again in Setup."
        ) from error
    return cached(here, content, model.title, wanted)


def local_source(model: ModelOrder, *, allow_network: bool, report: Report | None = None) -> Path | None:
    """The folder or file a model's GGUF is made from; None for random weights, and for a hub model that is not here.
    With `allow_network` a hub model is fetched, and `report` is called with its progress, from another thread. Raises
    `WorkerFailure`."""
    if model.kind == "random":
        return None
    if model.kind != "hub":
        return Path(model.path)
    return hub_source(model, allow_network=allow_network, report=report)


def _type_of(order: TrialOrder) -> str:
    """llama.cpp's name of the file type an order wants; "" for the file as it is. Raises `WorkerFailure`."""
    chosen = precision_of(order.model, order.techniques)
    if chosen.id == STORED:
        if not names_gguf(order.model):
            raise WorkerFailure("order", "Only a GGUF file can be run as it is.", _CHOOSE)
        return ""
    name = type_name(chosen.id)
    if name is None:
        raise WorkerFailure(
            "technique",
            f"llama.cpp has no precision {chosen.id}.",
            _CHOOSE,
        )
    return name


def _ended(code: int) -> WorkerFailure:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return WorkerFailure(
        "engine",
        f"The process that makes GGUF files {how} without saying why.",
        "Memory may have run out (signal 9), or the processor may lack what llama.cpp was compiled for (signal 4). "
        "Nothing half-made was left.",
    )
