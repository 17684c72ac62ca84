"""`python -m engines data-preview`, as the window calls it, and datasets of a hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.fake_hub import serving
from tests.tiny_model import make_tiny_model

CSV = 'question,answer\n"Two and two?",Four.\nAnd three?,\nOne and one?,Two é 日.\n'


def previewed(*arguments: str, code: int = 0, **environment: str) -> dict[str, object]:
    command = [sys.executable, "-m", "engines", "data-preview", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == code, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_that_rows_are_shown_as_the_model_sees_them(tmp_path: Path) -> None:
    model, file = make_tiny_model(tmp_path / "model", begins=True), tmp_path / "a.csv"
    file.write_text(CSV)
    found = previewed("--data", str(file), "--model", str(model), "--rows", "1:5", "--sequence-tokens", "40")
    assert (found["rows"], found["bad"], found["first"], found["template"]) == (3, 1, 1, "plain")
    assert found["bad_rows"] == [{"place": "line 3", "reason": "has no response"}]
    assert found["columns"] == {"prompt": "question", "response": "answer", "messages": "", "text": ""}
    [row] = found["shown"]  # type: ignore[misc]
    assert row["place"] == "line 4"
    [document] = row["documents"]
    assert "".join(document["tokens"]) == "<s>One and one?\nTwo é 日.</s>"
    counted = [token for token, counts in zip(document["tokens"], document["counts"], strict=True) if counts]
    assert "".join(counted) == "Two é 日.</s>"
    assert (document["trained"], document["trained"] + document["masked"]) == (len(counted), len(document["ids"]))


def test_that_without_a_model_rows_and_columns_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(CSV)
    found = previewed("--data", str(file), "--prompt-column", "answer", "--response-column", "question")
    assert [row["turns"][0][1] for row in found["shown"]] == ["Four.", "Two é 日."]  # type: ignore[attr-defined]
    assert found["names"] == ["question", "answer"]
    assert found["bad_rows"] == [{"place": "line 3", "reason": "has no prompt"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "none.csv"), "There is no file"),
        (("--loss-on", "nothing"), "cannot be used"),
        (("--rows", "a:b"), "cannot be used"),
        (("--data", "org/name", "--fetch"), "cannot be reached"),
    ],
)
def test_that_what_cannot_be_shown_says_why(arguments: tuple[str, ...], said: str) -> None:
    found = previewed(*arguments, code=1, HF_HUB_OFFLINE="1")
    assert said in str(found["message"])
    assert found["advice"]


def test_that_a_dataset_of_the_hub_is_fetched_once_and_then_read_from_its_cache(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "train.csv").write_text(CSV)
    (folder / "README.md").write_text("about it")
    with serving() as hub:
        hub.put("org/name", folder)
        here = hub.environment(tmp_path / "cache")
        missing = previewed("--data", "org/name", code=1, **here)
        assert "llm-workbench data org/name" in str(missing["advice"])
        found = previewed("--data", "org/name", "--fetch", **here)
        assert found["splits"] == {"train": 1, "validation": 0, "test": 1}
        assert not hub.asked["GET README.md"]
        assert "shows no dataset" in str(previewed("--data", "org/other", "--fetch", code=1, **here)["message"])
    assert previewed("--data", "org/name", "--fetch", **here)["hash"] == found["hash"]
