"""What the Compare page remembers from one session to the next. Main thread."""

from __future__ import annotations

import json
from dataclasses import replace

from PySide6.QtCore import QSettings

from widgets.compare.table.views import Choice

_GROUP = "compare"


def save_choice(settings: QSettings, choice: Choice) -> None:
    """Columns and order; filter and closed eyes belong to the moment."""
    kept = {
        "metrics": list(choice.metrics),
        "by_trial": choice.by_trial,
        "differences_first": choice.differences_first,
        "sort": choice.sort,
        "descending": choice.descending,
    }
    settings.setValue(f"{_GROUP}/choice", json.dumps(kept))


def load_choice(settings: QSettings) -> Choice:
    """What was saved; the delivered choice where nothing, or something else, is found."""
    kept = _read(settings, f"{_GROUP}/choice")
    metrics = kept.get("metrics")
    sort = kept.get("sort")
    return replace(
        Choice(),
        metrics=tuple(m for m in metrics if isinstance(m, str)) if isinstance(metrics, list) else (),
        by_trial=kept.get("by_trial") is True,
        differences_first=kept.get("differences_first") is not False,
        sort=sort if isinstance(sort, str) else "",
        descending=kept.get("descending") is True,
    )


def save_layout(settings: QSettings, widths: dict[str, int], bars: str, pair: tuple[str, str], tab: int) -> None:
    kept = {"widths": widths, "bars": bars, "pair": list(pair), "tab": tab}
    settings.setValue(f"{_GROUP}/layout", json.dumps(kept))


def load_layout(settings: QSettings) -> tuple[dict[str, int], str, tuple[str, str], int]:
    """Column widths, metric of the bars, metrics of the trade-off, tab."""
    kept = _read(settings, f"{_GROUP}/layout")
    widths, bars, pair, tab = (kept.get(k) for k in ("widths", "bars", "pair", "tab"))
    numbers = {k: v for k, v in widths.items() if isinstance(v, int)} if isinstance(widths, dict) else {}
    two = tuple(p for p in pair if isinstance(p, str)) if isinstance(pair, list) else ()
    return (
        numbers,
        bars if isinstance(bars, str) else "",
        (two[0], two[1]) if len(two) == 2 else ("", ""),
        tab if tab in (1, 2) else 0,
    )


def save_shown(settings: QSettings, shown: str, newest: str) -> None:
    """The experiment that was shown, and the newest of that time."""
    settings.setValue(f"{_GROUP}/shown", json.dumps({"shown": shown, "newest": newest}))


def load_shown(settings: QSettings) -> tuple[str, str]:
    """What `save_shown` was given; empty where nothing was."""
    kept = _read(settings, f"{_GROUP}/shown")
    shown, newest = kept.get("shown"), kept.get("newest")
    return (shown, newest) if isinstance(shown, str) and isinstance(newest, str) else ("", "")


def _read(settings: QSettings, key: str) -> dict[str, object]:
    saved = settings.value(key)
    try:
        found = json.loads(saved) if isinstance(saved, str) else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}
