"""The transformers engine's parts that need no torch: files, text and prompts, clocks."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.data.text import Prompts, held_out_text, random_text, random_tokens, text_hash
from engines.hf import files
from engines.hf.clocks import EventClock, HostClock
from engines.models.identity import Digests
from engines.protocol.orders import ModelOrder
from engines.protocol.ring import RingWriter, create_ring
from engines.worker.failures import WorkerFailure
from engines.worker.trial import check_order
from tests.engines.worker_harness import QUICK, trial_order


def write_safetensors(file: Path, sizes: dict[str, int]) -> None:
    """A file of float32 tensors by the format's description, zeros inside."""
    header, offset = {}, 0
    for name, count in sizes.items():
        header[name] = {"dtype": "F32", "shape": [count], "data_offsets": [offset, offset + 4 * count]}
        offset += 4 * count
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(offset))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "some-model"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "llama"}')
    write_safetensors(made / "model.safetensors", {"a": 10, "b": 6})
    return made


# --- the order ------------------------------------------------------------------------------------


def test_that_a_context_depth_is_refused_instead_of_left_out(folder: Path) -> None:
    model = ModelOrder(ref="m", title="m", kind="folder", path=str(folder))
    check_order(trial_order(model, "float32", QUICK))
    with pytest.raises(WorkerFailure, match="context depth"):
        check_order(trial_order(model, "float32", msgspec.structs.replace(QUICK, depth_tokens=1)))


# --- files ----------------------------------------------------------------------------------------


def test_that_a_whole_model_passes_and_its_bytes_are_counted(folder: Path) -> None:
    files.check_folder(folder)
    assert files.stored_bytes(folder) == 64
    hashed = dict(files.hashes(folder, Digests(folder / "digests")))
    assert sorted(hashed) == ["config.json", "model.safetensors"]
    assert hashed["config.json"] == f"sha256:{hashlib.sha256((folder / 'config.json').read_bytes()).hexdigest()}"


@pytest.mark.parametrize("keep", [3, 8, 60, -1])
def test_that_a_truncated_safetensors_file_is_told(folder: Path, keep: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(WorkerFailure, match="cut short") as caught:
        files.check_folder(folder)
    assert caught.value.kind == "model"
    assert "some-model/model.safetensors" in caught.value.message


def test_that_garbage_in_a_header_is_told(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((4).to_bytes(8, "little") + b"????" + bytes(10))
    with pytest.raises(WorkerFailure, match="header is damaged"):
        files.check_folder(folder)


def test_that_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "c": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    files.check_folder(folder)  # model.safetensors comes first, and the index is not read
    (folder / "model.safetensors").unlink()
    with pytest.raises(WorkerFailure, match=r"2 of 2 weight files are missing .*model-2\.safetensors"):
        files.check_folder(folder)


def test_that_what_is_not_a_model_folder_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerFailure, match="is not there"):
        files.check_folder(tmp_path / "nowhere")
    with pytest.raises(WorkerFailure, match=r"no config\.json"):
        files.check_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WorkerFailure, match=r"no \*\.safetensors weights"):
        files.check_folder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(WorkerFailure, match="cannot be read"):
        files.check_folder(folder)


def test_that_a_file_that_is_no_gguf_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"nothing")
    with pytest.raises(WorkerFailure, match="not a GGUF file"):
        files.check_gguf(tmp_path / "x.gguf")


def test_that_a_gguf_file_that_is_cut_short_is_told_before_transformers_reads_it(tmp_path: Path) -> None:
    from tests.tiny_gguf import write_tiny_gguf

    file = write_tiny_gguf(tmp_path / "x.gguf")
    files.check_gguf(file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WorkerFailure, match="cut short"):
        files.check_gguf(file)


# --- text and prompts -----------------------------------------------------------------------------


def test_that_the_held_out_text_is_long_and_always_the_same() -> None:
    assert len(held_out_text()) > 300_000
    assert text_hash() == text_hash()


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 1000))
def test_that_prompts_have_the_exact_length_and_are_unique(length: int, count: int, seed: int) -> None:
    made = Prompts(range(5000), length, seed).next_batch(count)
    assert {len(p) for p in made} == {length}
    assert len({tuple(p) for p in made}) == count


def test_that_prompts_depend_on_tokens_and_seed_alone() -> None:
    one, same, other = (Prompts(range(5000), 8, seed) for seed in (1, 1, 2))
    first = one.next_batch(3)
    assert first == same.next_batch(3)
    assert first != other.next_batch(3)


def test_that_a_short_text_is_repeated_for_a_long_prompt() -> None:
    (prompt,) = Prompts([1, 2, 3], 7, 0).next_batch(1)
    assert len(prompt) == 7


def test_that_an_exhausted_text_is_told_instead_of_repeating_a_prompt() -> None:
    prompts = Prompts([1, 2, 3, 4], 4, 0)
    with pytest.raises(ValueError, match="no more different prompts"):
        prompts.next_batch(9)


def test_that_what_stands_for_a_text_lasts_for_the_prompts_of_a_gpu() -> None:
    """1,500 requests of 32 sequences: a window of 5 s, the warm-up, and prefills alone for 5 s."""
    made = Prompts(random_text(512, 128, 0), 128, 0)
    for _ in range(1_500):
        made.next_batch(32)
    assert len(random_text(512, 100_000, 0)) == 400_000, "a long prompt has room to begin in different places"
    assert random_text(512, 100_000, 0)[:1_000] == random_text(512, 128, 0)[:1_000]


def test_that_random_tokens_lie_in_the_vocabulary() -> None:
    tokens = random_tokens(11, 500, 3)
    assert set(tokens) == set(range(11))
    assert tokens == random_tokens(11, 500, 3)


# --- clocks ---------------------------------------------------------------------------------------


class Device:
    """A device that works behind the host: an event recorded now happens when its queue gets there."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.busy_until_ns = 0

    def launch(self, work_ns: int, host_ns: int) -> None:
        self.now_ns += host_ns
        self.busy_until_ns = max(self.busy_until_ns, self.now_ns) + work_ns

    def synchronise(self) -> None:
        self.now_ns = max(self.now_ns, self.busy_until_ns)


class FakeEvent:
    """Held to torch.cuda.Event: `record()` marks the end of what is queued, `elapsed_time` is in milliseconds."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.at_ns: int | None = None

    def record(self) -> None:
        self.at_ns = max(self._device.now_ns, self._device.busy_until_ns)

    def elapsed_time(self, end_event: FakeEvent) -> float:
        assert self.at_ns is not None
        assert end_event.at_ns is not None, "an event that was never recorded has no time"
        return (end_event.at_ns - self.at_ns) / 1e6


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[RingWriter]:
    create_ring(tmp_path / "ring", 100)
    writer = RingWriter(tmp_path / "ring")
    yield writer
    writer.close()


def event_clock(ring: RingWriter, device: Device, tokens: int = 3) -> EventClock:
    return EventClock(ring, tokens, lambda: FakeEvent(device), device.synchronise, lambda: device.now_ns)


def test_that_device_events_tell_when_the_work_ended_not_when_it_was_queued(ring: RingWriter) -> None:
    device = Device()
    device.now_ns = 1_000_000
    clock = event_clock(ring, device)
    start = clock.begin()
    for _ in range(3):
        device.launch(work_ns=500_000, host_ns=1_000)
        clock.tick()
    end = clock.end()
    assert start == 1_000_000
    assert clock.corrected(3) == (1_501_000, 2_001_000, 2_501_000)
    assert end == 2_501_000
    assert ring.written == 3  # the host stamps are there for progress


def test_that_events_start_anew_for_every_request_and_wait_for_earlier_work(ring: RingWriter) -> None:
    device = Device()
    clock = event_clock(ring, device)
    clock.begin()
    for _ in range(3):
        device.launch(work_ns=100, host_ns=1)
        clock.tick()
    device.launch(work_ns=9_000_000, host_ns=1)  # left over from something else
    start = clock.begin()
    assert start > 9_000_000
    device.launch(work_ns=100, host_ns=1)
    clock.tick()
    assert clock.corrected(1) == (start + 101,)


def test_that_more_tokens_than_events_are_no_error(ring: RingWriter) -> None:
    device = Device()
    clock = event_clock(ring, device, tokens=1)
    clock.begin()
    for _ in range(2):
        device.launch(work_ns=10, host_ns=1)
        clock.tick()
    assert len(clock.corrected(2)) == 1


def test_that_no_corrected_time_leaves_the_request(ring: RingWriter) -> None:
    for work, host in itertools.product((1, 1_000, 10**7), (1, 50_000)):
        device = Device()
        clock = event_clock(ring, device)
        start = clock.begin()
        for _ in range(3):
            device.launch(work, host)
            clock.tick()
        end = clock.end()
        times = clock.corrected(3)
        assert start <= times[0] <= times[1] <= times[2] <= end


def test_that_the_host_clock_stamps_the_ring_and_corrects_nothing(ring: RingWriter) -> None:
    clock = HostClock(ring)
    start = clock.begin()
    clock.tick()
    end = clock.end()
    assert start <= ring.times(0, 1)[0] <= end
    assert clock.corrected(1) == ()
