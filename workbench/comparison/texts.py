"""What the configurations of an experiment wrote for the built-in prompts, side by side.

Greedy texts are the same in every trial of a configuration, so those of the earliest trial that has them are shown.
`arrange` is pure; `written_texts` blocks for two store operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.protocol.codec import read_record
from engines.protocol.records import WrittenText
from workbench.store.operations import (
    ConfigurationRow,
    ExperimentDetail,
    GetExperiment,
    ReadKinds,
    SaidRow,
    Store,
    TrialRow,
)

KIND = "written_text"


@dataclass(frozen=True)
class ConfigurationText:
    """What one configuration wrote for one prompt."""

    configuration: str
    title: str
    color: int
    is_baseline: bool
    trial: str = ""
    text: str | None = None
    """None: it wrote none, and `reason` says why."""
    tokens: int = 0
    ended: bool = False
    """Whether the model ended by itself before the limit."""
    templated: bool = False
    """Whether the prompt was put into the model's chat template."""
    begin: str = ""
    """The begin token before the prompt ("<bos> (2)"), where the tokenizer adds one."""
    first_difference: int | None = None
    """Index of the first character that is not the baseline's; a text that only ends earlier or later differs at the
    shorter one's length. None: the same text, the baseline itself, or nothing to compare with."""
    reason: str = ""

    @property
    def same_as_baseline(self) -> bool:
        """Whether both texts are there and equal, for another configuration than the baseline."""
        return self.text is not None and not self.is_baseline and self.first_difference is None and not self.reason


@dataclass(frozen=True)
class PromptTexts:
    """One prompt and what every configuration wrote, in the experiment's order."""

    prompt_id: str
    prompt: str
    texts: tuple[ConfigurationText, ...]


def written_texts(store: Store, experiment: str = "", *, baseline: str | None = None) -> tuple[PromptTexts, ...]:
    """The texts of an experiment (id, number, name; "" is the newest) in the order of its prompts; () where none was
    written. Raises `StoreError` code "not_found"."""
    detail = store.execute(GetExperiment(experiment=experiment))
    said = store.execute(ReadKinds(experiment=detail.experiment.experiment, kinds=(KIND,)))
    return arrange(detail, said, baseline=baseline)


def arrange(
    detail: ExperimentDetail, said: Sequence[SaidRow], *, baseline: str | None = None
) -> tuple[PromptTexts, ...]:
    """As `written_texts`, of what the store gave. `baseline` overrides the stored one; where that wrote nothing, the
    first configuration that wrote is compared with."""
    written: dict[tuple[str, str], dict[str, tuple[str, WrittenText]]] = {}
    for row in said:
        record = _decoded(row)
        if record is not None:
            found = written.setdefault((record.prompt_id, record.prompt), {})
            found.setdefault(row.configuration, (row.trial, record))
    configurations = sorted(detail.configurations, key=lambda c: c.position)
    wanted = baseline or detail.experiment.baseline
    return tuple(
        PromptTexts(prompt_id, prompt, _side_by_side(configurations, texts, wanted, detail.trials))
        for (prompt_id, prompt), texts in written.items()
    )


def first_difference(text: str, other: str) -> int | None:
    """Index of the first character in which two texts differ, None where they are the same."""
    if text == other:
        return None
    pairs = enumerate(zip(text, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(text), len(other)))


def _side_by_side(
    configurations: Sequence[ConfigurationRow],
    texts: dict[str, tuple[str, WrittenText]],
    wanted: str | None,
    trials: Sequence[TrialRow],
) -> tuple[ConfigurationText, ...]:
    pinned = wanted if wanted in texts else next(c.configuration for c in configurations if c.configuration in texts)
    reference = texts[pinned][1].text
    found: list[ConfigurationText] = []
    for row in configurations:
        is_baseline = row.configuration == pinned
        if row.configuration not in texts:
            why = _why_not([t for t in trials if t.configuration == row.configuration])
            found.append(ConfigurationText(row.configuration, row.title, row.color, is_baseline, reason=why))
            continue
        trial, record = texts[row.configuration]
        found.append(
            ConfigurationText(
                row.configuration,
                row.title,
                row.color,
                is_baseline,
                trial=trial,
                text=record.text,
                tokens=record.tokens,
                ended=record.ended,
                templated=record.templated,
                begin=record.begin or "",
                first_difference=None if is_baseline else first_difference(record.text, reference),
            )
        )
    return tuple(found)


def _why_not(trials: Sequence[TrialRow]) -> str:
    """Why a configuration wrote no text, from its trials of the first block: the only ones that write."""
    first = [t for t in trials if t.block == 0]
    if not first or any(t.state != "ended" for t in first):
        return "Its trial of the first block has not ended yet."
    if all(t.outcome != "completed" for t in first):
        return f"Its trial of the first block {'was ' if first[-1].outcome != 'failed' else ''}{first[-1].outcome}."
    return "Its trial wrote no text: the log of that trial says why."


def _decoded(row: SaidRow) -> WrittenText | None:
    record = read_record(row.line)
    return record if isinstance(record, WrittenText) else None
