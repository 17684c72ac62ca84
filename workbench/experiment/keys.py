"""What the keys of an experiment file may hold: type, range, choices. The file's reader, its writer and the window's
forms use the same list.

Pure data; any thread.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engines.catalogue import engines

KeyType = Literal["int", "float", "text", "bool"]


@dataclass(frozen=True)
class Key:
    """One key of a table. `sweep`: a list means several runs; `is_list`: the value itself is a list."""

    name: str
    type: KeyType
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    pattern_text: str = ""
    """What the pattern asks for, in words."""
    sweep: bool = False
    is_list: bool = False
    may_be_empty: bool = False
    unit: str = ""
    example: str = ""

    def check(self, raw: object) -> tuple[object, str, str]:
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
            return None, f"{self.name} is {self._range_text()}, not {shown(raw)}.", ""
        return (float(raw) if self.type == "float" else raw), "", ""

    def _check_text(self, raw: object) -> tuple[object, str, str]:
        if not isinstance(raw, str):
            return None, f"{self.name} is a text in quotes, not {shown(raw)}.", self._example_hint()
        if self.choices and raw not in self.choices:
            listed = " or ".join(self.choices)
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

    def _range_text(self) -> str:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return f"{_plain(low)} to {_plain(high)}{f' {self.unit}' if self.unit else ''}"
        return f"at least {_plain(low or 0)}" if low is not None else f"at most {_plain(high or 0)}"

    def _of_unit(self) -> str:
        return f" of {self.unit}" if self.unit else ""

    def _example_hint(self) -> str:
        return f"For example {self.name} = {self.example}." if self.example else ""


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


MAX_TRIALS = 1000
MAX_SEED = 2**32 - 1
TOP = (
    Key("name", "text", maximum=200, example='"precision of SmolLM2"'),
    Key("seed", "int", 0, MAX_SEED, example="7"),
    Key("models", "text", maximum=4096, is_list=True, example='["smollm2-135m-instruct"]'),
)
WORKLOAD = (
    Key("task", "text", choices=("generate", "answer", "summarise")),
    Key("prompt_tokens", "int", 1, 1_000_000, sweep=True, unit="tokens", example="128"),
    Key("new_tokens", "int", 1, 100_000, sweep=True, unit="tokens", example="64"),
    Key("batch_size", "int", 1, 4096, sweep=True, unit="sequences", example="1"),
    Key("depth_tokens", "int", 0, 1_000_000, sweep=True, unit="tokens", example="0"),
    Key("prompt_file", "text", maximum=4096, may_be_empty=True, example='"prompts.txt"'),
    Key("requests", "int", 1, 10_000, example="3"),
    Key("window_s", "float", 0, 3600, unit="seconds", example="5.0"),
    Key("warmup_requests", "int", 0, 1000, example="10"),
    Key("perplexity_tokens", "int", 0, 10_000_000, unit="tokens", example="1024"),
    Key("text_tokens", "int", 0, 100_000, unit="tokens", example="64"),
    Key("tasks", "text", maximum=200, is_list=True, example='["gsm8k-sample"]'),
    Key("task_samples", "int", 0, 1_000_000, unit="questions", example="50"),
    Key("idle_s", "float", 0, 600, unit="seconds", example="2.0"),
    Key("prefill_energy_s", "float", 0, 600, unit="seconds", example="5.0"),
)
RUN = (
    Key(
        "machines",
        "text",
        maximum=200,
        pattern=r"this(/\S+)?",
        pattern_text='"this" or "this/DEVICE"',
        is_list=True,
        example='["this"]',
    ),
    Key("trials", "int", 1, MAX_TRIALS, example="5"),
    Key("stop_at_ratio", "float", 0.001, 1, example="0.02"),
    Key(
        "stop_metric",
        "text",
        pattern=r"[a-z][a-z0-9_]*",
        pattern_text="the id of a metric",
        example='"decode_tokens_per_second"',
    ),
    Key(
        "skip",
        "text",
        maximum=200,
        pattern=r"[0-9a-f]{8,64}(@\S+)?",
        pattern_text="the hash of a configuration (at least its first 8 digits)",
        is_list=True,
        example="[]",
    ),
    Key("telemetry_hz", "float", 0, 20, unit="Hz", example="10.0"),
)
ENGINE = (
    Key("id", "text", choices=("auto", *(e.id for e in engines()))),
    Key("threads", "int", 0, 1024, example="0"),
    Key("attention", "text", choices=("sdpa", "eager")),
    Key("batch_tokens", "int", 1, 1_000_000, unit="tokens", example="2048"),
    Key("micro_batch_tokens", "int", 1, 1_000_000, unit="tokens", example="512"),
    Key("flash_attention", "text", choices=("auto", "on", "off")),
    Key("gpu_layers", "int", -1, 10_000, unit="layers", example="-1"),
    Key("memory_map", "bool", example="true"),
    Key("start_method", "text", choices=("auto", "plain", "template")),
    Key("memory_limit_bytes", "int", 64 * 2**20, 2**50, unit="bytes", example="8_000_000_000"),
    Key("time_limit_s", "float", 1, 30 * 86400, unit="seconds", example="600.0"),
)
