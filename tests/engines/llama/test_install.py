"""The one command that installs llama.cpp: what it asks pip for, what it keeps, how it ends. pip is a script here."""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from engines.llama import install
from tests.engines.runner_harness import until

ROOT = Path(install.__file__).parents[2]
PIP = """#!/bin/sh
echo "$@ [CMAKE_ARGS=$CMAKE_ARGS]" >> {log}
case "$*" in
*" wheel "*)
    echo "[12/240] Building CXX object"
    if [ -e {slow} ]; then touch {begun}; sleep 600; fi
    if [ -e {broken} ]; then echo "error: no such instruction" >&2; exit 7; fi
    for word in "$@"; do [ "$before" = -w ] && folder="$word"; before="$word"; done
    mkdir -p "$folder"; echo wheel > "$folder/llama_cpp_python-0-py3-none-any.whl" ;;
esac
"""


class Pip:
    """In place of the Python that runs pip; a compiler that is there by name."""

    def __init__(self, folder: Path) -> None:
        self.log, self.slow, self.begun, self.broken = (folder / name for name in ("log", "slow", "begun", "broken"))
        self.python, self.tools, self.cache = folder / "python", folder / "tools", folder / "cache"
        text = PIP.format(log=self.log, slow=self.slow, begun=self.begun, broken=self.broken)
        self.python.write_text(text)
        self.tools.mkdir()
        (self.tools / "g++").write_text("#!/bin/sh\n")
        for file in (self.python, self.tools / "g++"):
            file.chmod(0o755)

    def start(self, *arguments: str, tools: bool = True) -> subprocess.Popen[str]:
        """The command in a process of its own, as the window runs it; llama-cpp-python looks missing."""
        script = (
            "import sys; from engines.llama import install;"
            f"sys.executable = {str(self.python)!r}; install.installed = lambda: '';"
            f"sys.exit(install.main({list(arguments)!r}))"
        )
        path = f"{self.tools}:/usr/bin:/bin" if tools else str(self.cache)
        kept = {name: value for name, value in os.environ.items() if name != "CMAKE_ARGS"}
        return subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**kept, "XDG_CACHE_HOME": str(self.cache), "PATH": path},
            start_new_session=True,
        )

    def run(self, *arguments: str, tools: bool = True) -> tuple[int, str]:
        with self.start(*arguments, tools=tools) as process:
            said, _ = process.communicate(timeout=60)
        return process.returncode, said

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def folders(self) -> list[Path]:
        return list((self.cache / "llm-workbench" / "wheels").glob("*"))


@pytest.fixture
def pip(tmp_path: Path) -> Pip:
    return Pip(tmp_path)


def test_that_it_is_compiled_once_with_our_header_and_then_taken_from_what_is_kept(pip: Pip) -> None:
    code, said = pip.run("gguf>=0.10", "-c", "pins.txt")
    assert code == 0
    assert "[12/240] Building" in said, "the compiler's lines, by which the window tells progress"
    compiled, installed = pip.asked
    assert f"wheel --verbose --no-deps --no-cache-dir -w {pip.cache}" in compiled
    assert f"llama-cpp-python=={install.TESTED}" in compiled
    assert f"[CMAKE_ARGS=-DCMAKE_CXX_FLAGS='-include {install.HEADER}']" in compiled
    (folder,) = pip.folders
    (wheel,) = folder.glob("*.whl")
    assert f"install -c pins.txt {wheel} diskcache gguf gguf>=0.10" in installed
    code, said = pip.run("--quiet", tools=False)
    assert code == 0, "what is kept needs no compiler"
    assert "that is kept in" in said
    assert len(pip.asked) == 3
    assert f"install -q {wheel}" in pip.asked[2]


def test_that_the_folder_of_builds_that_are_kept_already_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By instructions and header, as they were named when packaging/install_gguf.py made them."""
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next(line for line in lines if line.startswith(("flags", "Features"))).partition(":")[2].split()
    digest = hashlib.sha256(" ".join(sorted(flags)).encode() + install.HEADER.read_bytes()).hexdigest()[:12]
    assert install.machine_code() == f"{platform.machine()}-{digest}"
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    assert install.machine_code() != f"{platform.machine()}-{digest}", "a build for a GPU is another one"


def test_that_the_machine_tells_of_the_build_that_would_be_taken(pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the window goes by where there is no compiler; the command takes the same file."""
    from engines.host.probe import packages

    monkeypatch.setenv("XDG_CACHE_HOME", str(pip.cache))
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    monkeypatch.setattr("engines.host.probe.metadata.version", _nothing_installed)

    def told() -> str:
        return next(package.kept for package in packages() if package.name == install.PACKAGE)

    assert told() == ""
    assert pip.run()[0] == 0
    (wheel,) = pip.cache.rglob("*.whl")
    assert told() == str(wheel)
    assert {package.name for package in packages() if package.kept} == {install.PACKAGE}
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    assert told() == "", "a build for a GPU is another one"


def _nothing_installed(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


def test_that_the_users_own_settings_of_the_build_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    assert install.build_variables()["CMAKE_ARGS"].startswith("-DGGML_CUDA=on -DCMAKE_CXX_FLAGS='-include ")


def test_that_a_folder_with_a_space_is_quoted_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    monkeypatch.setattr(install, "HEADER", Path("/home/a b/amx_tiles.h"))
    assert install.build_variables()["CMAKE_ARGS"] == "-DCMAKE_CXX_FLAGS='-include \"/home/a b/amx_tiles.h\"'"


def test_that_the_version_is_the_one_the_tests_ran_with() -> None:
    pinned = (ROOT / "packaging" / "constraints.txt").read_text().splitlines()
    assert f"{install.PACKAGE}=={install.TESTED}" in pinned


def test_that_what_is_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(install, "installed", lambda: install.TESTED)
    monkeypatch.setattr(install.subprocess, "run", lambda *_: pytest.fail("nothing is to be run"))
    assert install.main([]) == 0
    signal.signal(signal.SIGTERM, before)


def test_that_without_a_compiler_the_system_s_command_is_named(pip: Pip) -> None:
    code, said = pip.run(tools=False)
    assert code == 1
    assert "sudo apt-get install g++" in said
    assert "Nothing was changed" in said
    assert not pip.asked


def test_that_a_build_that_fails_keeps_nothing_and_has_pips_code(pip: Pip) -> None:
    pip.broken.touch()
    code, said = pip.run()
    assert code == 7
    assert "Nothing was changed" in said
    assert not pip.folders
    assert len(pip.asked) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_that_a_build_that_is_stopped_leaves_nothing_that_stays(number: signal.Signals, pip: Pip) -> None:
    pip.slow.touch()
    with pip.start() as process:
        until(pip.begun.exists, 60, "the build begins")
        (pip.cache / "llm-workbench" / "wheels").mkdir(parents=True, exist_ok=True)
        left = (
            pip.cache
            / "llm-workbench"
            / "wheels"
            / (f"{install.PACKAGE}-{install.TESTED}-{install.machine_code()}.{process.pid}")
        )
        left.mkdir(exist_ok=True)
        os.killpg(process.pid, number)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert left.exists() == (number == signal.SIGKILL)
    pip.slow.unlink()
    assert pip.run()[0] == 0
    assert not left.exists(), "the next build clears what a killed one left"
