"""`llm-workbench data`: training data before an experiment uses them: columns, bad rows, splits, and rows as tokens."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import msgspec

from engines.data.training.preview import Preview, ShownRow
from engines.models.lookup.resolve import resolve
from engines.protocol.places import places
from engines.protocol.problems import Problem
from engines.protocol.work import Training
from workbench.cli import OK, WRONG
from workbench.cli.main import complain
from workbench.running.data_preview import read_preview

_BAD = 10
"""Bad rows that are named."""


def data(options: argparse.Namespace) -> int:
    """Look at data; with a model, at its rows as tokens. Raises `PreviewFailed`."""
    if options.copy_to:
        from workbench.cli.copying import copy_data  # imported late, as the store is

        return copy_data(options)
    here, base = places(), Path.cwd()
    model = ""
    if options.model:
        found = resolve(options.model, here, base)
        if isinstance(found, Problem):
            complain(options, f"{found.place}: {found.message}", found.hint)
            return WRONG
        if not found.quality_available:
            complain(options, f"{found.order.title} has no tokenizer.", "Choose a model with its tokenizer.")
            return WRONG
        model = found.order.path
    workload = msgspec.structs.replace(
        Training(),
        data=options.data,
        prompt_column=options.prompt,
        response_column=options.response,
        messages_column=options.messages,
        text_column=options.text,
        loss_on=options.loss_on,
        template=options.template,
        sequence_tokens=options.sequence_tokens,
    )
    rows = range(options.first, options.first + options.rows)
    shown = read_preview(here, workload, base=base, rows=rows, model=model, fetch=True)
    if options.json:
        print(json.dumps(msgspec.to_builtins(shown), indent=2, ensure_ascii=False))
    else:
        _print(shown)
    return OK


def _print(found: Preview) -> None:
    columns = ", ".join(f"{kind}: {name}" for kind, name in found.columns.items() if name)
    splits = ", ".join(f"{name} {count:,}" for name, count in found.splits.items())
    print(f"{found.name}  {found.hash}")
    print(f"columns  {columns}  (of {', '.join(found.names)})")
    print(f"rows     {found.rows:,}, {found.bad:,} left out; {splits}")
    for bad in found.bad_rows[:_BAD]:
        print(f"         {bad.place} {bad.reason}")
    if found.bad > _BAD:
        print(f"         and {found.bad - _BAD:,} more")
    if found.template:
        print(f"template {found.template}{'' if found.has_template else ' (the tokenizer has no chat template)'}")
    for row in found.shown:
        print(f"\n{row.place}, {row.split or 'left out: a held-out row says the same'}")
        print("\n".join(_lines(row)))


def _lines(row: ShownRow) -> list[str]:
    """As tokens, what the loss counts between ⟦ and ⟧; without a model as it is written."""
    if row.left_out:
        return [f"  left out: {row.left_out}"]
    if not row.documents:
        return [f"  {role}: {text}" for role, text in row.turns] or [f"  {row.text}"]
    lines = []
    for one in row.documents:
        text, open_ = "", False
        for token, counts in zip(one.tokens, one.counts, strict=True):
            text += ("⟦" if counts and not open_ else "⟧" if open_ and not counts else "") + token
            open_ = counts
        cut = ", cut off" if row.truncated else ""
        lines += [f"  {len(one.ids):,} tokens, {one.trained:,} of them trained{cut}:", text + ("⟧" if open_ else "")]
    return [*lines, f"  … and {row.more_documents:,} more sequences"] if row.more_documents else lines
