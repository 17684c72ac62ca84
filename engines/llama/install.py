"""`python -m engines.llama.install [REQUIREMENT ...]`: llama-cpp-python into this Python's environment, compiled once
for each kind of processor and then kept.

The one way in: the window, `llm-workbench doctor --install` and `make gguf` all run it. The package comes as source
only and takes 8 to 15 minutes to compile on two cores. It is compiled for this processor's instructions, with
llama.cpp's tiles for AMX put right (amx_tiles.h), so the folder that keeps the wheel names both: a home that moves to
another machine gets a build of its own. Further requirements are installed with it. Standard library only.

Exit codes: 0 it is there, 1 no compiler, 143 stopped, else pip's. What was installed stays until pip's last step.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import FrameType

from engines.protocol.streams import take_any_text

PACKAGE = "llama-cpp-python"
TESTED = "0.3.36"
"""The version that this application was tested with, as packaging/constraints.txt has it."""
HEADER = Path(__file__).resolve().with_name("amx_tiles.h")
COMPILERS = ("c++", "g++", "clang++")
_BESIDE = ("diskcache", "gguf")
"""What the engine needs beside it that does not come with the application."""
_DEBIAN = "  sudo apt-get install g++"
_NO_COMPILER, _STOPPED = 1, 143


def main(arguments: Sequence[str] | None = None) -> int:
    take_any_text()
    parser = argparse.ArgumentParser(prog="python -m engines.llama.install", description=f"Install {PACKAGE}.")
    parser.add_argument("requirements", nargs="*", help="what else to install, as for pip")
    parser.add_argument("-c", "--constraints", type=Path, help="a constraints file for pip")
    parser.add_argument("-q", "--quiet", action="store_true", help="without the compiler's lines")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    if installed() == TESTED and not options.requirements:
        return 0
    folder = build_folder()
    wheel = kept(folder)
    if wheel is None:
        if not any(shutil.which(name) for name in COMPILERS):
            sys.stderr.write(
                f"{PACKAGE} has to be compiled, and there is no C++ compiler. Nothing was changed. Install one first:\n"
                f"{_DEBIAN}\n"
            )
            return _NO_COMPILER
        wheel = build(folder, quiet=options.quiet)
    else:
        _say(f"Taking the build of {PACKAGE} {TESTED} that is kept in {folder}")
    return subprocess.run(install_command(wheel, options), check=False).returncode


def install_command(wheel: Path, options: argparse.Namespace) -> list[str]:
    """pip's command for the wheel and what goes with it. The application's own packages are there already."""
    constraints = ["-c", str(options.constraints)] if options.constraints else []
    quiet = ["-q"] if options.quiet else []
    return [*_pip(), "install", *quiet, *constraints, str(wheel), *_BESIDE, *options.requirements]


def build_command(work: Path, *, quiet: bool) -> list[str]:
    """pip's command that compiles the wheel into `work`. Not through pip's cache: that does not know which processor a
    wheel was compiled for. Without --verbose pip hides what the compiler says: ten silent minutes."""
    shown = "-q" if quiet else "--verbose"
    return [*_pip(), "wheel", shown, "--no-deps", "--no-cache-dir", "-w", str(work), f"{PACKAGE}=={TESTED}"]


def build_variables() -> dict[str, str]:
    """The environment of the build: CMAKE_ARGS as the user has it, with our header before every file."""
    quoted = f'"{HEADER}"' if " " in str(HEADER) else str(HEADER)
    flags = f"{os.environ.get('CMAKE_ARGS', '')} -DCMAKE_CXX_FLAGS='-include {quoted}'"
    return {**os.environ, "CMAKE_ARGS": flags.strip()}


def build(folder: Path, *, quiet: bool) -> Path:
    """Compile the wheel into the folder that keeps it. Raises `SystemExit` with pip's code."""
    _say(f"Compiling {PACKAGE} {TESTED} (llama.cpp) for this processor: 8 to 15 minutes on two cores, once")
    _clear_leftovers(folder)
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    start = time.monotonic()
    try:
        code = subprocess.run(build_command(work, quiet=quiet), check=False, env=build_variables()).returncode
        if code:
            sys.stderr.write(f"{PACKAGE} could not be compiled; the lines above say why. Nothing was changed.\n")
            raise SystemExit(code)
        folder.mkdir(parents=True, exist_ok=True)
        made = next(work.glob("*.whl"))
        made.replace(folder / made.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _say(f"Compiled in {time.monotonic() - start:.0f} s; kept in {folder}")
    return folder / made.name


def kept(folder: Path) -> Path | None:
    """The wheel of an earlier build."""
    return max(folder.glob("llama_cpp_python-*.whl"), default=None)


def kept_here() -> Path | None:
    """The wheel that `main` would take now, without a compiler."""
    try:
        return kept(build_folder())
    except OSError:
        return None


def build_folder() -> Path:
    """Where the build for this processor and this user's settings is kept, or will be."""
    return cache() / f"{PACKAGE}-{TESTED}-{machine_code()}"


def installed() -> str:
    """Version in this environment, "" where it is missing."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""


def machine_code() -> str:
    """Short name of the instructions it is compiled for, and of what is changed in the compilation."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        flags = next(line for line in lines if line.startswith(("flags", "Features"))).partition(":")[2].split()
    except (OSError, StopIteration):
        flags = [platform.processor()]
    digest = hashlib.sha256(" ".join(sorted(flags)).encode() + HEADER.read_bytes())
    # a build for a GPU, say, is another one; where nothing is asked for the name stays what it was
    digest.update(os.environ.get("CMAKE_ARGS", "").strip().encode())
    return f"{platform.machine()}-{digest.hexdigest()[:12]}"


def cache() -> Path:
    """Where builds are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-workbench" / "wheels"


def _pip() -> tuple[str, ...]:
    return (sys.executable, "-m", "pip", "--disable-pip-version-check")


def _clear_leftovers(folder: Path) -> None:
    """Remove what killed builds left: their folders end in the number of a process that is gone."""
    for left in folder.parent.glob(f"{folder.name}.*"):
        with contextlib.suppress(ValueError, PermissionError):
            try:
                os.kill(int(left.name.rpartition(".")[2]), 0)
            except ProcessLookupError:
                shutil.rmtree(left, ignore_errors=True)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(_STOPPED)  # the build's folder is cleared on the way


if __name__ == "__main__":
    sys.exit(main())
