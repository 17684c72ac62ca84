"""Parsers of /proc text: what the kernel writes comes back as numbers, anything else is a ValueError."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.telemetry.procfs import (
    PAGE_BYTES,
    TICKS_PER_SECOND,
    KeptFile,
    parse_host_stat,
    parse_involuntary_switches,
    parse_kilobytes,
    parse_pids,
    parse_pressure,
    parse_process_stat,
)

COUNTS = st.integers(min_value=0, max_value=2**60)
NAMES = st.binary(max_size=15)
"""Command names: any bytes at all, parentheses, blanks and line breaks included."""


def stat_line(name: bytes, state: str = "S", parent: int = 1, **fields: int) -> bytes:
    """A line of /proc/PID/stat with the given fields, zeros elsewhere."""
    numbers = [0] * 52
    places = {"flags": 9, "utime": 14, "stime": 15, "cutime": 16, "cstime": 17, "threads": 20, "start": 22, "rss": 24}
    for key, value in fields.items():
        numbers[places[key] - 1] = value
    rest = [state, str(parent), *(str(n) for n in numbers[4:])]
    return b"77 (" + name + b") " + " ".join(rest).encode() + b"\n"


@given(name=NAMES, utime=COUNTS, stime=COUNTS, cutime=COUNTS, cstime=COUNTS, threads=COUNTS, rss=COUNTS, start=COUNTS)
def test_that_a_process_line_is_read_whatever_the_command_is_called(
    name: bytes, utime: int, stime: int, cutime: int, cstime: int, threads: int, rss: int, start: int
) -> None:
    line = stat_line(
        name, "R", 42, utime=utime, stime=stime, cutime=cutime, cstime=cstime, threads=threads, rss=rss, start=start
    )
    stat = parse_process_stat(line)
    assert (stat.state, stat.parent, stat.threads, stat.start_ticks) == ("R", 42, threads, start)
    assert stat.own_s == (utime + stime) / TICKS_PER_SECOND
    assert stat.reaped_s == (cutime + cstime) / TICKS_PER_SECOND
    assert stat.rss_bytes == rss * PAGE_BYTES


@pytest.mark.parametrize(("flags", "ends"), [(0, False), (0x400000, False), (0x4, True), (0x40000C, True)])
def test_that_a_process_that_ends_is_told_by_its_flags(flags: int, ends: bool) -> None:
    assert parse_process_stat(stat_line(b"python", flags=flags)).ends is ends


@given(st.integers(min_value=0, max_value=60))
def test_that_a_cut_process_line_is_an_error_or_still_whole(length: int) -> None:
    line = stat_line(b"python", rss=5)
    try:
        stat = parse_process_stat(line[:length])
    except ValueError:
        return
    assert stat == parse_process_stat(line)


@given(st.lists(COUNTS, min_size=8, max_size=10), st.binary())
def test_that_host_times_add_up(numbers: list[int], rest: bytes) -> None:
    text = b"cpu  " + " ".join(map(str, numbers)).encode() + b"\n" + rest
    times = parse_host_stat(text)
    assert times.total_s == pytest.approx(sum(numbers[:8]) / TICKS_PER_SECOND)
    assert times.steal_s == numbers[7] / TICKS_PER_SECOND
    assert times.idle_s == (numbers[3] + numbers[4]) / TICKS_PER_SECOND


@given(COUNTS, st.lists(st.tuples(st.sampled_from([b"Rss", b"SwapPss", b"Pss_Anon", b"XPss"]), COUNTS)))
def test_that_a_line_in_kilobytes_is_found_by_its_whole_name(wanted: int, others: list[tuple[bytes, int]]) -> None:
    lines = [name + b":   " + str(value).encode() + b" kB" for name, value in others]
    for place in (0, len(lines)):
        text = b"\n".join([*lines[:place], b"Pss: " + str(wanted).encode() + b" kB", *lines[place:]]) + b"\n"
        assert parse_kilobytes(text, b"Pss", "smaps_rollup") == wanted * 1024


@given(st.integers(min_value=0, max_value=2**53))
def test_that_pressure_is_seconds_of_some_task_waiting(total: int) -> None:
    text = f"some avg10=0.18 avg60=0.88 avg300=0.43 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
    assert parse_pressure(text.encode()) == total / 1e6


@given(COUNTS, COUNTS)
def test_that_involuntary_switches_are_not_mistaken_for_voluntary_ones(voluntary: int, involuntary: int) -> None:
    text = f"Name:\tx\nvoluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t{involuntary}\n"
    assert parse_involuntary_switches(text.encode()) == involuntary


@given(st.lists(st.integers(min_value=1, max_value=2**22)))
def test_that_children_are_listed(pids: list[int]) -> None:
    assert parse_pids("".join(f"{pid} " for pid in pids).encode()) == tuple(pids)


@pytest.mark.parametrize(
    "parse",
    [
        parse_process_stat,
        parse_host_stat,
        parse_pressure,
        parse_involuntary_switches,
        lambda text: parse_kilobytes(text, b"Pss", "smaps_rollup"),
    ],
)
@given(text=st.binary(max_size=200))
def test_that_no_text_is_worse_than_a_value_error(parse: Callable[[bytes], object], text: bytes) -> None:
    """Some are right by chance: hypothesis also takes what it finds in the code."""
    with contextlib.suppress(ValueError):
        parse(text)


@pytest.mark.parametrize("parse", [parse_process_stat, parse_host_stat, parse_pressure, parse_involuntary_switches])
@pytest.mark.parametrize("text", [b"", b"\xff\x00", b"1 (a b) S 1", b"cpu", b"some avg10="])
def test_that_other_text_is_a_value_error(parse: Callable[[bytes], object], text: bytes) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_that_the_kernels_own_files_are_understood() -> None:
    stat = parse_process_stat(Path("/proc/self/stat").read_bytes())
    assert stat.parent == os.getppid()
    assert stat.rss_bytes > 1 << 20
    assert parse_host_stat(Path("/proc/stat").read_bytes()).idle_s > 0
    assert parse_kilobytes(Path("/proc/meminfo").read_bytes(), b"MemTotal", "meminfo") > 1 << 27
    assert parse_kilobytes(Path("/proc/self/smaps_rollup").read_bytes(), b"Pss", "smaps_rollup") > 1 << 20


def test_that_a_kept_file_shows_what_is_in_it_now(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    path.write_bytes(b"1")
    file = KeptFile(path)
    assert file.read() == b"1"
    path.write_bytes(b"2")
    assert file.read() == b"2"
    file.close()
    file.close()
    with pytest.raises(OSError):
        file.read()
