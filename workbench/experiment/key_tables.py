"""The tables of docs/experiment-file.md, made from the settings: `python -m workbench.experiment.key_tables` rewrites
them, and a test compares.

Each stands under a line `<!-- keys: NAME -->` and ends at the next empty line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engines.protocol.settings import Setting, in_toml, settings_of
from workbench.experiment.experiment import KIND, KINDS, SCHEMA, Experiment, RunSettings, engine_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "experiment-file.md"
_SCHEMA = Setting("schema", "Schema", type="int", default=SCHEMA, help="version of this format")


def tables() -> dict[str, tuple[Setting, ...]]:
    """Settings by the name of their table."""
    inference, *others = KINDS
    return {
        "top": (_SCHEMA, *settings_of(Experiment)),
        inference: (KIND, *settings_of(KINDS[inference])),
        **{kind: settings_of(KINDS[kind]) for kind in others},
        "run": settings_of(RunSettings),
        "engine": engine_settings(),
    }


def table(settings: Sequence[Setting]) -> str:
    """Markdown: key, what it means and may hold, default, and whether it sweeps where one of them does."""
    sweeps = any(s.sweep for s in settings)
    last = (" sweep |", "---|") if sweeps else ("", "")
    lines = [f"| key | meaning | value | default |{last[0]}", f"|---|---|---|---|{last[1]}"]
    for setting in settings:
        default = setting.unset if setting.default is None else in_toml(setting.default)
        meaning = f"{setting.help[:1].upper()}{setting.help[1:]}"
        swept = (" yes |" if setting.sweep else " |") if sweeps else ""
        lines.append(f"| `{setting.name}` | {meaning} | {_value(setting)} | {default} |{swept}")
    return "\n".join(lines)


def _value(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(f'"{choice}"' for choice in setting.choices)
    if setting.type == "bool":
        return "true, false"
    if setting.type == "text":
        size = f"up to {setting.maximum:,g} characters" if setting.maximum else "text"
        return "list" if setting.is_list else size
    return f"{setting.range_text()} {setting.unit}".strip() or "number"


def rewritten(page: str) -> str:
    """The page with its tables as they are now."""
    for name, settings in tables().items():
        head, mark, rest = page.partition(f"<!-- keys: {name} -->\n")
        _, blank, below = rest.partition("\n\n")
        page = f"{head}{mark}{table(settings)}{blank}{below}" if mark else page
    return page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
