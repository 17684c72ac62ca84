"""The program for a GPU at hand: how time is shared out, what a part leaves when it dies, the report, and the figures
that it forms itself."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from benchmarks.on_gpu import __main__ as program
from benchmarks.on_gpu import shape
from benchmarks.on_gpu.notes import Notes, NotHere, read
from benchmarks.on_gpu.nvml import Curve, Steps, energy_over_integral, record, rise_s
from benchmarks.on_gpu.report import Finding, PartReport, Report, Table, markdown, number
from benchmarks.on_gpu.schedule import PARTS, RESERVE_S, Part, limit_of, run_parts
from benchmarks.on_gpu.setting import LLAMA_31_8B, LLAMA_32_1B, ONE_B, SEVEN_B
from benchmarks.on_gpu.stamps import identity, median_interval
from engines.worker.engine import Finished
from workbench.metrics.registry import PER_TRIAL
from workbench.metrics.trial import TrialRecords, arrange

NEVER = ("PySide6", "duckdb", "pyarrow", "matplotlib", "scipy", "torch", "transformers", "psutil")


def part(id: str, weight: float = 1.0, least_s: float = 10.0) -> Part:
    return Part(id, id.capitalize(), f"What of {id}?", weight, least_s)


def ran(one: Part, limit_s: float, took_s: float = 0.0) -> PartReport:
    return PartReport(id=one.id, title=one.title, question=one.question, outcome="ran", limit_s=limit_s, took_s=took_s)


# --- sharing out the time -------------------------------------------------------------------------


def test_that_a_part_gets_its_share_by_weight_and_its_least_time_at_the_least() -> None:
    first, second = part("a", 3), part("b", 1)
    assert limit_of(first, [second], 100) == 75
    assert limit_of(second, [first], 100) == 25
    assert limit_of(second, [first], 16) == 10
    assert limit_of(first, [], 10) == 10
    assert limit_of(first, [], 9.99) is None


def test_that_time_a_part_does_not_use_goes_to_those_behind_it() -> None:
    now = [0.0]
    limits = {}

    def run(one: Part, limit_s: float) -> PartReport:
        limits[one.id] = limit_s
        now[0] += 1 if one.id == "a" else limit_s
        return ran(one, limit_s)

    found = list(run_parts([part("a"), part("b"), part("c")], 93, run, now=lambda: now[0]))
    assert [p.outcome for p in found] == ["ran", "ran", "ran"]
    assert limits == {"a": 30, "b": 44.5, "c": 44.5}
    assert now[0] == 93 - RESERVE_S


def test_that_parts_without_time_say_so_and_a_shorter_one_still_runs() -> None:
    now = [0.0]

    def run(one: Part, limit_s: float) -> PartReport:
        now[0] += 85
        return ran(one, limit_s)

    parts = [part("a"), part("b"), part("c", least_s=4)]
    found = list(run_parts(parts, 93, run, now=lambda: now[0]))
    assert [p.outcome for p in found] == ["ran", "no time left", "ran"]
    assert found[1].reason == "5 s were left, it takes 10 s at the least"


def test_that_the_parts_come_in_order_of_worth() -> None:
    assert [p.id for p in PARTS] == ["nvml", "stamps", "shape", "finetuning", "templates", "telemetry", "cooling"]


# --- a part in its own process --------------------------------------------------------------------


PARENT = """
import sys
from pathlib import Path
import msgspec
from benchmarks.on_gpu.schedule import Part, run_in_child
found = run_in_child(Part("x", "X", "?", 1.0, 1.0), float(sys.argv[1]), sys.argv[3:], Path(sys.argv[2]))
print(msgspec.json.encode(found).decode())
"""
"""A process of its own: it kills every child that it has."""
WRITES = """
import os, sys, time, subprocess
from pathlib import Path
from benchmarks.on_gpu.notes import Notes
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
notes = Notes(Path(options["--notes"]), float(options["--seconds"]), Path("none"))
notes.add("found", 1.0)
"""
APART = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
time.sleep(600)
"""
"""Goes to the background, as a runner does."""


def in_child(folder: Path, limit_s: float, *command: str) -> PartReport:
    parent = [sys.executable, "-c", PARENT, str(limit_s), str(folder), *command]
    done = subprocess.run(parent, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=PartReport)


def child(tmp_path: Path, code: str, limit_s: float = 60.0) -> PartReport:
    script = tmp_path / "part.py"
    script.write_text(WRITES + code)
    return in_child(tmp_path, limit_s, sys.executable, str(script))


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))


def test_that_a_part_that_ends_is_reported_with_what_it_found(tmp_path: Path) -> None:
    found = child(tmp_path, "notes.end('ran')")
    assert (found.outcome, found.reason) == ("ran", "")
    assert found.findings == (Finding("found", 1.0),)
    assert found.took_s <= 60
    assert not (tmp_path / "failures.log").exists()


def test_that_a_part_that_hangs_is_stopped_with_everything_it_started_and_keeps_what_it_found(tmp_path: Path) -> None:
    started, apart = tmp_path / "pid", tmp_path / "apart.py"
    apart.write_text(APART)
    code = f"subprocess.run([sys.executable, {str(apart)!r}, {str(started)!r}])\ntime.sleep(600)"
    found = child(tmp_path, code, limit_s=5.0)
    assert found.outcome == "failed"
    assert "stopped at its limit of 5 s" in found.reason
    assert found.findings == (Finding("found", 1.0),)
    assert not Path(f"/proc/{started.read_text()}").exists()


def test_that_a_part_that_dies_says_with_what_words(tmp_path: Path) -> None:
    found = child(tmp_path, "print('no such device', file=sys.stderr); sys.stderr.flush(); os._exit(7)")
    assert (found.outcome, found.reason) == ("failed", "it ended with exit code 7: no such device")
    assert "no such device" in (tmp_path / "failures.log").read_text()


def test_that_a_part_that_never_wrote_anything_is_still_reported(tmp_path: Path) -> None:
    found = in_child(tmp_path, 30.0, sys.executable, "-c", "raise SystemExit(3)")
    assert (found.outcome, found.findings) == ("failed", ())
    assert read(tmp_path / "none").findings == []


def test_that_without_a_gpu_every_part_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(*, rehearse: bool) -> None:
        raise NotHere("There is no GPU here.")

    monkeypatch.setattr(program, "setting_of", none)
    options = argparse.Namespace(to=tmp_path / "out", minutes=5.0, only="", rehearse=False)
    assert program.everything(options) == 1
    report = msgspec.json.decode((tmp_path / "out" / "report.json").read_bytes(), type=Report)
    assert [(p.outcome, p.reason) for p in report.parts] == [("not available", "There is no GPU here.")] * len(PARTS)


def test_that_the_report_stands_after_every_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []

    def run(one: Part, limit_s: float, command: object, folder: Path) -> PartReport:
        seen.append([p["id"] for p in json.loads((folder / "report.json").read_bytes())["parts"]])
        return ran(one, limit_s)

    monkeypatch.setattr(program, "run_in_child", run)
    options = argparse.Namespace(to=tmp_path, minutes=5.0, only="stamps,cooling,nvml", rehearse=True)
    assert program.everything(options) == 0
    assert seen == [[], ["nvml"], ["nvml", "stamps"]]


def test_that_nothing_is_imported_that_a_bare_machine_lacks() -> None:
    modules = ["__main__", "rehearsal", *(p.id for p in PARTS)]
    code = f"import sys\nfor m in {modules}: __import__('benchmarks.on_gpu.' + m)\n"
    code += f"print(*(set({NEVER}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- the report -----------------------------------------------------------------------------------


def test_that_the_report_says_what_ran_what_failed_and_what_is_missing() -> None:
    common = {"id": "a", "title": "A", "question": "What?"}
    report = Report(
        started_at="2026-01-01T00:00:00+00:00",
        minutes=8,
        rehearsal=False,
        machine={"GPU": "NVIDIA H200"},
        parts=(
            PartReport(
                **common,
                outcome="ran",
                findings=(Finding("power", 71.456, "W", "median"), Finding("wall", None, "J", "no meter | none")),
                tables=(Table("Rates", ("quantity", "Hz"), (("power", "10"),)),),
            ),
            PartReport(**common, outcome="failed", reason="it ended with exit code 7"),
        ),
    )
    text = markdown(report)
    assert "# Run on a GPU" in text
    assert "| power | 71.46 W | median |" in text
    assert "| wall | not available | no meter \\| none |" in text
    assert "**failed: it ended with exit code 7**" in text
    assert "### Rates\n\n| quantity | Hz |\n| --- | --- |\n| power | 10 |" in text
    assert "no figure here is one of a GPU" in markdown(msgspec.structs.replace(report, rehearsal=True))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.0, "1"), (1234.0, "1,234"), (0.99961, "0.9996"), (12345.6, "12,346"), ("kept", "kept")],
)
def test_that_numbers_have_four_digits_and_no_powers(value: float | str, text: str) -> None:
    assert number(value) == text


def test_that_a_table_written_again_takes_the_old_ones_place(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes", 10, tmp_path / "records")
    notes.table("six", ("a",), [("1",)])
    notes.table("six", ("a",), [("2",)])
    assert [t.rows for t in read(tmp_path / "notes").tables] == [(("2",),)]


# --- figures --------------------------------------------------------------------------------------


def sampled(watts: Callable[[float], float], until: float = 12.0, every: float = 0.01) -> Curve:
    times = [i * every for i in range(round(until / every))]
    return Curve(times, [watts(t) for t in times])


def counted(watts: Callable[[float], float], *, share: float = 1.0, every: float = 0.1) -> Curve:
    """An energy counter that is written ten times a second, read a hundred times."""
    total, values, fine = 0.0, [], 0.001
    held = 0.0
    for i in range(12_000):
        total += watts(i * fine) * fine
        if i % round(every / fine) == 0:
            held = total
        if i % 10 == 0:
            values.append(held * share)
    return Curve([i * 0.01 for i in range(1200)], values)


def step(t: float) -> float:
    return 600.0 if 4 <= t < 8 else 80.0


def averaged(t: float) -> float:
    """The mean of the last second."""
    return sum(step(t - i / 100) for i in range(100)) / 100


STEPS = Steps(on=4.0, off=8.0, end=12.0)


def test_that_a_counter_that_agrees_with_the_integral_has_the_ratio_one() -> None:
    assert energy_over_integral(counted(step), sampled(step), 4.5, 8.0) == pytest.approx(1, abs=0.01)
    assert energy_over_integral(counted(step), sampled(step), 0.0, 12.0) == pytest.approx(1, abs=0.01)


def test_that_a_counter_of_half_the_energy_is_seen() -> None:
    assert energy_over_integral(counted(step, share=0.5), sampled(step), 4.5, 8.0) == pytest.approx(0.5, abs=0.01)


def test_that_a_counter_that_stands_still_has_no_ratio() -> None:
    still = Curve([0.0, 1.0, 2.0, 3.0], [5.0, 5.0, 6.0, 7.0])
    assert energy_over_integral(still, sampled(step), 0.0, 4.0) is None
    assert energy_over_integral(counted(step), Curve(), 0.0, 12.0) is None


def test_that_an_average_rises_late_and_an_instantaneous_field_at_once() -> None:
    assert rise_s(sampled(step), STEPS) == pytest.approx(0.01, abs=0.011)
    assert rise_s(sampled(averaged), STEPS) == pytest.approx(0.9, abs=0.02)
    assert rise_s(sampled(lambda _: 80.0), STEPS) is None


def test_that_a_reading_that_fails_is_left_out_of_a_recording() -> None:
    def refuses() -> float:
        raise ValueError("Not Supported")

    found = record({"good": lambda: 1.0, "bad": refuses}, 0.02)
    assert found["good"].values
    assert not found["bad"].values


def test_that_the_interval_of_a_median_holds_without_a_distribution() -> None:
    assert all(math.isnan(end) for end in median_interval([1, 2, 3, 4, 5]))
    assert median_interval([6, 1, 5, 2, 4, 3]) == (1, 6)  # 1 - 2/64 = 96.9 %
    assert median_interval(list(range(1, 21))) == (6, 15)  # of the tables: 95.9 %


def finished(times_ns: tuple[int, ...], end_ns: int) -> Finished:
    return Finished(
        start_ns=0,
        end_ns=end_ns,
        first_stamp=0,
        stamps=len(times_ns),
        first_token_ns=times_ns[0],
        last_token_ns=times_ns[-1],
        tokens_per_sequence=len(times_ns),
        batch_size=1,
        synchronised=True,
        corrected_ns=times_ns,
    )


@pytest.mark.parametrize(
    ("times_ns", "end_ns", "broken"),
    [
        ((5, 7, 9), 10, 0.0),
        ((5, 7, 9), 9, 0.0),
        ((0, 7, 9), 10, 0.0),
        ((-1, 7, 9), 10, 1.0),
        ((5, 7, 11), 10, 1.0),
        ((5, 5, 9), 10, 1.0),
    ],
)
def test_that_times_outside_the_call_or_out_of_order_are_counted(
    tmp_path: Path, times_ns: tuple[int, ...], end_ns: int, broken: float
) -> None:
    notes = Notes(tmp_path / "notes", 10, tmp_path / "records")
    identity(notes, [finished(times_ns, end_ns)])
    values = {f.name: f.value for f in notes.written.findings}
    assert values["of these, out of order or incomplete"] == broken


def test_that_the_shapes_have_the_sizes_they_are_named_by() -> None:
    assert parameters(SEVEN_B.config) == 6_738_415_616  # Llama 2 7B
    assert 0.9e9 < parameters(ONE_B.config) < 1.2e9
    assert parameters(LLAMA_32_1B.config) == 1_235_814_400  # as the models' own files count
    assert parameters(LLAMA_31_8B.config) == 8_030_261_248


def parameters(config: dict[str, object]) -> int:
    """Of a llama."""
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size", "num_attention_heads")
    hidden, inner, layers, words, heads = (int(str(config[name])) for name in names)
    shared = hidden * int(str(config["num_key_value_heads"])) // heads
    head = 1 if config.get("tie_word_embeddings") else 2
    attention = 2 * hidden**2 + 2 * hidden * shared
    return layers * (attention + 3 * hidden * inner + 2 * hidden) + head * words * hidden + hidden


def test_that_a_precision_whose_package_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "bitsandbytes" else object())
    assert shape.missing("precision.nf4") == "bitsandbytes"
    assert shape.missing("precision.int8") == shape.missing("finetune.lora") == ""


def test_that_a_metric_or_verdict_that_fails_takes_nothing_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(_told: TrialRecords) -> NoReturn:
        raise ModuleNotFoundError("no scipy")

    broken = [dataclasses.replace(m, compute=fails) if m.id == "load_s" else m for m in PER_TRIAL]
    monkeypatch.setattr(shape, "PER_TRIAL", broken)
    monkeypatch.setattr(shape, "judge", fails)
    told = arrange([])
    found = shape.figures(told)
    assert set(found) == {m.id for m in PER_TRIAL}
    assert found["load_s"].how == "ModuleNotFoundError: no scipy"
    assert set(shape.six(told, found).values()) == {"not available"}
    notes = Notes(tmp_path / "notes", 10, tmp_path / "records")
    shape.tell_verdict(notes, "nf4", told)
    assert notes.written.findings == [Finding("nf4: verdict", None, note="ModuleNotFoundError: no scipy")]


# --- the whole program ----------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.timeout(600)
def test_that_a_rehearsal_runs_every_part_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks.on_gpu", "--rehearse", "--minutes", "8", "--to", str(folder)]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    words = folder / "failures.log"
    assert done.returncode == 0, done.stdout + done.stderr + (words.read_text() if words.exists() else "")
    assert time.monotonic() - begun < 8 * 60
    report = msgspec.json.decode((folder / "report.json").read_bytes(), type=Report)
    assert [(p.id, p.outcome) for p in report.parts] == [(p.id, "ran") for p in PARTS]
    values = {(p.id, f.name): f.value for p in report.parts for f in p.findings}
    assert values["nvml", "energy counter / integral of power_watts, while busy"] == pytest.approx(1, abs=0.05)
    assert values["stamps", "of these, out of order or incomplete"] == 0
    assert values["shape", "float32"] == values["shape", "bfloat16"] == "completed"
    assert values["finetuning", "Tiny shape"] == "completed"
    steps = next(t for p in report.parts for t in p.tables if t.title.startswith("Training"))
    cells = dict(steps.rows)
    assert cells["Step time, ms"] != "not available"
    assert cells["Optimiser states, GiB"] != "not available"
    assert values["templates", "the template after its forks"] == "one thread, no GPU open"
    assert isinstance(values["telemetry", "decode tokens/s with telemetry / without"], float)
    assert values["cooling", "waiting ended"] == "cool enough"
    six = next(t for p in report.parts for t in p.tables if t.title.startswith("The six metrics"))
    assert {name.partition(":")[0] for name, *_ in six.rows} >= {"AMU", "PCU", "AL", "IT", "AEC", "MCR"}
    assert (folder / "records-shape.jsonl").read_text().count('"trial_ended"') == 2
    assert "no figure here is one of a GPU" in (folder / "report.md").read_text()
    assert len(list(folder.iterdir())) <= 8, "few enough files to come back"
