"""One thing that a person may set: its name, what it may hold, and its words. The experiment file, its reader and
writer, the window's forms, labels, defaults and docs/experiment-file.md are all made from it.

A struct's settings are written at its fields, `steps: Annotated[int, Setting("", "Steps", minimum=1)] = 60`, and read
by `settings_of`. Pure data; any thread.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

Scalar = bool | int | float | str | None
"""The value of a setting."""
SettingType = Literal["int", "float", "bool", "text"]

_TYPES: dict[object, SettingType] = {int: "int", float: "float", bool: "bool", str: "text"}


@dataclass(frozen=True)
class Setting:
    """At the field of a struct, `name`, `type`, `is_list`, `default` and a Literal's `choices` are the field's own."""

    name: str = ""
    title: str = ""
    """ "Prompt tokens"; in the middle of a sentence its first letter is small."""
    type: SettingType = "text"
    default: Scalar | tuple[Scalar, ...] = None
    """None: nothing is set. At the field of a struct only where a file that leaves it out means something else."""
    minimum: float | None = None
    maximum: float | None = None
    """Of a text its length."""
    choices: tuple[str, ...] = ()
    unit: str = ""
    help: str = ""
    """What it means, in a phrase or a sentence; may be Markdown with `code`."""
    sweep: bool = False
    """A list of values makes several configurations. The parameters of techniques always may."""
    is_list: bool = False
    """The value itself is a list."""
    short: str = ""
    """The title in a narrow form: "Prompt"; "" for the whole title."""
    group: str = ""
    """The heading of a form that it stands under; "" before all headings."""
    suffix: str = ""
    """What a field shows after its number, where that is not the unit: "0: all"."""
    unset: str = ""
    """What it means that nothing is set: "no limit"."""
    may_be_empty: bool = False
    pattern: str = ""
    pattern_text: str = ""
    """What the pattern asks for, in words."""
    example: str = ""
    """A value in TOML; "" where the default is one."""

    @property
    def label(self) -> str:
        """The title in the middle of a sentence: "prompt tokens", "GPU layers"."""
        return self.title if self.title[:2].isupper() else self.title[:1].lower() + self.title[1:]

    def with_value(self, value: object) -> str:
        """ "512 prompt tokens", "batch 4", "learning rate 0.0002"."""
        text = self.show(value)
        return f"{text} {self.label}" if self.unit and self.label.endswith(self.unit) else f"{self.label} {text}"

    @staticmethod
    def show(value: object) -> str:
        """ "1,024", "0.0002", "on"."""
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else show_value(value)

    def check(self, raw: object) -> tuple[Scalar, str, str]:
        """(value, "", "") where it can be used; (None, what is wrong, hint) where it cannot."""
        if self.type == "text":
            return self._check_text(raw)
        if self.type == "bool":
            if isinstance(raw, bool):
                return raw, "", ""
            return None, f"{self.name} is true or false, not {shown(raw)}.", self._example_hint()
        is_number = isinstance(raw, (int, float)) and not isinstance(raw, bool)
        if not is_number or (self.type == "int" and not isinstance(raw, int)):
            wanted = "a whole number" if self.type == "int" else "a number"
            return None, f"{self.name} is {wanted}{self._of_unit()}, not {shown(raw)}.", self._example_hint()
        assert isinstance(raw, (int, float))
        if isinstance(raw, float) and not math.isfinite(raw):
            return None, f"{self.name} is a finite number, not {shown(raw)}.", self._example_hint()
        low, high = self.minimum, self.maximum
        if (low is not None and raw < low) or (high is not None and raw > high):
            unit = f" {self.unit}" if self.unit and low is not None and high is not None else ""
            return None, f"{self.name} is {self.range_text()}{unit}, not {shown(raw)}.", ""
        return (float(raw) if self.type == "float" else raw), "", ""

    def _check_text(self, raw: object) -> tuple[Scalar, str, str]:
        if not isinstance(raw, str):
            return None, f"{self.name} is a text in quotes, not {shown(raw)}.", self._example_hint()
        if self.choices and raw not in self.choices:
            listed = " or ".join(part for part in (", ".join(self.choices[:-1]), self.choices[-1]) if part)
            return None, f"{self.name} is {listed}, not {shown(raw)}.", did_you_mean(raw, self.choices, show=0)
        if not raw.strip():
            if self.may_be_empty:
                return "", "", ""
            return None, f"{self.name} is empty.", self._example_hint()
        if self.maximum is not None and len(raw) > self.maximum:
            return None, f"{self.name} is longer than {self.maximum:g} characters.", ""
        if any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in raw):
            return None, f"{self.name} holds a control character or a line end.", "Use one line of plain text."
        if self.pattern and not re.fullmatch(self.pattern, raw):
            return None, f"{self.name} is {self.pattern_text}, not {shown(raw)}.", self._example_hint()
        return raw, "", ""

    def range_text(self) -> str:
        """ "1 to 100,000", "at least 1", or "" without bounds."""
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return f"{_plain(low)} to {_plain(high)}"
        if low is None and high is None:
            return ""
        return f"at least {_plain(low)}" if low is not None else f"at most {_plain(high or 0)}"

    def _of_unit(self) -> str:
        return f" of {self.unit}" if self.unit else ""

    def _example_hint(self) -> str:
        example = self.example or in_toml(self.default)
        return f"For example {self.name} = {example}." if example else ""


@functools.cache
def settings_of(struct: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """The settings written at a struct's fields, in their order; fields without one are none."""
    found: list[Setting] = []
    for field in msgspec.structs.fields(struct):
        setting = next((m for m in getattr(field.type, "__metadata__", ()) if isinstance(m, Setting)), None)
        if setting is None:
            continue
        annotation = typing.get_args(field.type)[0]
        type_, is_list = _plain_type(annotation)
        if typing.get_origin(annotation) is Literal:
            setting = replace(setting, choices=typing.get_args(annotation))
        default = setting.default
        if default is None:
            default = field.default if field.default is not msgspec.NODEFAULT else None
        found.append(replace(setting, name=field.name, type=type_, is_list=is_list, default=default))
    return tuple(found)


def _plain_type(annotation: object) -> tuple[SettingType, bool]:
    """ "int" of `int` and of `int | None`, a list of texts of `tuple[str, ...]`."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return _plain_type(args[0])[0], True
    if origin is Literal:
        return "text", False
    if origin in (types.UnionType, typing.Union):
        return _plain_type(next(a for a in args if a is not type(None)))
    return _TYPES[annotation], False


def in_toml(value: object) -> str:
    """A value as the experiment file writes it; "" of None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(in_toml(v) for v in value)}]"
    if isinstance(value, str):
        return f'"{value}"'
    return "" if value is None else str(value)


def show_value(value: object) -> str:
    """A value as a form and a title show it: "on", "0.05", "3e-4"."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and 0 < abs(value) < 0.01:
        mantissa, _, exponent = f"{value:.5e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def shown(value: object) -> str:
    """A value of a file as it stands in a message: quoted where it is text, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write very long numbers
        return "a very long number"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _plain(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def did_you_mean(word: str, known: Sequence[str], *, show: int = 8) -> str:
    """ "Did you mean 'bfloat16'?", or what there is (the first `show`), or "" where nothing is near."""
    near = difflib.get_close_matches(word.lower(), [k.lower() for k in known], n=1, cutoff=0.6)
    if near:
        return f"Did you mean {next(k for k in known if k.lower() == near[0])!r}?"
    if not show or not known:
        return ""
    listed = ", ".join(known[:show])
    return f"There {'is' if len(known) == 1 else 'are'}: {listed}{', ...' if len(known) > show else ''}."
