"""Installing what is missing: the command from the probe, what it needs, one run and its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from engines.protocol.messages import Package, ProbeResult
from engines.protocol.tasks import LOCAL_TASKS, QUESTIONS
from workbench.machines.installing import (
    Installation,
    InstallRun,
    NothingToInstall,
    expand,
    installation,
    progress_of,
    shown_command,
)

PYTHON = "/home/me/venv/bin/python"


def machine(*missing: str, python: str = PYTHON) -> ProbeResult:
    wanted = {
        "torch": "torch>=2.6",
        "torchao": "torchao>=0.16",
        "gguf": "gguf>=0.10",
        "llama-cpp-python": "llama-cpp-python>=0.3.16",
    }
    commands = {n: f'{python} -m pip install "{r}"' for n, r in wanted.items()}
    commands["llama-cpp-python"] = f"{python} -m engines.llama.install"  # as `engines.host.probe` says
    packages = tuple(
        Package(name=n, install=commands[n]) if n in missing else Package(name=n, version="1.0") for n in wanted
    )
    return ProbeResult(machine="here", devices=(), sensors=(), packages=packages, facts={})


def everything(name: str) -> str | None:
    return f"/usr/bin/{name}"


def only(*names: str) -> Callable[[str], str | None]:
    return lambda name: f"/usr/bin/{name}" if name in names else None


def test_that_the_command_is_of_the_python_that_runs_the_engines() -> None:
    made = installation(["torchao"], machine("torchao"), everything)
    assert made.arguments == (PYTHON, "-m", "pip", "install", "torchao>=0.16")
    assert made.command == f'{PYTHON} -m pip install "torchao>=0.16"'
    assert made.can_start
    assert not made.cautions


def test_that_an_engine_means_its_packages_and_only_those_that_are_missing() -> None:
    both = installation(expand(["gguf"]), machine("gguf", "llama-cpp-python"), everything)
    assert both.packages == ("llama-cpp-python", "gguf")
    one = installation(expand(["llama.cpp"]), machine("llama-cpp-python"), everything)
    assert one.packages == ("llama-cpp-python",)
    assert one.arguments == (PYTHON, "-m", "engines.llama.install")
    assert both.arguments == (PYTHON, "-m", "engines.llama.install", "gguf>=0.10")
    assert both.command == f'{PYTHON} -m engines.llama.install "gguf>=0.10"'


def test_that_the_package_gguf_alone_is_not_the_engine() -> None:
    assert installation(["gguf"], machine("gguf", "llama-cpp-python"), everything).packages == ("gguf",)
    assert expand(["torchao", "llama.cpp", "gguf"]) == ("torchao", "llama-cpp-python", "gguf")


def test_that_what_is_compiled_says_how_long_it_takes() -> None:
    made = installation(["llama-cpp-python"], machine("llama-cpp-python"), everything)
    assert "--quiet" not in made.arguments, "the compiler's lines tell how far it is"
    assert "minutes" in made.cautions[0]


def test_that_the_module_it_names_is_there_and_answers() -> None:
    made = installation(["llama-cpp-python"], machine("llama-cpp-python", python=sys.executable), everything)
    environment = {**os.environ, **dict(made.environment)}
    done = subprocess.run([*made.arguments, "--help"], capture_output=True, text=True, env=environment, check=True)
    assert "Install llama-cpp-python" in done.stdout


def test_that_torch_warns_of_its_size() -> None:
    assert "several GB" in installation(["torch"], machine("torch"), everything).cautions[0]


@pytest.mark.parametrize(
    ("tools", "hint"),
    [
        (only("apt-get"), "sudo apt-get install g++ cmake"),
        (only("apt-get", "cmake"), "sudo apt-get install g++"),
        (only("dnf"), "sudo dnf install gcc-c++ cmake"),
        (only(), "sudo apt-get install g++ cmake"),
    ],
)
def test_that_without_a_compiler_nothing_starts_and_the_system_s_command_is_named(
    tools: Callable[[str], str | None], hint: str
) -> None:
    made = installation(["llama-cpp-python"], machine("llama-cpp-python"), tools)
    assert not made.can_start
    assert made.problems[0].hint == hint


def test_that_a_missing_cmake_alone_is_a_caution() -> None:
    made = installation(["llama-cpp-python"], machine("llama-cpp-python"), only("g++", "apt-get"))
    assert made.can_start
    assert made.problems[0].hint == "sudo apt-get install cmake"


def test_that_a_package_that_is_not_compiled_needs_no_compiler() -> None:
    assert not installation(["torchao"], machine("torchao"), only()).problems


def test_that_unknown_and_installed_packages_are_refused_with_words() -> None:
    with pytest.raises(NothingToInstall, match=r"no package of an engine.*torchao"):
        installation(["left-pad"], machine(), everything)
    with pytest.raises(NothingToInstall, match=r"installed already: torchao 1\.0"):
        installation(["torchao"], machine(), everything)


def test_that_a_python_with_a_space_in_its_path_stays_one_argument() -> None:
    made = installation(["torchao"], machine("torchao", python="'/opt/my env/bin/python'"), everything)
    assert made.arguments[0] == "/opt/my env/bin/python"
    assert made.command.startswith("'/opt/my env/bin/python' -m pip")


def test_that_a_build_that_is_kept_needs_no_compiler_and_says_so() -> None:
    probe = machine("gguf", "llama-cpp-python")
    file = "/home/me/.cache/llm-workbench/wheels/llama-cpp-python-0.3.36-x/llama_cpp_python-0.3.36-py3-none-any.whl"
    kept = tuple(msgspec.structs.replace(p, kept=file) if p.name == "llama-cpp-python" else p for p in probe.packages)
    made = installation(expand(["gguf"]), msgspec.structs.replace(probe, packages=kept), only())
    assert made.can_start
    assert not made.problems
    assert made.arguments == installation(expand(["gguf"]), probe, only()).arguments, "the same command takes it"
    (said,) = made.cautions
    assert "nothing is compiled" in said
    assert str(Path(file).parent) in said
    assert not made.compiles


def test_that_only_what_is_compiled_keeps_every_core_busy() -> None:
    assert installation(["llama-cpp-python"], machine("llama-cpp-python"), everything).compiles
    assert not installation(["torchao"], machine("torchao"), everything).compiles


@pytest.mark.parametrize(
    ("line", "share"),
    [
        ("  [ 12/240] /usr/bin/c++ -O3 x.cpp", 0.05),
        ("[240/240] Linking", 1.0),
        ("Collecting numpy", None),
        ("[1/0]", None),
        ("[9/3]", None),
    ],
)
def test_that_progress_is_read_from_the_compiler_s_lines(line: str, share: float | None) -> None:
    assert progress_of(line) == share


class _Ear:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.codes: list[int] = []

    def start(self, script: str) -> InstallRun:
        arguments = (sys.executable, "-u", "-c", script)
        assert shown_command(arguments).startswith(sys.executable)
        return InstallRun(Installation(("x",), arguments), self.lines.append, self.codes.append)


def test_that_output_of_both_kinds_arrives_in_order_and_the_code_at_the_end() -> None:
    ear = _Ear()
    run = ear.start("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")
    assert run.wait(120) == 3
    assert ear.lines == ["one", "two"]
    assert list(run.last_lines) == ear.lines
    assert ear.codes == [3]
    assert not run.stopped


def test_that_stopping_ends_the_whole_group(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(child)!r}, 'w').write(str(p.pid)); print('ready', flush=True); time.sleep(600)"
    )
    ear = _Ear()
    run = ear.start(script)
    while "ready" not in ear.lines:
        assert run.wait(0.05) is None
    run.stop()
    code = run.wait(120)
    assert code is not None
    assert code != 0
    assert run.stopped
    assert _gone(int(child.read_text()))


def test_that_no_timer_is_left_where_it_ended_while_it_was_being_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    run = _Ear().start("print('done')")
    assert run.wait(120) == 0
    monkeypatch.setattr(run._process, "poll", lambda: None)  # asked a moment before
    run.stop()
    assert run._killer.finished.is_set()


def _gone(process: int) -> bool:
    """Whether it ends (it is an orphan: whoever reaps it may take a moment)."""
    for _ in range(1200):
        try:
            os.kill(process, 0)
            if (Path("/proc") / str(process) / "stat").read_text().split()[2] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_that_a_python_that_is_not_there_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError):
        InstallRun(Installation(("x",), ("/nowhere/python", "-m", "pip")), print, print)


def test_that_the_questions_of_tasks_are_fetched_by_our_own_command() -> None:
    bare = machine()
    made = installation([QUESTIONS], bare, only())
    assert made.arguments == (sys.executable, "-m", "engines.data.task_data")
    assert (made.verb, made.title, made.named) == ("Fetch", "sample questions", "Sample questions")
    assert made.can_start
    assert "3 MB" in made.cautions[0]
    ready = msgspec.structs.replace(bare, task_data=tuple(task.id for task in LOCAL_TASKS))
    with pytest.raises(NothingToInstall, match="already on this computer"):
        installation([QUESTIONS], ready, only())
    assert progress_of(" 45%  Fetching the questions: 1 MB") == 0.45
    assert progress_of("100%  /home/me/tasks") == 1.0
    assert progress_of("45% of it") is None
