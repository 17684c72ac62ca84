"""What will not show with the seeds that are planned, and how many would show less. No Qt. Imported late: its numbers
need numpy, which the window starts without.
"""

from __future__ import annotations

import math

from widgets.setup.plan.rows import Seeing
from workbench.statistics.seeds import Seeds, share

_MOST_OFFERED = 100


def seeing(known: Seeds | None, seeds: int, methods: int) -> Seeing:
    """`known`: what an earlier run of these configurations showed."""
    if methods < 2:
        return Seeing()
    if known is None:
        return Seeing("To learn which differences will show, first run two methods with 2 seeds.")
    seen = known.seen(seeds)
    if seen is None:
        offered = _offer(known, seeds, math.inf)
        return Seeing("With one seed, no difference shows.", *offered)
    text = f"With {seeds} seeds, differences under {share(seen[0])} will not show."
    return Seeing(text, *_offer(known, seeds, seen[0]))


def _offer(known: Seeds, seeds: int, seen: float) -> tuple[str, int]:
    """The number of seeds that shows half as much, or what five show where only one is planned."""
    wanted = _round(seen / 2) if math.isfinite(seen) else _round((known.seen(5) or (0.01,))[0])
    found = known.needed(wanted).seeds
    if found is None or not seeds < found <= _MOST_OFFERED:
        return "", 0
    return f"{found} show {share(wanted)}", found


def _round(value: float) -> float:
    """To one digit."""
    return float(f"{value:.0e}")
