"""`python -m engines.llama.ladder.make --model JSON --to Q4_K_M,...`: makes GGUF files, in a process of its own.

Started and watched by `engines.llama.ladder`. It may be killed at any moment: files are written under temporary names
in their folder, synchronised and renamed; the next maker clears what is left. Says what it does in `lines`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from engines.host.locked import locked
from engines.llama.convert.check import check_tokens
from engines.llama.convert.weights import FloatType, open_folder, widest
from engines.llama.convert.write import convert_folder, write_random
from engines.llama.ladder.cache import FOLDER, LOCK, TEMPORARY, CachedFile, clear_leftovers
from engines.llama.ladder.files import cached_file, local_source
from engines.llama.ladder.lines import Failed, Made, Step, say
from engines.llama.ladder.quantise import contents, quantise
from engines.llama.library import library
from engines.models.files import model_files
from engines.models.gguf import FLOATS
from engines.models.identity import SCHEME, Digests
from engines.protocol.file_errors import is_full, what_happened, what_to_do
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places, places
from engines.protocol.streams import take_any_text
from engines.techniques.gguf import bits_of
from engines.worker.failures import WorkerFailure, explain
from engines.worker.process import die_with_parent

Report = Callable[[str, float], None]

_SPARE_BYTES = 64 << 20
_FALLBACK_ROOM = 1.4
"""Where rows do not fit the blocks of a type, llama.cpp takes a larger one: 4.85 bits became 6.17 in SmolLM2-135M."""
_FETCH_SHARE = 0.5
"""Of the whole, where a hub model is fetched first."""
_DEQUANTISED = re.compile(r"dequantised from (\S+)")


class Maker:
    """Makes the files of one model."""

    def __init__(self, here: Places, model: ModelOrder, local: Path | None, threads: int) -> None:
        self._here = here
        self._model = model
        self._local = local
        self._threads = threads or len(os.sched_getaffinity(0))

    def check_room(self, types: Sequence[str]) -> None:
        """Raise `WorkerFailure` before the first of several files where the disk cannot hold all that lack: the least
        that they need, since how much rows that do not fit will add is looked at file by file."""
        lacking = {name for name in types if cached_file(self._here, self._model, self._local, name).facts() is None}
        is_file = self._local is not None and self._local.is_file()
        if not is_file and lacking - FLOATS:
            own = self._own_type()
            if cached_file(self._here, self._model, self._local, own).facts() is None:
                lacking.add(own)
        if len(lacking) < 2:
            return
        parameters = self._parameters()
        needed = int(sum(parameters * bits_of(name) / 8 for name in lacking)) + _SPARE_BYTES
        folder = self._here.models / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < needed:
            what = f"{len(lacking)} GGUF files of {self._model.title} need at least {needed / 1e6:,.0f} MB together"
            raise _no_space(folder, what, free)

    def make(self, wanted: str, report: Report) -> tuple[Path, dict[str, str]]:
        """The file and its facts; made unless it is there. Raises `WorkerFailure`, OSError."""
        file = cached_file(self._here, self._model, self._local, wanted)
        facts = file.facts()
        if facts is None:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            waiting = "Another process is making this model's files; waiting for it"
            with locked(file.path.parent / LOCK, lambda: report(waiting, 0.0)):
                clear_leftovers(file.path.parent)
                facts = file.facts() or self._made(file, wanted, report)
        return file.path, facts

    def _made(self, file: CachedFile, wanted: str, report: Report) -> dict[str, str]:
        started = time.monotonic()
        draft = file.path.with_name(f"{TEMPORARY}{os.getpid()}-{wanted}.gguf")
        try:
            facts = self._write(draft, wanted, report)
            report("Checking the file", 0.97)
            found = contents(draft)
            facts |= {
                "gguf.file": file.path.name,
                "gguf.type": wanted,
                "gguf.source": self._model.title,
                "gguf.source_fingerprint": self._fingerprint(),
                "gguf.made_by": f"llama-cpp-python {library().version}",
                "gguf.bytes": str(draft.stat().st_size),
                "gguf.bits_per_weight": f"{found.bits_per_weight:.2f}",
                "gguf.tensor_types": found.text(),
                "gguf.sha256": f"{SCHEME}{Digests(self._here.digests).of(draft)}",
                "gguf.seconds": f"{time.monotonic() - started:.1f}",
            }
            if fallback := found.fallback(wanted):
                facts["gguf.fallback"] = fallback
            if self._local is not None:
                facts["source_path"] = str(self._local)
            file.put(draft, facts)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return facts

    def _write(self, draft: Path, wanted: str, report: Report) -> dict[str, str]:
        if self._local is not None and self._local.is_file():
            return self._requantised(self._local, draft, wanted, report)
        own = self._own_type()
        if wanted == own or wanted in FLOATS:
            return self._converted(draft, wanted, report)
        report("Preparing", 0.0)
        base = cached_file(self._here, self._model, self._local, own)
        base_facts = base.facts() or self._made(base, own, lambda text, share: report(text, 0.3 * share))
        self._check_space(draft.parent, wanted, contents(base.path).parameters)
        quantise(base.path, draft, wanted, threads=self._threads, requantise=False, report=_part(report, 0.3, 0.95))
        kept = ("gguf.tokenizer", "gguf.tokens", "gguf.converter", "gguf.cautions", "gguf.weights")
        facts = {name: base_facts[name] for name in kept if name in base_facts}
        return facts | {"gguf.made_from": f"{own}, the model's own type", **self._inherited()}

    def _converted(self, draft: Path, wanted: str, report: Report) -> dict[str, str]:
        part = _part(report, 0.0, 0.9)
        if self._local is None:
            self._check_space(draft.parent, wanted, self._parameters())
            return write_random(self._model.config, draft, self._model.title, part)
        self._check_space(draft.parent, wanted, self._parameters())
        kind: FloatType = "F32" if wanted == "F32" else "BF16" if wanted == "BF16" else "F16"
        facts = convert_folder(self._local, draft, kind, self._model.title, part)
        report("Comparing tokens with the model's own tokenizer", 0.92)
        return facts | {"gguf.tokens": check_tokens(draft, self._local), **self._inherited()}

    def _requantised(self, source: Path, draft: Path, wanted: str, report: Report) -> dict[str, str]:
        found = contents(source)
        self._check_space(draft.parent, wanted, found.parameters)
        part = _part(report, 0.0, 0.95)
        quantise(source, draft, wanted, threads=self._threads, requantise=found.is_quantised, report=part)
        facts = {"gguf.made_from": f"a GGUF file in {found.main_type}", **self._inherited()}
        if found.is_quantised:
            word = "dequantised" if wanted in FLOATS else "requantised"
            facts[f"gguf.{word}_from"] = found.main_type
        return facts

    def _fingerprint(self) -> str:
        """Of the model's files as they are now, whoever gave the order."""
        if self._local is None:
            return self._model.fingerprint
        return Digests(self._here.digests).of_model(model_files(self._local))

    def _inherited(self) -> dict[str, str]:
        """A model whose weights come from a quantised file carries that on, whatever they are stored in now."""
        origin = _DEQUANTISED.search(self._model.origin)
        return {"gguf.requantised_from": origin[1]} if origin else {}

    def _parameters(self) -> int:
        if self._local is None:
            return _random_parameters(self._model)
        if self._local.is_file():
            return contents(self._local).parameters
        return sum(t.raw.size for t in open_folder(self._local).values())

    def _own_type(self) -> str:
        return "F16" if self._local is None else widest(open_folder(self._local))

    def _check_space(self, folder: Path, wanted: str, parameters: int) -> None:
        room = 1.0 if wanted in FLOATS else _FALLBACK_ROOM
        needed = int(parameters * bits_of(wanted) / 8 * room) + _SPARE_BYTES
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise _no_space(folder, f"{self._model.title} as {wanted} needs up to {needed / 1e6:,.0f} MB", free)


def _part(report: Report, start: float, end: float) -> Report:
    return lambda text, share: report(text, start + (end - start) * share)


def _random_parameters(model: ModelOrder) -> int:
    from engines.llama.convert.write import parameters_of

    return parameters_of(model.config)


def _no_space(folder: Path, what: str, free: int) -> WorkerFailure:
    return WorkerFailure(
        "engine",
        f"{what} while made; the disk of {folder.parent} has {free / 1e6:,.0f} MB free.",
        "Nothing was left behind. Free some space (Settings, Models in the cache), or put the application's folders "
        "elsewhere with LLM_WORKBENCH_HOME.",
    )


def _explained(error: Exception, here: Places, model: ModelOrder) -> WorkerFailure:
    if isinstance(error, WorkerFailure):
        full = _free(here) < _SPARE_BYTES and error.kind == "engine"
        return _no_space(here.models / "gguf", f"The disk became full: {model.title}", _free(here)) if full else error
    if is_full(error):
        return _no_space(here.models / "gguf", f"The disk became full: {model.title} needs room", _free(here))
    if isinstance(error, OSError):
        return WorkerFailure(
            "engine",
            f"A GGUF file could not be made. {what_happened(error, here.models)}",
            f"Nothing was left behind. {what_to_do(error, here.models)}",
        )
    return explain(error, "making a GGUF file")


def _free(here: Places) -> int:
    try:
        return shutil.disk_usage(here.models).free
    except OSError:
        return 1 << 62


def main(arguments: list[str]) -> int:
    die_with_parent()
    for number in (signal.SIGTERM, signal.SIGINT):  # the quantiser gives Python no turn to handle them
        signal.signal(number, signal.SIG_DFL)
    take_any_text()
    parser = argparse.ArgumentParser(prog="python -m engines.llama.ladder.make")
    parser.add_argument("--model", required=True, help="a ModelOrder as JSON")
    parser.add_argument("--to", required=True, help="types, with commas between")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--network", action="store_true", help="a hub model may be fetched")
    options = parser.parse_args(arguments)
    model = msgspec.json.decode(options.model, type=ModelOrder)
    os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if not options.network:
        os.environ["HF_HUB_OFFLINE"] = "1"
    here, types = places(), [name for name in options.to.split(",") if name]
    try:
        library()
        fetching = model.kind == "hub" and options.network
        local = local_source(model, allow_network=options.network, report=_steps(0.0, _FETCH_SHARE))
        if local is None and model.kind == "hub":
            raise WorkerFailure(
                "model",
                f"{model.title} was fetched, and is no whole model."
                if fetching
                else f"{model.title} is on the hub, and the network may not be used.",
                "Check it on the hub, or choose another model."
                if fetching
                else "Allow the network for this experiment, or download the model and choose its folder.",
            )
        maker = Maker(here, model, local, options.threads)
        maker.check_room(types)
        for place, wanted in enumerate(types):
            start = _FETCH_SHARE if fetching else 0.0
            share = (1.0 - start) / len(types)
            path, facts = maker.make(wanted, _steps(start + place * share, share))
            say(Made(wanted, str(path), facts))
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001  whatever a library raises, the watcher gets it in words
        failure = _explained(error, here, model)
        say(Failed(failure.kind, failure.message, failure.advice))
        return 1
    return 0


def _steps(start: float, length: float) -> Report:
    """Says each step as a share of the whole, which this part of the work begins at `start` and takes `length` of."""
    last = [-1.0]

    def report(text: str, share: float) -> None:
        fraction = round(start + length * share, 3)
        if fraction != last[0]:
            last[0] = fraction
            say(Step(text, fraction))

    return report


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # llama.cpp's own threads and destructors have nothing left to do
