"""Installs llama-cpp-python into this interpreter's environment: compiled once for each kind of processor, then cached.

`python packaging/install_gguf.py CONSTRAINTS`. The package comes as source only and takes 8 to 15 minutes to compile on
two cores. It is compiled for this processor's instructions, so the cache's folder names them: a home that moves to
another machine gets a build of its own. Standard library only.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

PACKAGE = "llama-cpp-python"
HEADER = Path(__file__).resolve().parent / "amx_tiles.h"
DEBIAN = "sudo apt-get install g++"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def main() -> int:
    constraints = Path(sys.argv[1])
    version = pinned(constraints)
    if installed() == version:
        return 0
    folder = cache() / f"{PACKAGE}-{version}-{machine_code()}"
    found = sorted(folder.glob("llama_cpp_python-*.whl"))
    if not found:
        if not (shutil.which("g++") or shutil.which("clang++")):
            print(f"{PACKAGE} has to be compiled, and there is no C++ compiler.\n  {DEBIAN}", file=sys.stderr)
            return 1
        found = [build(version, folder)]
    # its dependencies come with the application, but for these two
    names = [str(found[-1]), "diskcache", "gguf"]
    return subprocess.run([*PIP, "install", "-q", "-c", str(constraints), *names], check=False).returncode


def build(version: str, folder: Path) -> Path:
    """Compile the wheel into the cache. Raises SystemExit with pip's code."""
    print(f"Compiling {PACKAGE} {version} (llama.cpp) for this processor: 8 to 15 minutes on two cores, once")
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    # no cache of pip's: it does not know which processor a wheel was compiled for
    command = [*PIP, "wheel", "-q", "--no-deps", "--no-cache-dir", "-w", str(work), f"{PACKAGE}=={version}"]
    flags = f"{os.environ.get('CMAKE_ARGS', '')} -DCMAKE_CXX_FLAGS='-include {HEADER}'"
    start = time.monotonic()
    try:
        code = subprocess.run(command, check=False, env={**os.environ, "CMAKE_ARGS": flags.strip()}).returncode
        if code:
            print(f"{PACKAGE} could not be compiled; the lines above say why. Nothing was changed.", file=sys.stderr)
            raise SystemExit(code)
        folder.mkdir(parents=True, exist_ok=True)
        made = next(work.glob("*.whl"))
        made.replace(folder / made.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"Compiled in {time.monotonic() - start:.0f} s; kept in {folder}")
    return folder / made.name


def pinned(constraints: Path) -> str:
    line = next(line for line in constraints.read_text().splitlines() if line.startswith(f"{PACKAGE}=="))
    return line.partition("==")[2].strip()


def installed() -> str:
    """Version in this environment, "" where it is missing."""
    from importlib import metadata

    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""


def machine_code() -> str:
    """Short name of the instructions it is compiled for, and of what is changed in the compilation."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith(("flags", "Features"))).partition(":")[2].split()
    except (OSError, StopIteration):
        flags = [platform.processor()]
    digest = hashlib.sha256(" ".join(sorted(flags)).encode() + HEADER.read_bytes()).hexdigest()[:12]
    return f"{platform.machine()}-{digest}"


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-workbench" / "wheels"


if __name__ == "__main__":
    sys.exit(main())
