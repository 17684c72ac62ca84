"""`llm-workbench data`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny_model import make_tiny_model
from workbench.cli.main import main

CSV = "question,answer\n" + "".join(f"q{n},a{n}\n" for n in range(20)) + "bad,\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "own.csv"
    made.write_text(CSV)
    return made


def test_that_data_are_shown_with_columns_bad_rows_and_splits(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", file.name, "--rows", "1"]) == 0
    said = capsys.readouterr().out
    assert "prompt: question, response: answer" in said
    assert "21, 1 left out; train 18, validation 1, test 1" in said
    assert "line 22 has no response" in said
    assert "user: q0\n  assistant: a0" in said


def test_that_with_a_model_what_is_trained_stands_in_brackets(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_tiny_model(file.parent / "model")
    assert main(["data", file.name, "--rows", "1", "--model", str(model)]) == 0
    said = capsys.readouterr().out
    assert "plain (the tokenizer has no chat template)" in said
    assert "q0\n⟦a0</s>⟧" in said


def test_that_data_that_cannot_be_used_say_why(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", file.name, "--response", "anser", "--json"]) == 2
    error = json.loads(capsys.readouterr().err)
    assert error == {"error": "The data has no column 'anser'.", "advice": "Did you mean 'answer'?"}


def test_that_a_model_without_a_tokenizer_is_not_passed_over(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", file.name, "--model", "random:smollm2-135m-instruct"]) == 2
    assert "has no tokenizer" in capsys.readouterr().err
