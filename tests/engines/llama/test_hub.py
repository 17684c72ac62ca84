"""Models of the hub for llama.cpp, from a hub on this machine: fetched, gone on with, refused, and run. No network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from engines.llama.ladder import hub as ladder_hub
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places
from engines.protocol.records import ModelLoaded, PhaseStarted, Progress
from tests.engines.fake_hub import FakeHub, serving
from tests.engines.llama.kit import gguf_order, need_llama
from tests.engines.runner_harness import is_alive, until
from tests.engines.worker_harness import QUICK, run_worker
from tests.small_disk import small_disk as mounted_disk
from tests.tiny_model import make_tiny_model

need_llama()

from tests.tiny_gguf import write_tiny_gguf  # noqa: E402

pytestmark = pytest.mark.real

MODEL = ModelOrder(ref="org/tiny", title="tiny", kind="hub", path="org/tiny")
FILE = ModelOrder(ref="org/g/t.gguf", title="t", kind="hub", path="org/g/t.gguf")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving() as found:
        yield found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@dataclass(frozen=True)
class Said:
    """What the making command said."""

    code: int
    lines: list[dict[str, object]]

    @property
    def made(self) -> list[str]:
        return [str(line["type"]) for line in self.lines if line.get("line") == "made"]

    @property
    def failure(self) -> str:
        (found,) = [f"{line['message']} {line['advice']}" for line in self.lines if line.get("line") == "failed"]
        return found

    @property
    def steps(self) -> list[tuple[str, float]]:
        return [(str(line["text"]), float(str(line["fraction"]))) for line in self.lines if line.get("line") == "step"]


def start(hub: FakeHub, cache: Path, *arguments: str, model: ModelOrder = MODEL) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "engines.llama.ladder", "--progress-json"]
    return subprocess.Popen(
        [*command, "--model", msgspec.json.encode(model).decode(), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **hub.environment(cache), "PYTHONPATH": str(Path(ladder_hub.__file__).parents[3])},
    )


def make(hub: FakeHub, cache: Path, *types: str, model: ModelOrder = MODEL, network: bool = True) -> Said:
    with start(hub, cache, "--to", ",".join(types), *(["--network"] * network), model=model) as process:
        out, _ = process.communicate(timeout=120)
    return Said(process.returncode, [json.loads(line) for line in out.splitlines()])


def put_tiny(hub: FakeHub, tmp_path: Path) -> None:
    hub.put("org/tiny", make_tiny_model(tmp_path / "tiny"))


# --- fetched ---------------------------------------------------------------------------------------


def test_that_a_hub_model_is_fetched_converted_and_then_needs_no_hub(
    hub: FakeHub, cache: Path, home: Places, tmp_path: Path
) -> None:
    put_tiny(hub, tmp_path)
    hub.repositories["org/tiny"].files["pytorch_model.bin"] = b"pickled weights are not fetched"
    said = make(hub, cache, "Q8_0")
    assert (said.code, said.made) == (0, ["Q8_0"]), said.lines
    texts = [text for text, _ in said.steps]
    shares = [share for _, share in said.steps]
    assert texts[0].startswith("Fetching tiny from 127.0.0.1"), "with its size, before the first byte"
    assert texts[0].endswith(" MB")
    assert shares == sorted(shares)
    assert hub.asked["GET model.safetensors"] == 1
    assert not hub.asked["GET pytorch_model.bin"]
    asked = hub.asked.total()
    assert make(hub, cache, "Q4_0").made == ["Q4_0"]
    assert make(hub, cache, "Q4_0", network=False).made == ["Q4_0"]
    assert hub.asked.total() == asked, "what is in the cache is not asked for"


@pytest.mark.parametrize("parts", [0, 8])
def test_that_a_gguf_file_of_a_repository_is_fetched_with_its_parts_and_quantised(
    parts: int, hub: FakeHub, cache: Path, home: Places, tmp_path: Path
) -> None:
    first = write_tiny_gguf(tmp_path / "g" / "t.gguf", tensors_a_part=parts)
    write_tiny_gguf(tmp_path / "g" / "other.gguf")
    hub.put("org/g", tmp_path / "g")
    model = msgspec.structs.replace(FILE, path=f"org/g/{first.name}")
    assert make(hub, cache, "Q8_0", model=model).made == ["Q8_0"]
    fetched = {asked.partition(" ")[2] for asked in hub.asked if asked.startswith("GET ")}
    assert fetched == {file.name for file in (tmp_path / "g").glob("t*.gguf")}


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_that_a_worker_fetches_its_model_and_runs_it(
    kind: str, hub: FakeHub, cache: Path, home: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hub.environment(cache).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # as most trials have it
    if kind == "gguf":
        write_tiny_gguf(tmp_path / "g" / "t.gguf")
        hub.put("org/g", tmp_path / "g")
        order = gguf_order(FILE, "precision.gguf-stored", workload=QUICK, allow_network=True)
    else:
        put_tiny(hub, tmp_path)
        order = gguf_order(MODEL, "precision.q8_0", workload=QUICK, allow_network=True)
    outcome = run_worker(order, tmp_path / "first")
    assert (outcome.exit_code, outcome.failure) == (0, ""), outcome.stderr
    assert [r.name for r in outcome.all(PhaseStarted)][:3] == ["start", "convert", "load"]
    assert any("Fetching" in r.text for r in outcome.all(Progress))
    assert outcome.only(ModelLoaded).parameters
    offline = msgspec.structs.replace(order, allow_network=False)
    again = run_worker(offline, tmp_path / "second")
    assert (again.exit_code, again.failure) == (0, ""), again.stderr
    assert "convert" not in [r.name for r in again.all(PhaseStarted)]


def test_that_transformers_does_not_take_a_gguf_file_for_a_repository(tmp_path: Path, home: Places) -> None:
    order = gguf_order(FILE, "precision.float32", workload=QUICK, allow_network=True)
    order = msgspec.structs.replace(order, engine=msgspec.structs.replace(order.engine, id="transformers"))
    outcome = run_worker(order, tmp_path / "run")
    cue = outcome.cue("failure:model")
    assert "which the transformers engine does not fetch" in cue.text


# --- interrupted -----------------------------------------------------------------------------------


def test_that_a_broken_connection_is_gone_on_with_where_it_broke(
    hub: FakeHub, cache: Path, home: Places, tmp_path: Path
) -> None:
    """What had come in whole pieces of 10 MiB, by which the hub's library writes."""
    put_tiny(hub, tmp_path)
    repository = hub.repositories["org/tiny"]
    repository.files["large.json"] = b'"' + b" " * (24 << 20) + b'"'
    repository.cut["large.json"] = 12 << 20
    assert make(hub, cache, "Q8_0").made == ["Q8_0"]
    assert [name for name, start in hub.ranges if start >= 10 << 20] == ["large.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_that_an_interrupted_fetch_keeps_whole_files_and_the_next_one_ends_it(
    number: signal.Signals, hub: FakeHub, cache: Path, home: Places, tmp_path: Path
) -> None:
    put_tiny(hub, tmp_path)
    hub.repositories["org/tiny"].stalled["model.safetensors"] = 100_000
    snapshots = cache / "models--org--tiny" / "snapshots"
    with start(hub, cache, "--to", "Q8_0", "--network") as process:
        until(lambda: hub.asked["GET model.safetensors"] and list(snapshots.glob("*/config.json")), 60)
        process.send_signal(number)
        process.communicate(timeout=60)
    until(lambda: not _makers(home), 60, "the maker ends with whoever started it")
    assert not list(snapshots.glob("*/model.safetensors"))
    assert "network may not be used" in make(hub, cache, "Q8_0", network=False).failure, "a part is not the model"
    hub.repositories["org/tiny"].stalled.clear()
    hub.repositories["org/tiny"].resume.set()
    configs = hub.asked["GET config.json"]
    assert make(hub, cache, "Q8_0").made == ["Q8_0"]
    assert hub.asked["GET config.json"] == configs == 1


def _makers(home: Places) -> list[int]:
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LLM_WORKBENCH_HOME") == str(home.cache.parent) and is_alive(process.pid):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [pid for pid in found if pid != os.getpid()]


# --- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        ((404, "RepoNotFound"), "has no model org/tiny, or does not show it to you"),
        ((401, "RepoNotFound"), "hf auth login"),
        ((401, "GatedRepo"), "org/tiny is gated"),
        ((403, "GatedRepo"), "Agree on its page on 127.0.0.1"),
        ((403, ""), "org/tiny is gated"),
        ((404, "RevisionNotFound"), "has no revision"),
        ((418, ""), "refused tiny (HTTP 418)"),
    ],
)
def test_that_every_refusal_of_the_hub_is_told_in_words(
    refused: tuple[int, str], said: str, hub: FakeHub, cache: Path, home: Places, tmp_path: Path
) -> None:
    put_tiny(hub, tmp_path)
    hub.repositories["org/tiny"].refused = refused
    outcome = make(hub, cache, "Q8_0")
    assert outcome.code == 1
    assert said in outcome.failure


def test_that_a_hub_that_is_not_there_is_told(hub: FakeHub, cache: Path, home: Places, tmp_path: Path) -> None:
    hub.server.server_close()
    outcome = make(hub, cache, "Q8_0")
    assert "could not be fetched from 127.0.0.1" in outcome.failure
    assert "Check the network" in outcome.failure


def test_that_a_repository_of_gguf_files_names_them(hub: FakeHub, cache: Path, home: Places, tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "g" / "a.gguf")
    write_tiny_gguf(tmp_path / "g" / "b.gguf")
    hub.put("org/g", tmp_path / "g")
    said = make(hub, cache, "Q8_0", model=msgspec.structs.replace(MODEL, path="org/g"))
    assert "holds no weights in safetensors" in said.failure
    assert "org/g/a.gguf" in said.failure
    missing = make(hub, cache, "Q8_0", model=msgspec.structs.replace(FILE, path="org/g/c.gguf"))
    assert "has no file c.gguf" in missing.failure
    assert "It holds a.gguf, b.gguf." in missing.failure


# --- the disk --------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(cache: Path) -> Iterator[Path]:
    with mounted_disk(cache, "66m"):
        yield cache


def test_that_too_little_room_is_told_before_anything_is_fetched(
    small_disk: Path, hub: FakeHub, home: Places, tmp_path: Path
) -> None:
    put_tiny(hub, tmp_path)
    hub.repositories["org/tiny"].files["model-2.safetensors"] = bytes(3 << 20)
    said = make(hub, small_disk, "Q8_0")
    assert "MB to be fetched; the disk of" in said.failure
    assert "HF_HUB_CACHE" in said.failure
    assert not [asked for asked in hub.asked if asked.startswith("GET ")]


def test_that_a_disk_that_becomes_full_is_told_and_the_next_fetch_ends_it(
    small_disk: Path, hub: FakeHub, home: Places, tmp_path: Path
) -> None:
    put_tiny(hub, tmp_path)
    filler = small_disk / "somebody-elses-file"
    weights = len(hub.repositories["org/tiny"].files["model.safetensors"])
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - (64 << 20) - weights // 2 - (256 << 10)))
    hub.repositories["org/tiny"].understated["model.safetensors"] = 0
    # what is kept free by the check is taken by somebody else meanwhile
    hub.repositories["org/tiny"].stalled["model.safetensors"] = 1000
    with start(hub, small_disk, "--to", "Q8_0", "--network") as process:
        until(lambda: hub.asked["GET model.safetensors"], 60)
        (small_disk / "another").write_bytes(bytes(shutil.disk_usage(small_disk).free - weights // 2))
        hub.repositories["org/tiny"].resume.set()
        out, _ = process.communicate(timeout=120)
    said = Said(process.returncode, [json.loads(line) for line in out.splitlines()])
    assert "tiny could not be fetched. The disk of" in said.failure
    assert "is full" in said.failure
    (small_disk / "another").unlink()
    filler.unlink()
    hub.repositories["org/tiny"].stalled.clear()
    assert make(hub, small_disk, "Q8_0").made == ["Q8_0"]
