"""Setting up with this computer as the other one: what is done in which order, what fails how, what is left."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from workbench.machines.setup.failures import before
from workbench.machines.setup.link import Looked, Python
from workbench.machines.setup.lock import Lock, lock
from workbench.machines.setup.plan import Choice, SetUpPlan, fitting, steps
from workbench.machines.setup.run import Output, SetUpFailed, SetUpRun, StepStarted, Told, look
from workbench.machines.setup.shell import LocalShell
from workbench.machines.setup.wheel import EnginesWheel, engines_wheel

NOW = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def there(tmp_path: Path) -> LocalShell:
    home = tmp_path / "far"
    home.mkdir()
    return LocalShell(home)


def a_lock(*lines: str) -> Lock:
    """Of nothing but these requirements: no package index is needed where there are none."""
    return Lock("\n".join(lines), f"lock{len(lines)}", ())


def without_packages(plan: SetUpPlan, *instead: str) -> SetUpPlan:
    """No pip is put into the environment, and it is not asked for packages, which can then not be imported. `instead`:
    the command in its place."""
    made = []
    for step in plan.steps:
        if step.id == "environment" and "--without-pip" not in step.argv:
            step = replace(step, argv=(*step.argv[:-1], "--without-pip", step.argv[-1]))
        if step.id == "packages" and instead:
            step = replace(step, argv=instead)
        if step.id != "check" and (step.id != "packages" or instead):
            made.append(step)
    return replace(plan, steps=tuple(made))


def everything(folder: Path) -> set[str]:
    base = folder / ".local/share/llm-workbench/engines"
    return {str(path.relative_to(base)) for path in (*base.glob("*"), *base.glob("*/versions/*"))}


def test_that_looking_changes_nothing_and_shows_every_command(there: LocalShell, tmp_path: Path) -> None:
    plan = look(there, Choice(python=sys.executable))
    assert plan.can_start
    assert plan.lock.text == lock((), NOW, os.uname().machine).text
    assert list((tmp_path / "far").iterdir()) == []
    commands = [step.command for step in plan.steps]
    assert any("-m pip install" in command for command in commands)
    assert all(str(tmp_path) in command for command in commands)
    assert Path(plan.python).is_absolute()


def test_that_two_versions_share_one_environment(there: LocalShell, tmp_path: Path) -> None:
    here = tmp_path / "far"
    first = engines_wheel()
    other = EnginesWheel("llm_workbench-0.2-py3-none-any.whl", "0.2", "0123456789ab", first.data)
    one = without_packages(look(there, Choice(python=sys.executable), fixed=a_lock()))
    made = SetUpRun(there, one, lambda _: None).run()
    two = without_packages(look(there, Choice(python=sys.executable), wheel=other, fixed=a_lock()))
    assert not [step for step in two.steps if step.id == "packages"]
    SetUpRun(there, two, lambda _: None).run()
    assert everything(here) == {"lock0", f"lock0/versions/{first.content}", "lock0/versions/0123456789ab"}
    assert Path(made).is_file()
    again = look(there, Choice(python=sys.executable), wheel=other, fixed=a_lock())
    assert [step.id for step in again.steps] == ["check"]


def test_that_the_engines_see_the_shared_packages(there: LocalShell, tmp_path: Path) -> None:
    plan = without_packages(look(there, Choice(python=sys.executable), fixed=a_lock()))
    python = SetUpRun(there, plan, lambda _: None).run()
    shared = Path(plan.environment) / f"lib/python{NOW}/site-packages"
    (shared / "only_there.py").write_text("x = 5\n")
    script = (
        "import only_there, engines, json, sys; from importlib import metadata; "
        "print(json.dumps([only_there.x, engines.__file__, metadata.version('llm-workbench')]))"
    )
    done = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, check=True)
    number, where, version = json.loads(done.stdout)
    assert number == 5
    assert Path(where).is_relative_to(Path(plan.environment) / "versions")
    assert version == engines_wheel().version


def test_that_a_failing_step_says_why_and_leaves_nothing(there: LocalShell, tmp_path: Path) -> None:
    plan = look(there, Choice(python=sys.executable), fixed=a_lock())
    code = "print('ERROR: No matching distribution found for torch==99.0'); raise SystemExit(1)"
    told: list[Told] = []
    with pytest.raises(SetUpFailed, match=r"has no torch==99\.0") as failed:
        SetUpRun(there, without_packages(plan, sys.executable, "-c", code), told.append).run()
    assert failed.value.said == ("ERROR: No matching distribution found for torch==99.0",)
    assert Output("ERROR: No matching distribution found for torch==99.0") in told
    assert everything(tmp_path / "far") == set()


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("OSError: [Errno 28] No space left on device", "is full"),
        ("NewConnectionError: [Errno -3] Temporary failure in name resolution", "cannot reach the package index"),
        ("SSLError: CERTIFICATE_VERIFY_FAILED", "does not trust"),
        ("anything", "ended with code 1"),
    ],
)
def test_that_the_reason_is_put_in_words(there: LocalShell, printed: str, said: str) -> None:
    plan = look(there, Choice(python=sys.executable), fixed=a_lock())
    code = f"print({printed!r}); raise SystemExit(1)"
    with pytest.raises(SetUpFailed, match=said):
        SetUpRun(there, without_packages(plan, sys.executable, "-c", code), lambda _: None).run()


def test_that_of_two_set_ups_at_once_the_second_uses_what_the_first_made(there: LocalShell, tmp_path: Path) -> None:
    plans = [without_packages(look(there, Choice(python=sys.executable), fixed=a_lock())) for _ in range(2)]
    python = SetUpRun(there, plans[0], lambda _: None).run()
    told: list[Told] = []
    assert SetUpRun(there, plans[1], told.append).run() == python
    assert Output("It is there already, by another setup; that one is used.") in told
    again = look(there, Choice(python=sys.executable), fixed=a_lock())
    assert (again.python, [step.id for step in again.steps]) == (python, ["check"])
    assert not [name for name in everything(tmp_path / "far") if ".making" in name]


def slow(plan: SetUpPlan, pid_file: Path) -> SetUpPlan:
    """pip's place is taken by a command with a child that outlives it unless it is ended."""
    code = (
        "import subprocess, sys, pathlib; p = subprocess.Popen(['sleep', '600']); "
        f"pathlib.Path({str(pid_file)!r}).write_text(str(p.pid)); print('begun', flush=True); p.wait()"
    )
    return without_packages(plan, sys.executable, "-c", code)


def gone(pid: int) -> bool:
    try:
        return "zombie" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_that_an_interrupted_set_up_leaves_nothing(
    there: LocalShell, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    started: list[subprocess.Popen[bytes]] = []
    start: Callable[..., subprocess.Popen[bytes]] = there.start

    def starting(argv: list[str]) -> subprocess.Popen[bytes]:
        started.append(start(argv))
        return started[-1]

    def tell(told: Told) -> None:
        if told == Output("begun"):
            begun.set()

    monkeypatch.setattr(there, "start", starting)
    plan = slow(look(there, Choice(python=sys.executable), fixed=a_lock()), tmp_path / "pid")
    run = SetUpRun(there, plan, tell)
    failures: list[SetUpFailed] = []

    def work() -> None:
        try:
            run.run()
        except SetUpFailed as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    if how == "stop":
        run.stop()
    else:  # this process dies: the pipe to the helper ends, and nobody asks for anything any more
        started[-1].stdin.close()
    thread.join(60)
    assert not thread.is_alive()
    assert "as before" in str(failures[0])
    started[-1].wait(60)
    assert gone(int((tmp_path / "pid").read_text()))
    assert everything(tmp_path / "far") == set()


def test_that_what_a_dead_hand_left_is_removed_by_the_next(there: LocalShell, tmp_path: Path) -> None:
    base = tmp_path / "far/.local/share/llm-workbench/engines"
    left, running = base / ".making-left", base / ".making-running"
    dead = subprocess.Popen(["true"])
    dead.wait()
    for folder, number in ((left, dead.pid), (running, os.getpid())):
        folder.mkdir(parents=True)
        (folder / ".made-by").write_text(f"{os.uname().nodename} {number}")
    plan = without_packages(look(there, Choice(python=sys.executable), fixed=a_lock()))
    SetUpRun(there, plan, lambda _: None).run()
    assert not left.exists()
    assert running.exists(), "somebody is still at it"


def pretender(folder: Path, version: tuple[int, int, int]) -> Path:
    """A Python that says it is another version, as an old computer has."""
    made = folder / "old-python"
    made.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"sys.version_info = {version!r}\n"
        f"sys.executable = {str(made)!r}\n"
        "code = sys.argv[sys.argv.index('-c') + 1]\n"
        "sys.argv = sys.argv[sys.argv.index('-c') + 1 :]\n"
        "exec(code)\n"
    )
    made.chmod(0o755)
    return made


@pytest.mark.parametrize(("version", "fits"), [((3, 6, 8), False), ((3, 10, 14), False), ((3, 11, 0), True)])
def test_that_an_old_python_is_refused_before_anything_is_done(
    there: LocalShell, tmp_path: Path, version: tuple[int, int, int], fits: bool
) -> None:
    plan = look(there, Choice(python=str(pretender(tmp_path, version))))
    assert plan.can_start == fits
    if not fits:
        (problem,) = plan.problems
        assert ".".join(map(str, version)) in problem.message
        assert "3.11 or newer" in problem.message
        assert plan.steps == ()


def test_that_no_python_at_all_is_said(there: LocalShell, monkeypatch: pytest.MonkeyPatch) -> None:
    start = there.start
    monkeypatch.setattr(there, "start", lambda argv: start(["sh", "-c", "echo bash: not found >&2; exit 127"]))
    with pytest.raises(SetUpFailed, match="There is no python3 there"):
        look(there, Choice())


def test_that_what_is_no_python_is_said_with_its_words(there: LocalShell, monkeypatch: pytest.MonkeyPatch) -> None:
    start = there.start
    monkeypatch.setattr(there, "start", lambda argv: start(["sh", "-c", "echo 'This account is locked.'; exit 1"]))
    with pytest.raises(SetUpFailed, match=r"This account is locked\."):
        look(there, Choice())


def test_that_a_login_banner_does_no_harm(there: LocalShell, monkeypatch: pytest.MonkeyPatch) -> None:
    start = there.start
    noisy = 'echo "Welcome to lab"; echo "{}"; exec "$@"'
    monkeypatch.setattr(there, "start", lambda argv: start(["sh", "-c", noisy, "sh", *argv]))
    assert look(there, Choice(python=sys.executable)).can_start


@pytest.mark.parametrize(
    "answer",
    [
        "not json",
        '{"base": "relative"}',
        json.dumps({"base": "/x\u001b[2J", "system": "Linux", "machine": "x", "free_bytes": 1, "writable": True}),
        json.dumps({"base": "/x", "system": "$(reboot)", "machine": "x", "free_bytes": 1, "writable": True}),
    ],
)
def test_that_an_answer_that_makes_no_sense_is_refused(
    there: LocalShell, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = there.start
    lying = "import sys; print('llm-workbench-helper 1', flush=True); print(sys.argv[1], flush=True); sys.stdin.read()"
    monkeypatch.setattr(there, "start", lambda argv: start([sys.executable, "-c", lying, answer]))
    with pytest.raises(SetUpFailed, match="did not answer as Python does"):
        look(there, Choice())


def looked(**changes: object) -> Looked:
    python = Python(path="/usr/bin/python3.12", version=(3, 12, 1), venv=True, ensurepip=True)
    known = Looked(
        base="/home/a b/engines", system="Linux", machine="x86_64", free_bytes=10**12, writable=True, uv="",
        nvidia=False, pythons=(python,), environments={},
    )  # fmt: skip
    return Looked(**{**{f: getattr(known, f) for f in known.__struct_fields__}, **changes})  # type: ignore[arg-type]


def interpreter(version: tuple[int, int, int], *, ensurepip: bool = True) -> Python:
    return Python(path=f"/usr/bin/python3.{version[1]}", version=version, venv=True, ensurepip=ensurepip)


SAME = (*sys.version_info[:2], 0)


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [
        ([(3, 10, 9), SAME, (3, 99, 1)], SAME),
        ([(3, 98, 0), (3, 99, 1), (3, 10, 9)], (3, 99, 1)),
        ([(3, 10, 9)], None),
        ([], None),
    ],
)
def test_that_the_interpreter_of_the_version_here_is_chosen_else_the_newest(
    versions: list[tuple[int, int, int]], chosen: tuple[int, int, int] | None
) -> None:
    found = fitting(looked(pythons=tuple(interpreter(v) for v in versions)))
    assert (found.version if found else None) == chosen


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"system": "Darwin"}, "measure on Linux only"),
        ({"writable": False}, "may not write"),
        ({"free_bytes": 59_999_999}, "about 57.2 MiB are needed"),
        ({"free_bytes": 60_000_000}, None),
        ({"free_bytes": 0, "environments": {"lock0": ()}}, None),
    ],
)
def test_that_what_stands_against_it_is_said_before(changes: dict[str, object], said: str | None) -> None:
    found = before(looked(**changes), looked().pythons[0], replace(a_lock(), needed_bytes=60_000_000), "")
    assert [said in problem.message for problem in found if said] == ([True] if said else [])
    assert bool(found) == bool(said)


@pytest.mark.parametrize(("uv", "refused"), [("", True), ("/usr/bin/uv", False)])
def test_that_a_python_without_pip_needs_uv(uv: str, refused: bool) -> None:
    bare = interpreter((3, 12, 1), ensurepip=False)
    found = before(looked(uv=uv, pythons=(bare,)), bare, a_lock(), "")
    assert [problem.hint.startswith("sudo apt-get install python3.12-venv") for problem in found] == [True] * refused


def test_that_uv_makes_the_environment_where_python_cannot() -> None:
    bare = Python(path="/usr/bin/python3.12", version=(3, 12, 1), venv=True, ensurepip=False)
    made = steps(looked(uv="/home/a/.local/bin/uv"), bare, a_lock(), engines_wheel(), token="t")
    commands = {step.id: step.argv for step in reversed(made)}
    assert commands["environment"][:2] == ("/home/a/.local/bin/uv", "venv")
    assert commands["packages"][:3] == ("/home/a/.local/bin/uv", "pip", "install")


def test_that_llama_cpp_is_compiled_with_the_engines_that_are_sent() -> None:
    made = steps(looked(), looked().pythons[0], lock(("llama.cpp",), "3.12", "x86_64"), engines_wheel(), token="t")
    order = [step.id for step in made]
    assert order.index("unpack") < order.index("compile") < order.index("check") < order.index("rename")
    compiling = next(step for step in made if step.id == "compile")
    assert compiling.argv[1:] == ("-m", "engines.llama.install")
    assert compiling.environment["PYTHONPATH"] == "/home/a b/engines/.making-t/engines"
    assert '"PYTHONPATH=/home/a b/engines/.making-t/engines"' in compiling.command


def test_that_a_broken_environment_is_made_anew() -> None:
    wheel = engines_wheel()
    there = looked(environments={"lock0": (wheel.content,)})
    assert [s.id for s in steps(there, there.pythons[0], a_lock(), wheel, token="t")] == ["check"]
    anew = steps(there, there.pythons[0], a_lock(), wheel, token="t", anew=True)
    assert anew[0].argv == ("rm", "-rf", "/home/a b/engines/lock0")
    assert "packages" in [s.id for s in anew]


def test_that_the_hand_runs_on_python_3_6() -> None:
    source = files("workbench.machines.setup").joinpath("remote_helper.py").read_text()
    ast.parse(source, feature_version=(3, 6))
    for newer in ("capture_output", "from __future__ import annotations", "text=True", "missing_ok"):
        assert newer not in source


def test_that_steps_are_told_as_they_begin(there: LocalShell) -> None:
    plan = without_packages(look(there, Choice(python=sys.executable), fixed=a_lock()))
    told: list[Told] = []
    SetUpRun(there, plan, told.append).run()
    assert [t.step for t in told if isinstance(t, StepStarted)] == list(plan.steps)
