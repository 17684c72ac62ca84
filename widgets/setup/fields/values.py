"""What a person types into a field, as values: one, a list, or a range that makes a sweep. No Qt.

"128"             one value
"128, 512"        a list
"128..1024 x2"    128, 256, 512, 1024
"16..64 +16"      16, 32, 48, 64; without a step whole numbers go up by one
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engines.protocol.settings import Scalar, Setting, SettingType, show_value
from workbench.typed_numbers import NotANumber, parse_number, without_spaces

MOST_VALUES = 100
"""Longer ranges are a slip of the finger: a plan holds a thousand configurations at the most."""
_RANGE = re.compile(r"(\S+?)\s*\.\.\s*(\S+?)(?:\s*([x×*+])\s*(\S+))?")
_BOOLS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


@dataclass(frozen=True)
class Parsed:
    """`values` are usable only where `error` is empty."""

    values: tuple[Scalar, ...] = ()
    error: str = ""


class _Wrong(Exception):
    pass


def parse_values(text: str, setting: Setting, *, optional: bool = False) -> Parsed:
    """The values a text means, or one sentence about the first thing that is wrong with it. `optional`: an empty text
    means no value."""
    if optional and not text.strip():
        return Parsed()
    try:
        values = tuple(_values(text, setting))
    except _Wrong as error:
        return Parsed(error=str(error))
    if not setting.sweep and len(values) > 1:
        return Parsed(error="One value only: this cannot be swept.")
    for value in values:
        message = problem_of(setting, value)
        if message:
            return Parsed(error=message)
    if len(set(values)) < len(values):
        twice = next(v for i, v in enumerate(values) if v in values[:i])
        return Parsed(error=f"{show_value(twice)} is in the list twice.")
    return Parsed(values)


def show_values(values: Sequence[Scalar]) -> str:
    """ "128, 512", "on", "0.05"."""
    return ", ".join(show_value(v) for v in values)


def problem_of(setting: Setting, value: object) -> str:
    """What is wrong with a value, with the words of the form; "" where nothing is."""
    _, message, hint = setting.check(value)
    message = message.replace(setting.name, setting.short or setting.title, 1)
    return f"{message}{f' {hint}' if hint and 'example' not in hint else ''}"


def tip(setting: Setting) -> str:
    """What a field means: "Prompt of each sequence. A list or a range makes a sweep"."""
    text = setting.help.replace("`", "")
    return f"{text[:1].upper()}{text[1:]}{'. A list or a range makes a sweep' if setting.sweep else ''}"


def _values(text: str, setting: Setting) -> Iterator[Scalar]:
    kind = setting.type
    if kind == "text" and not setting.sweep:
        yield text.strip()
        return
    if kind in ("int", "float"):
        for token in text.split() if setting.sweep else [text]:
            _ask_about_comma(token.strip().strip(","), setting)
    parts = [part.strip() for part in text.split(",")]
    if parts == [""]:
        raise _Wrong("A value is missing.")
    for part in parts:
        if not part:
            raise _Wrong("A value is missing beside a comma.")
        found = _RANGE.fullmatch(part) if kind in ("int", "float") else None
        if found:
            yield from _range(found[1], found[2], found[3], found[4], kind)
        else:
            yield _value(part, kind)


def _ask_about_comma(token: str, setting: Setting) -> None:
    """ "1,979" is one number to some and two values to others: whoever typed it says which."""
    if "," not in token or ".." in token:
        return
    try:
        numbers = [f"{parse_number(token):.15g}"]
    except NotANumber as error:
        numbers = list(error.readings)
    kind = setting.type
    fitting = (n for n in numbers if kind == "float" or n.isdecimal())
    spellings = [n for n in fitting if not problem_of(setting, _number(n, kind))]
    parts = token.split(",")
    if spellings and setting.sweep and not any(re.match(r"0\d", part) for part in parts):
        spellings.append(", ".join(parts))
    if spellings:
        raise _Wrong(f"“{token}”: write {' or '.join(spellings)}.")


def _value(text: str, kind: SettingType) -> Scalar:
    if kind == "bool":
        if text.lower() not in _BOOLS:
            raise _Wrong(f"on or off, not “{text}”.")
        return _BOOLS[text.lower()]
    if kind == "text":
        return text
    return _number(text, kind)


def _number(text: str, kind: SettingType) -> int | float:
    if re.fullmatch(r"0\d+", text):
        raise _Wrong(f"“{text}” begins with a zero: write thousands without a comma (1024).")
    plain = without_spaces(text)
    if re.fullmatch(r"[-+]?\d+", plain):
        return int(plain)
    try:
        value = parse_number(plain)
    except NotANumber:
        value = None
    if value is None or kind == "int":
        wanted = "A whole number" if kind == "int" else "A number"
        raise _Wrong(f"{wanted} is needed, not “{text}”.")
    return value


def _range(first: str, last: str, sign: str | None, step: str | None, kind: SettingType) -> Iterator[int | float]:
    low, high = _number(first, kind), _number(last, kind)
    if not low < high:
        raise _Wrong(f"The range {first}..{last} does not go up.")
    by: int | float = 1
    if sign is not None and step is not None:
        by = _number(step, "float" if sign != "+" else kind)
    elif kind == "float":
        raise _Wrong(f"The range needs a step: {first}..{last} +0.1 or x2.")
    multiply = sign is not None and sign != "+"
    if by <= (1 if multiply else 0) or (multiply and low <= 0):
        raise _Wrong(f"The range {first}..{last} never ends with this step.")
    value, count = low, 0
    while value <= high * (1 + 1e-9):
        if count == MOST_VALUES:
            raise _Wrong(f"The range has more than {MOST_VALUES} values.")
        yield round(value) if kind == "int" else float(f"{value:.10g}")
        value = value * by if multiply else value + by
        count += 1
