"""The runner's pure parts: outcomes, processors, lines of pipes, the queue file."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.host.machine import share_here
from engines.host.processors import Share, share_for
from engines.protocol.records import Cue, Log, Progress, Record
from engines.runner.lines import LineSplitter, RecordPipe, TextPipe
from engines.runner.outcome import Ending, Evidence, Judgement, judge, memory_kills
from engines.runner.queue import Queue
from engines.runner.settings import default_settings
from tests.engines.runner_harness import make_order

KILLED = -int(signal.SIGKILL)


@pytest.mark.parametrize(
    ("evidence", "outcome", "failure"),
    [
        (Evidence(exit_code=0), "completed", ""),
        (Evidence(exit_code=0, ending=Ending.STOPPED), "stopped", ""),
        (Evidence(exit_code=-int(signal.SIGTERM), ending=Ending.STOPPED), "stopped", ""),
        (Evidence(exit_code=KILLED, ending=Ending.KILLED), "stopped", ""),
        (Evidence(exit_code=KILLED, ending=Ending.DISK, disk=OSError(errno.ENOSPC, "Full")), "failed", "disk_full"),
        (Evidence(exit_code=KILLED, ending=Ending.DISK, disk=OSError(errno.EIO, "Broken")), "failed", "disk_error"),
        (Evidence(exit_code=KILLED), "failed", "killed"),
        (Evidence(exit_code=KILLED, memory_kills=1), "failed", "out_of_memory"),
        (Evidence(exit_code=3, failure=Cue(code="failure:technique", text="No.")), "failed", "technique"),
        (Evidence(exit_code=3), "failed", "engine"),
        (Evidence(exit_code=1, failure=Cue(code="failure:model", text="x")), "failed", "engine"),
        (Evidence(exit_code=1, stderr_tail="MemoryError"), "failed", "engine"),
        (Evidence(exit_code=1, stderr_tail="MemoryError", address_space_bytes=1 << 30), "failed", "out_of_memory"),
        (
            Evidence(exit_code=-6, stderr_tail="what(): std::bad_alloc", address_space_bytes=1 << 30),
            "failed",
            "out_of_memory",
        ),
        (Evidence(exit_code=1, address_space_bytes=1 << 30), "failed", "engine"),
        (Evidence(exit_code=-11), "failed", "engine"),
    ],
)
def test_that_every_end_of_a_worker_has_one_outcome(evidence: Evidence, outcome: str, failure: str) -> None:
    judgement = judge(evidence)
    assert (judgement.outcome, judgement.failure) == (outcome, failure)
    if outcome != "completed":
        assert judgement.message
        assert judgement.advice


def test_that_an_unproven_kill_is_only_possibly_out_of_memory() -> None:
    assert judge(Evidence(exit_code=KILLED)).message == "Killed, possibly out of memory."


CRASH = """
Fatal Python error: Aborted

Current thread 0x00007f6243277b80 (most recent call first):
  File "engine.py", line 252 in load

Extension modules: numpy._core._multiarray_umath (total: 1)
"""


def crashed(number: signal.Signals, before: str, report: str = CRASH) -> Judgement:
    return judge(Evidence(exit_code=-int(number), stderr_tail=before + report))


def test_that_the_last_words_of_a_crash_are_those_before_the_fault_handlers() -> None:
    said = crashed(signal.SIGSEGV, "reading\na last word", CRASH.replace("Aborted", "Segmentation fault"))
    assert said.message == "The engine crashed (SIGSEGV). Its last words: a last word"
    assert crashed(signal.SIGSEGV, "").message == "The engine crashed (SIGSEGV)."


def test_that_an_abort_of_llama_cpp_is_told_without_the_path_it_was_compiled_in() -> None:
    said = crashed(signal.SIGABRT, "/tmp/build x/ggml/src/ops.cpp:4132: GGML_ASSERT(eps >= 0.0f) failed")
    assert said.failure == "engine"
    assert "GGML_ASSERT(eps >= 0.0f) (ops.cpp:4132)" in said.message
    assert "/tmp" not in said.message
    called_back = CRASH.replace("Aborted", "/tmp/ops.cpp:1: GGML_ASSERT(a) failed")
    assert "GGML_ASSERT(a) (ops.cpp:1)" in crashed(signal.SIGABRT, "", called_back).message


def test_that_an_abort_after_a_failed_allocation_is_out_of_memory_without_a_limit_too() -> None:
    words = (
        "ggml_aligned_malloc: insufficient memory (attempted to allocate  19.73 MB)\nggml.c:1: GGML_ASSERT(p) failed"
    )
    said = crashed(signal.SIGABRT, words)
    assert said.failure == "out_of_memory"
    assert "insufficient memory (attempted to allocate 19.73 MB)" in said.message
    assert crashed(signal.SIGSEGV, words).failure == "engine"


def test_that_memory_kills_can_be_counted_or_are_zero() -> None:
    assert memory_kills() >= 0


# --- processors -----------------------------------------------------------------------------------


def cores(*siblings: int) -> dict[int, str]:
    """Processor 0, 1, ... on the core given."""
    return {processor: str(core) for processor, core in enumerate(siblings)}


@pytest.mark.parametrize(
    ("wanted", "core_of", "quota", "share"),
    [
        (0, cores(0, 1, 2, 3), None, Share(3, (1, 2, 3))),
        (0, cores(0, 1), None, Share(1, (1,))),
        (0, cores(0), None, Share(1, (0,))),
        (0, cores(0, 0), None, Share(1, (1,))),
        (0, cores(0, 1, 0, 1), None, Share(1, (1, 3))),
        (0, cores(0, 0, 1, 1, 2, 2), None, Share(2, (2, 3, 4, 5))),
        (0, {4: "4", 9: "9"}, None, Share(1, (9,))),
        (0, cores(0, 1, 2, 3, 4, 5, 6, 7), 2, Share(1, (1, 2, 3, 4, 5, 6, 7))),
        (0, cores(0, 1, 2, 3), 1, Share(1, (1, 2, 3))),
        (0, cores(0, 1, 2, 3), 64, Share(3, (1, 2, 3))),
        (6, cores(0, 1), None, Share(6, (0, 1))),
        (1, cores(0, 1), None, Share(1, (0, 1))),
    ],
)
def test_that_one_core_stays_free(wanted: int, core_of: dict[int, str], quota: int | None, share: Share) -> None:
    assert share_for(wanted, core_of, quota) == share


def test_that_the_share_on_this_machine_is_usable() -> None:
    share = share_here(0)
    assert 1 <= share.threads <= len(share.processors)


# --- lines ----------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=20), max_size=10), st.data())
def test_that_lines_come_out_whole_however_they_arrive(lines: list[bytes], data: st.DataObject) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    splitter = LineSplitter(1000)
    found: list[bytes] = []
    while stream:
        count = data.draw(st.integers(1, len(stream)))
        found.extend(splitter.feed(stream[:count]))
        stream = stream[count:]
    assert found == lines
    assert splitter.rest() == b"rest"
    assert splitter.rest() == b""


def test_that_a_line_without_end_does_not_grow_for_ever() -> None:
    splitter = LineSplitter(100)
    pieces = [piece for _ in range(100) for piece in splitter.feed(b"x" * 50)]
    assert sum(map(len, pieces)) >= 4900
    assert max(map(len, pieces)) <= 150


def texts(records: list[Record]) -> list[str]:
    return [record.text for record in records if isinstance(record, Log)]


def test_that_a_chatty_stream_is_limited_and_recovers() -> None:
    pipe = TextPipe("stderr")
    first = pipe.feed(b"line\n" * 1000, now_ns=pipe._refilled_ns)
    assert len(first) == 200
    second = texts(pipe.feed(b"later\n", now_ns=pipe._refilled_ns + 5_000_000_000))
    assert second == ["800 lines of stderr were left out: too many at once.", "later"]
    assert pipe.tail.endswith("line\nlater")


def test_that_text_is_made_fit_for_a_log() -> None:
    pipe = TextPipe("stdout")
    records = pipe.feed(b"\x1b[1mbold\x1b[0m\r\n\n  \n10%\r100%\nbad \xff\x00byte\nunfinished")
    assert texts(records) == ["bold", "100%", "bad \N{REPLACEMENT CHARACTER}byte"]
    assert texts(pipe.finish()) == ["unfinished"]
    assert texts(pipe.finish()) == []


def test_that_records_pass_and_garbage_is_named() -> None:
    pipe = RecordPipe()
    assert pipe.feed(b'{"kind":"progress","te') == []
    records = pipe.feed(b'xt":"a"}\nrubbish\n')
    assert records[0] == Progress(text="a")
    assert "rubbish" in texts(records)[0]
    assert pipe.garbage == 1
    assert pipe.feed(b'{"kind":"later","x":"\xff"}\n\n')[0] is not None
    assert pipe.garbage == 2


# --- the queue file -------------------------------------------------------------------------------


def test_that_the_queue_survives_a_round_trip(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.json")
    queue.add([make_order("t1"), make_order("t2")])
    taken = queue.take("t1")
    assert taken is not None
    queue.running["t1"] = taken
    queue.paused, queue.pause_reason = True, "disk full: no"
    assert queue.save() is None
    again = Queue(tmp_path / "queue.json")
    assert again.load() == [taken]
    assert [waiting.order for waiting in again.waiting] == [make_order("t2")]
    assert (again.paused, again.pause_reason) == (True, "disk full: no")
    assert again.knows("t2")
    assert not again.knows("t3")
    assert [path.name for path in tmp_path.iterdir()] == ["queue.json"]


def test_that_a_queue_that_cannot_be_written_goes_on_in_memory(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "missing" / "queue.json")
    queue.add([make_order("t1")])
    assert isinstance(queue.save(), OSError)
    assert not queue.saved
    assert queue.knows("t1")


def test_that_settings_come_from_the_environment_and_then_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_WORKBENCH_IDLE_SECONDS", "7")
    monkeypatch.setenv("LLM_WORKBENCH_WORKER", "'/a b/python' -m x")
    settings = default_settings()
    assert settings.idle_s == 7
    assert settings.worker_command == ("/a b/python", "-m", "x")
    assert default_settings(idle_s=3.0).idle_s == 3
    monkeypatch.setenv("LLM_WORKBENCH_IDLE_SECONDS", "soon")
    with pytest.raises(ValueError):
        default_settings()
