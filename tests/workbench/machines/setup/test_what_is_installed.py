"""The engines as a wheel, and the lock of what they need: made from what runs here."""

from __future__ import annotations

import io
import zipfile
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from engines.protocol.problems import ProblemsFound
from tests.house import ROOT
from workbench.machines.setup.lock import RUNNER, lock
from workbench.machines.setup.wheel import engines_wheel

ASSETS = ROOT / "assets"


def test_that_the_same_files_give_the_same_wheel() -> None:
    first, again = engines_wheel(), engines_wheel()
    assert first == again
    assert first.version.endswith(f"+{first.content}")
    assert first.version in first.name


def test_that_the_wheel_holds_the_engines_and_nothing_above_them() -> None:
    with zipfile.ZipFile(io.BytesIO(engines_wheel().data)) as wheel:
        names = wheel.namelist()
        record = wheel.read(next(name for name in names if name.endswith("/RECORD"))).decode().splitlines()
    roots = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert roots == {"engines", "assets"}
    for needed in ("engines/__main__.py", "engines/llama/amx_tiles.h", "assets/prompts/questions.txt"):
        assert needed in names
    read = {f"assets/{p.relative_to(ASSETS)}" for p in ASSETS.rglob("*") if p.suffix in (".toml", ".txt")}
    assert {name for name in names if name.startswith("assets/")} == read, "the engines' catalogue and texts, no icons"
    assert not [name for name in names if "__pycache__" in name]
    assert [line.split(",")[0] for line in record] == names


def test_that_the_runner_alone_needs_three_packages_in_the_versions_here() -> None:
    made = lock((), "3.11", "x86_64")
    lines = [line for line in made.text.splitlines() if not line.startswith("#")]
    assert lines == sorted(f"{name}=={metadata.version(name)}" for name in RUNNER)
    assert made.loose == ()


def test_that_an_engine_brings_what_it_needs_and_what_that_needs() -> None:
    made = lock(("transformers",), "3.11", "x86_64")
    names = {Requirement(line).name for line in made.text.splitlines() if not line.startswith("#")}
    assert {"torch", "transformers", "tokenizers", "huggingface-hub", "numpy", "pyarrow", *RUNNER} <= names
    assert not {"pyside6-essentials", "duckdb", "pyqtgraph", "pytest"} & names


def test_that_no_line_names_a_build_that_only_this_machine_has() -> None:
    made = lock(("transformers",), "3.11", "x86_64")
    torch = next(line for line in made.text.splitlines() if line.startswith("torch=="))
    assert torch == f"torch=={metadata.version('torch').partition('+')[0]}"


def test_that_llama_cpp_is_compiled_by_its_own_module() -> None:
    made = lock(("llama.cpp",), "3.11", "x86_64")
    assert made.compiled == ("engines.llama.install",)
    assert "llama-cpp-python" not in made.text


def test_that_the_hash_differs_where_the_packages_would() -> None:
    one = lock((), "3.11", "x86_64")
    assert one.hash == lock((), "3.11", "x86_64").hash
    others = (
        lock((), "3.12", "x86_64"),
        lock((), "3.11", "aarch64"),
        lock(("llama.cpp",), "3.11", "x86_64"),
        lock((), "3.11", "x86_64", index="https://example.org/simple"),
    )
    assert len({one.hash, *(other.hash for other in others)}) == 5


def test_that_what_is_missing_here_may_be_any_version_this_application_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.distribution

    def without_torch(name: str) -> metadata.Distribution:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "distribution", without_torch)
    made = lock(("transformers",), "3.11", "x86_64")
    (torch,) = made.loose
    assert Requirement(torch).name == "torch"
    assert torch in made.text.splitlines()
    assert str(Requirement(torch).specifier).startswith(">=")


@pytest.mark.parametrize("index", ["example.org", "https://a b", "https://a\n--pre", "--pre"])
def test_that_an_index_is_an_address(index: str) -> None:
    with pytest.raises(ProblemsFound):
        lock((), "3.11", "x86_64", index=index)


def test_that_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ProblemsFound, match="no engine 'vllm'"):
        lock(("vllm",), "3.11", "x86_64")
