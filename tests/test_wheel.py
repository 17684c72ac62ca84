"""The wheel, built from this checkout, installed into an empty environment and tried from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(900)]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output; the error text of a failure is in the assertion."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=kept | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(the environment's bin folder, an empty folder to work in)."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    wheel = next(folder.glob("*.whl"))
    venv.create(folder / "empty", with_pip=True)
    binaries = folder / "empty" / "bin"
    constraints = ROOT / "packaging" / "constraints.txt"
    run(binaries / "python", "-m", "pip", "install", "-q", "-c", constraints, wheel, cwd=folder)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return binaries, elsewhere


def home_of(folder: Path) -> dict[str, str]:
    """A new user's home whose runner does not outlive the test by much."""
    return {"LLM_WORKBENCH_HOME": str(folder / "home"), "LLM_WORKBENCH_IDLE_SECONDS": "1"}


def test_that_the_installed_command_answers_from_another_folder(installed: tuple[Path, Path], tmp_path: Path) -> None:
    binaries, elsewhere = installed
    home = home_of(tmp_path)
    assert run(binaries / "llm-workbench", "--version", cwd=elsewhere).startswith("llm-workbench ")
    techniques = json.loads(run(binaries / "llm-workbench", "techniques", "--json", cwd=elsewhere, **home))
    assert any(t["id"] == "precision.int8" for t in techniques)
    models = json.loads(run(binaries / "llm-workbench", "models", "--json", cwd=elsewhere, **home))
    assert models["catalogue"], "the catalogue travels with the wheel"
    assert json.loads(run(binaries / "llm-workbench", "list", "--json", cwd=elsewhere, **home)) == []


def test_that_the_command_that_installs_llama_cpp_travels_with_its_header(
    installed: tuple[Path, Path],
) -> None:
    binaries, elsewhere = installed
    asked = run(binaries / "python", "-m", "engines.llama.install", "--help", cwd=elsewhere)
    assert "Install llama-cpp-python" in asked
    script = (
        "from engines.llama import install; print(install.build_variables()['CMAKE_ARGS'], install.HEADER.is_file())"
    )
    said = run(binaries / "python", "-c", script, cwd=elsewhere)
    assert "amx_tiles.h" in said
    assert said.strip().endswith("True")


def test_that_the_installed_window_opens_with_its_assets(installed: tuple[Path, Path], tmp_path: Path) -> None:
    binaries, elsewhere = installed
    script = (
        "import sys\n"
        "from PySide6.QtCore import QTimer\n"
        "from PySide6.QtWidgets import QApplication\n"
        "from widgets import app\n"
        "from widgets.theme.icons import names\n"
        "assert names()\n"
        "qt = QApplication([])\n"
        "QTimer.singleShot(3000, qt.closeAllWindows)\n"
        "sys.exit(app.main())\n"
    )
    run(binaries / "python", "-c", script, cwd=elsewhere, QT_QPA_PLATFORM="offscreen", **home_of(tmp_path))
