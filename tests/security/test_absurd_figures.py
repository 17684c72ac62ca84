"""A far machine's figures are shown and reckoned with: absurd ones come as what can be, and break nothing."""

from __future__ import annotations

import msgspec
import pytest

from engines.protocol.codec import decode_answer
from engines.protocol.messages import Device, ProbeResult, QueueEntry, QueueState
from engines.protocol.records import Sensor
from tests.widgets.queue_kit import entry
from widgets.machines.facts import machine_facts, report
from widgets.queue.rows import heading, queue_rows
from widgets.queue.strip_view import strip_view
from workbench.machines.facts import machine_facts as facts_of

TIMES = (0, -1, 1, 10**30, -(10**30), 2**63)
FIGURES = (0.0, -1.0, 1e308, -1e308, 5e-324)


def said(**fields: object) -> QueueEntry:
    """As it comes over the link."""
    one = msgspec.to_builtins(msgspec.structs.replace(entry("t", "running"), **fields))
    return msgspec.convert(msgspec.json.decode(msgspec.json.encode(one)), QueueEntry)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("figure", FIGURES)
def test_that_a_queue_with_absurd_figures_is_shown(time: int, figure: float) -> None:
    entries = [
        said(
            state=state,
            outcome="completed" if state == "ended" else "",
            fraction=figure,
            expected_s=figure,
            started_wall_ns=time,
            ended_wall_ns=-time,
            submitted_wall_ns=time,
            total=time,
            position=-time,
        )
        for state in ("running", "waiting", "ended")
    ]
    state = QueueState(entries=tuple(entries), paused=False).of_machine("lab", ahead_s=1e6)
    for one in state.entries:
        assert one.fraction is not None
        assert 0 <= one.fraction <= 1
        assert 0 <= one.expected_s <= 1e9
        assert all(0 <= t < 2**63 for t in (one.submitted_wall_ns, one.started_wall_ns, one.ended_wall_ns))
    now_s = 1.8e9
    assert len(queue_rows(state, now_s)) == 3
    assert heading(state, now_s)
    assert 0 <= (strip_view(state, now_s).fraction or 0) <= 1


def test_that_a_text_without_end_is_cut_before_it_is_laid_out() -> None:
    state = QueueState(entries=(said(title="x" * 10**6, message="y" * 10**6),), paused=False).of_machine("lab")
    assert len(state.entries[0].title) == len(state.entries[0].message) == 4000


@pytest.mark.parametrize("number", ["", "-1", "nan", "1e999", "9" * 5000, "x"], ids=lambda text: text[:5])
@pytest.mark.parametrize("memory", TIMES)
def test_that_a_probe_with_absurd_figures_is_shown_and_planned_with(memory: int, number: str) -> None:
    names = ("cores", "threads_default", "power_limit_watts", "clock_max_hertz", "compute_capability")
    details = dict.fromkeys(names, number)
    found = ProbeResult(
        machine="lab",
        devices=(
            Device(id="cpu", title="c", memory_total_bytes=memory, memory_free_bytes=-memory, details=details),
            Device(id="cuda:x", title="g", memory_total_bytes=memory, memory_free_bytes=memory, details=details),
        ),
        sensors=(Sensor(source="s", quantity="q", title="t", method="m", rate_hz=1e308),),
        packages=(),
        facts={"cpu.cores": number},
    ).plausible()
    for device in found.devices:
        assert 0 <= device.memory_free_bytes <= device.memory_total_bytes <= 1 << 50
    assert report(machine_facts(found))
    for device in found.devices:
        assert 0 <= facts_of(found, device).cores < 10**9


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_that_what_is_no_finite_number_is_no_answer(number: str) -> None:
    line = f'{{"id":1,"body":{{"do":"queue_state","paused":false,"entries":[{{"expected_s":{number}}}]}}}}'
    with pytest.raises(msgspec.MsgspecError):
        decode_answer(line.encode())
