"""Which columns hold what: named by the experiment, or guessed from names and lengths; and a row's contents. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import msgspec

from engines.protocol.settings import did_you_mean
from engines.protocol.text_file import FileError
from engines.protocol.work import Training

_MESSAGES = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog")
_PROMPTS = ("prompt", "instruction", "question", "input", "query", "problem", "source", "user")
_RESPONSES = ("response", "completion", "output", "answer", "target", "solution", "reply", "chosen", "assistant")
_TEXTS = ("text", "content", "body", "document")
_JOIN = " + "
"""Between the names of columns that make one prompt together: "instruction + input"."""
_ROLES = {"human": "user"} | dict.fromkeys(("gpt", "ai", "bot", "model", "chatgpt"), "assistant")

Turn = tuple[str, str]
"""(role, text)"""


class ColumnError(FileError):
    """A column that the data has not; `setting` names it."""

    def __init__(self, message: str, advice: str, setting: str) -> None:
        super().__init__(message, advice)
        self.setting = setting


@dataclass(frozen=True)
class Example:
    """What a row says: turns of a conversation, or a text."""

    turns: tuple[Turn, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Columns:
    """Names of columns, "" for those that are not used. `prompt` may be several, "instruction + input"."""

    prompt: str = ""
    response: str = ""
    messages: str = ""
    text: str = ""

    @property
    def said(self) -> str:
        """For records: "prompt: question, response: answer"."""
        return ", ".join(f"{kind}: {name}" for kind, name in vars(self).items() if name)


def columns_of(workload: Training, sample: Sequence[Mapping[str, object]]) -> Columns:
    """Those that the workload names, the others guessed from some rows. Raises `ColumnError` where a name is no column,
    `FileError` where nothing can be guessed."""
    names = list(dict.fromkeys(name for fields in sample for name in fields))
    named = Columns(workload.prompt_column, workload.response_column, workload.messages_column, workload.text_column)
    for kind, name in vars(named).items():
        for part in _parts(name, names):
            if part not in names:
                hint = did_you_mean(part, names, show=20)
                raise ColumnError(f"The data has no column {part!r}.", hint, f"{kind}_column")
    if named.messages or named.text:
        return Columns(messages=named.messages) if named.messages else Columns(text=named.text)
    prompt = named.prompt or (_prompt(names, sample) if named.response else "")
    response = named.response or _named(names, _RESPONSES, not_=_parts(prompt, names))
    guessed = Columns(prompt, response) if named.prompt or named.response else _guessed(names, sample)
    if guessed == Columns() or bool(guessed.prompt) != bool(guessed.response):
        raise FileError(
            f"It cannot be guessed which columns hold what. There is: {', '.join(names)}.",
            "Name them: prompt_column and response_column, or messages_column, or text_column.",
        )
    return guessed


def _guessed(names: Sequence[str], sample: Sequence[Mapping[str, object]]) -> Columns:
    messages = _named(names, _MESSAGES) or next((n for n in names if any(_turns(f.get(n)) for f in sample)), "")
    if messages and any(_may_be_turns(fields.get(messages)) for fields in sample):
        return Columns(messages=messages)
    prompt, response = _prompt(names, sample), _named(names, _RESPONSES)
    if prompt and response:
        return Columns(prompt, response)
    text = _named(names, _TEXTS)
    if text:
        return Columns(text=text)
    longest = _longest(names, sample)[:2]
    if len(longest) < 2:
        return Columns(text="".join(longest))
    first, second = sorted(longest, key=list(names).index)
    return Columns(first, second)


def _may_be_turns(value: object) -> bool:
    """Whether a conversation is meant, also one that cannot be used: its rows say why."""
    if isinstance(value, str):
        return bool(re.match(r"\s*\[\s*\{", value))
    return isinstance(value, list) and any(isinstance(message, dict) for message in value)


def _prompt(names: Sequence[str], sample: Sequence[Mapping[str, object]]) -> str:
    """An instruction has its input beside it, where any row has one."""
    found = _named(names, _PROMPTS)
    more = next((name for name in names if name.lower() == "input"), "")
    if found.lower() == "instruction" and more and any(fields.get(more) for fields in sample):
        return f"{found}{_JOIN}{more}"
    return found


def _named(names: Sequence[str], known: Sequence[str], not_: Sequence[str] = ()) -> str:
    lower = {name.lower(): name for name in reversed(names) if name not in not_}
    return next((lower[name] for name in known if name in lower), "")


def _parts(written: str, names: Sequence[str]) -> list[str]:
    """The columns that a name stands for."""
    return [written] if written in names else [part for part in written.split(_JOIN) if part]


def example_of(fields: Mapping[str, object], columns: Columns) -> Example | str:
    """What a row says, or why it says nothing: "has no response"."""
    if columns.messages:
        return _conversation(fields.get(columns.messages))
    if columns.text:
        text = _string(fields.get(columns.text))
        return Example(text=text) if text else "has no text"
    values = [_string(fields.get(name)) for name in _parts(columns.prompt, list(fields))]
    response = _string(fields.get(columns.response))
    if None in (*values, response):
        return "has a list or an object where text is expected"
    prompt = "\n\n".join(value for value in values if value)
    if not prompt or not response:
        return "has no prompt" if response else "has no response" if prompt else "is empty"
    return Example((("user", prompt), ("assistant", response)))


def _string(value: object) -> str | None:
    """Text; "" where there is nothing but spaces, None for what is no text."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    return (value if value.strip() else "") if isinstance(value, str) else None


def _conversation(value: object) -> Example | str:
    if not value:
        return "has no messages"
    turns = _turns(value)
    if turns is None:
        return "holds messages that are not a list of role and text"
    last = max((n for n, (role, text) in enumerate(turns) if role == "assistant" and text.strip()), default=-1)
    if last < 0:
        return "has no message of the assistant"
    return Example(tuple(turns[: last + 1]))


def _said(content: object) -> object:
    """Text that is written as a list of parts in one piece; anything else as it is."""
    if not isinstance(content, list) or not content:
        return content
    parts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else content


def _turns(value: object) -> list[Turn] | None:
    """Messages as a list of {"role", "content"} or {"from", "value"}, also written as JSON; None for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return None
    if not isinstance(value, list) or not value:
        return None
    turns: list[Turn] = []
    for message in value:
        if not isinstance(message, dict):
            return None
        role, text = message.get("role", message.get("from")), _said(message.get("content", message.get("value")))
        if not isinstance(role, str) or not isinstance(text, str):
            return None
        turns.append((_ROLES.get(role.lower(), role.lower()), text))
    return turns


def text_column(sample: Sequence[Mapping[str, object]], named: str = "") -> str:
    """The column that holds plain text: the one that is named, or by its name, or the one with the longest texts.
    Raises `ColumnError` where there is no such column."""
    names = list(dict.fromkeys(name for fields in sample for name in fields))
    if named and named not in names:
        raise ColumnError(f"The data has no column {named!r}.", did_you_mean(named, names, show=20), "text_column")
    found = named or _named(names, _TEXTS) or next(iter(_longest(names, sample)), "")
    if not found:
        raise FileError(f"No column holds text. There is: {', '.join(names)}.", "Name one: text_column.")
    return found


def _longest(names: Sequence[str], sample: Sequence[Mapping[str, object]]) -> list[str]:
    """Columns with text, those with the longest first."""
    length = {name: fmean(len(v) if isinstance(v := f.get(name), str) else 0 for f in sample) for name in names}
    return sorted((name for name in names if length[name] > 0), key=lambda name: -length[name])
