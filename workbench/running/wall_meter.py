"""A wall meter's CSV: read, mapped to a trial's own clock, and stored beside it. Blocking; any thread.

A meter knows wall time only. A trial says wall and monotonic clock together at its start and at its end, which ties the
two; a trial through which they moved apart is refused. The meter's own clock must be right: how well power and work
line up is for the user to see in the chart.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from engines.protocol.problems import Advised
from engines.protocol.records import ClockPair, Telemetry, TrialEnded, TrialStarted
from workbench.metrics.assumptions import NOTHING_ASSUMED, Assumptions
from workbench.metrics.checks.timing import CLOCK_TOLERANCE_S
from workbench.metrics.energy.wall import SOURCE
from workbench.running import intake
from workbench.store.operations import AddSamples, GetTrial, Store
from workbench.store.records import replay
from workbench.typed_numbers import NotANumber, decimal_sign, parse_number

QUANTITY = "power_watts"
MARGIN_S = 5.0
"""Readings this long before a trial's start and after its end are kept: the integral needs one beyond each edge."""
MAX_FILE_BYTES = 64 * 2**20
"""A month of readings a second is less; a wrong file is not read whole."""

_TIME_NAMES = frozenset({"time", "timestamp", "datetime", "date time", "date", "epoch", "unix", "unix time", "t", "ts"})
_POWER_NAMES = frozenset({"watts", "watt", "w", "power", "active power", "real power", "p", "value"})
_UNITS = {"w": 1.0, "watt": 1.0, "watts": 1.0, "kw": 1e3, "mw": 1e-3}
_UNIT = re.compile(r"[\s_]*[\[(]\s*([^\])]*?)\s*[\])]\s*$|[\s_]+(k?w|mw|s|ms|watts?|utc)\s*$")
_UNIT_BEHIND = re.compile(r"\s*([km]?w|watts?)$", re.IGNORECASE)
_TIME_UNITS = (1.0, 1e3, 1e6, 1e9)
_EARLIEST_S, _LATEST_S = 946_684_800.0, 4_102_444_800.0  # 2000 .. 2100


class WallMeterError(Advised, ValueError):
    """What is wrong with a meter's file, and what to do about it. Nothing was stored."""

    def __init__(self, message: str, advice: str = "", *, is_other_time: bool = False) -> None:
        super().__init__(message, advice)
        self.is_other_time = is_other_time
        """The readings are whole, but of another time: perhaps the zone is wrong."""


@dataclass(frozen=True)
class WallReadings:
    """Readings in rising order of time."""

    times_ns: tuple[int, ...]
    """Wall clock, nanoseconds since 1970."""
    watts: tuple[float, ...]
    skipped: int = 0
    """Lines without a power, as meters write them while they start."""


def parse_wall_meter(text: str, zone: tzinfo | None = None) -> WallReadings:
    """Read a meter's CSV: times (ISO 8601, or seconds, milliseconds, ... since 1970) and watts under any of the usual
    headings, or in the first two columns where there is no heading. `zone` is what a time without a zone is in, None
    for this computer's. Raises `WallMeterError`."""
    rows = [(number, row) for number, row in _rows(text) if any(cell.strip() for cell in row)]
    if not rows:
        raise WallMeterError("The file has no readings.", "Export the meter's log as CSV with times and watts.")
    time_columns, power_column, factor, first = _columns(rows[0][1])
    if not first and len(rows[0][1]) > 2 and _separator(text) == ",":
        raise WallMeterError(
            f"The file has no headings and {len(rows[0][1])} columns.",
            "Is a decimal comma taken for a separator? Write a line time,watts,... above the readings.",
        )
    needed = max((*time_columns, power_column)) + 1
    cells: dict[int, str] = {}
    moments: dict[int, int] = {}
    for number, row in rows[first:]:
        if len(row) < needed:
            raise WallMeterError(
                f"Line {number} has {len(row)} columns; {needed} are needed.",
                "Is the file cut off, or separated by another sign than comma, semicolon or tab?",
            )
        if any(cell.strip() for cell in row[len(rows[0][1]) :]):
            raise WallMeterError(
                f"Line {number} has {len(row)} columns, the first line {len(rows[0][1])}.",
                "Is a decimal comma taken for a separator? Export with semicolons, or with decimal points.",
            )
        cells[number] = row[power_column].strip()
        moments[number] = _time_ns("T".join(row[column].strip() for column in time_columns), number, zone)
    filled = {
        number: cell for number, cell in cells.items() if cell and cell.lower() not in ("nan", "null", "none", "-")
    }
    readings = {moments[number]: watts for number, watts in _powers(filled, factor, text).items()}
    skipped = len(cells) - len(filled)
    if len(readings) < 2:
        raise WallMeterError(f"The file has {len(readings)} readings; energy needs two at the least.")
    times = sorted(readings)
    return WallReadings(tuple(times), tuple(readings[t] for t in times), skipped)


def _powers(cells: dict[int, str], factor: float, text: str) -> dict[int, float]:
    """Watts by line. One meter writes all its numbers in one way: what one of them leaves open, the others decide.
    `factor` is of cells without a unit of their own. Raises `WallMeterError`."""
    numbers = {number: _UNIT_BEHIND.sub("", cell) for number, cell in cells.items()}
    signs = {number: decimal_sign(cell) for number, cell in numbers.items() if "," in cell or "." in cell}
    points, commas = ([n for n, sign in signs.items() if sign == mark] for mark in ".,")
    if points and commas:
        raise WallMeterError(
            f"Line {commas[0]} has a decimal comma ({cells[commas[0]]}), line {points[0]} a decimal point "
            f"({cells[points[0]]}).",
            "Export the meter's log with one of them.",
        )
    decimal = "," if commas or (not points and _separator(text) == ";") else "." if points else ""
    powers = {}
    for number, cell in numbers.items():
        try:
            watts = parse_number(cell, decimal)
        except NotANumber as error:
            if error.readings:
                raise WallMeterError(
                    f"Line {number}: the power {cells[number]} may be {' or '.join(error.readings)}.",
                    "No other line decides it. Export without commas in numbers, or with semicolons between columns.",
                ) from error
            raise WallMeterError(
                f"Line {number}: {cells[number]!r} is no power.", "Power is a number, in watts."
            ) from error
        if watts < 0:
            raise WallMeterError(
                f"Line {number}: the power is below zero ({cells[number]}).", "Is this the meter of a solar inverter?"
            )
        unit = _UNIT_BEHIND.search(cells[number])
        powers[number] = watts * (_UNITS[unit[1].lower()] if unit else factor)
    return powers


def _lines(text: str) -> list[tuple[int, str]]:
    return [(n, line) for n, line in enumerate(text.lstrip("\ufeff").splitlines(), 1) if not line.startswith("#")]


def _separator(text: str) -> str:
    head = next((line for _, line in _lines(text) if line.strip()), "")
    return next((s for s in (";", "\t", ",") if s in head), ",")


def _rows(text: str) -> list[tuple[int, list[str]]]:
    lines = _lines(text)
    parsed = csv.reader(io.StringIO("\n".join(line for _, line in lines)), delimiter=_separator(text))
    return [(number, row) for (number, _), row in zip(lines, parsed, strict=False)]


def _columns(head: list[str]) -> tuple[tuple[int, ...], int, float, int]:
    """(columns of the time, or of date and time; column of power, factor to watts, number of heading lines)."""
    if len(head) >= 2 and re.match(r"\s*[-+]?[\d.,]", head[1]):
        return (0,), 1, 1.0, 0
    names = [_name(cell) for cell in head]
    times = [i for i, (name, _) in enumerate(names) if name in _TIME_NAMES]
    powers = [i for i, (name, unit) in enumerate(names) if name in _POWER_NAMES or (unit in _UNITS and i not in times)]
    # a heading that names the unit beats one that could be anything
    powers.sort(key=lambda i: (names[i][1] not in _UNITS, names[i][0] == "value"))
    if not times or not powers:
        what = "times" if not times else "watts"
        raise WallMeterError(
            f"No column of {what} was found. The headings are: {', '.join(cell.strip() for cell in head)}.",
            "Name the columns time and watts.",
        )
    both = [i for wanted in ("date", "time") for i in times if names[i][0] == wanted]
    return tuple(both) if len(both) == 2 else (times[0],), powers[0], _UNITS.get(names[powers[0]][1], 1.0), 1


def _name(cell: str) -> tuple[str, str]:
    """A heading without its unit, and the unit: "Active Power (kW)" -> ("active power", "kw")."""
    text = cell.strip().strip('"').lower()
    unit = ""
    if found := _UNIT.search(text):
        unit = (found.group(1) or found.group(2) or "").strip()
        text = text[: found.start()]
    text = re.sub(r"[\s_]+", " ", text).strip()
    return text, unit or (text if text in _UNITS else "")


def _time_ns(cell: str, number: int, zone: tzinfo | None) -> int:
    """Raises `WallMeterError`."""
    if re.fullmatch(r"\d+([.,]\d+)?", cell):
        whole, _, part = cell.replace(",", ".").partition(".")
        for unit in _TIME_UNITS:
            if _EARLIEST_S <= float(cell.replace(",", ".")) / unit <= _LATEST_S:
                scale = round(1e9 / unit)
                return int(whole) * scale + (round(float(f"0.{part}") * scale) if part else 0)
    else:
        try:
            moment = datetime.fromisoformat(cell.replace("/", "-"))
        except ValueError:
            moment = None
        if moment is not None:
            if moment.tzinfo is None:
                # with summer time as of that day, which a fixed offset of now would miss
                moment = moment.astimezone() if zone is None else moment.replace(tzinfo=zone)
            since = moment - datetime(1970, 1, 1, tzinfo=UTC)
            return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    raise WallMeterError(
        f"Line {number}: {cell!r} is not a time of this century.",
        "Times are ISO 8601 (2026-03-01T12:00:00) or seconds since 1970.",
    )


def to_trial_clock(readings: WallReadings, begin: ClockPair, end: ClockPair) -> WallReadings:
    """The readings of a trial's time in its monotonic nanoseconds, a few seconds more on both sides.

    Between the two clock pairs the wall clock is taken to run evenly: it is disciplined while the other is not. Raises
    `WallMeterError` where the clocks moved apart, or where no reading is of the trial's time."""
    wall, mono = end.wall_ns - begin.wall_ns, end.mono_ns - begin.mono_ns
    if wall <= 0 or mono <= 0 or abs(wall - mono) > CLOCK_TOLERANCE_S * 1e9:
        raise WallMeterError(
            "The wall clock jumped during this trial: the meter's times cannot be tied to it.", "Run the trial again."
        )
    margin = round(MARGIN_S * 1e9)
    first = bisect_left(readings.times_ns, begin.wall_ns - margin)
    last = bisect_right(readings.times_ns, end.wall_ns + margin)
    if last - first < 2:
        span = f"{_shown(readings.times_ns[0])} to {_shown(readings.times_ns[-1])}"
        raise WallMeterError(
            f"The meter's readings ({span}) are not of this trial's time ({_shown(begin.wall_ns)} to "
            f"{_shown(end.wall_ns)}).",
            "Is the meter's clock right? Times without a zone are taken to be this computer's; --zone names another.",
            is_other_time=True,
        )
    rate = mono / wall
    times = tuple(begin.mono_ns + round((t - begin.wall_ns) * rate) for t in readings.times_ns[first:last])
    return WallReadings(times, readings.watts[first:last], readings.skipped)


def _shown(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def import_wall_meter(
    store: Store, trial: str, path: Path, zone: tzinfo | None = None, assumptions: Assumptions = NOTHING_ASSUMED
) -> int:
    """Store a meter's readings with a trial (by id or number), under the source "wall_meter", and compute the trial's
    figures again. Importing again replaces what was imported. -> readings stored.

    Raises `WallMeterError`, `StoreError`."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise WallMeterError(
                f"{path.name} is larger than {MAX_FILE_BYTES // 2**20} MiB.", "Cut out the time of the trial."
            )
        content = path.read_bytes()
    except OSError as error:
        raise WallMeterError(f"{path} cannot be read: {error.strerror or error}.", "Name a CSV file.") from error
    try:
        readings = parse_wall_meter(content.decode("utf-8-sig"), zone)
    except UnicodeDecodeError as error:
        raise WallMeterError(f"{path.name} is not text.", "Export the meter's log as CSV, in UTF-8.") from error
    row = store.execute(GetTrial(trial=trial))
    begin = end = None
    ahead_ns = 0
    for record in replay(store, row.trial):
        if isinstance(record, TrialStarted):
            begin = record.clock
        elif isinstance(record, TrialEnded):
            end = record.clock
        elif isinstance(record, Telemetry) and record.source == intake.CLOCK:  # the meter's clock is this computer's
            ahead_ns = round(1e9 * (record.columns["ahead_s"][0] or 0.0))
    if begin is None or end is None:
        raise WallMeterError(f"Trial {row.number} has not run from start to end.", "Import when it has ended.")
    begin, end = (ClockPair(clock.wall_ns - ahead_ns, clock.mono_ns) for clock in (begin, end))
    mapped = to_trial_clock(readings, begin, end)
    stored = store.execute(
        AddSamples(
            trial=row.trial,
            source=SOURCE,
            quantity=QUANTITY,
            times_ns=mapped.times_ns,
            values=mapped.watts,
            file=path.name.encode("utf-8", "backslashreplace").decode(),
            sha256=hashlib.sha256(content).hexdigest(),
        )
    )
    intake.evaluate(store, row.trial, assumptions)
    return stored
