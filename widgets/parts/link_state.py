"""The state of a machine's link as a word and its colour, the same on every page. No Qt."""

from __future__ import annotations

from workbench.machines.machine import THIS
from workbench.running.events import RunnerLink

LOST = {"host_key": ("host key", "warn"), "login": ("login refused", "error"), "setup": ("not set up", "warn")}
"""By the code of a lost link; any other is a machine that does not answer."""
NO_ANSWER = ("no answer", "error")
LAST_KNOWN = "no answer, last known"
"""Of what a lost link brought."""


def link_state(machine: str, link: RunnerLink | None, *, answered: bool) -> tuple[str, str]:
    """("connected", "good"): word, and "good", "warn", "error" or "neutral". `answered`: it has been probed."""
    here = machine == THIS
    if link is None:
        return (("ready", "good") if answered else ("starting", "neutral")) if here else ("not connected", "neutral")
    if link.state == "connected":
        return ("ready" if here else "connected", "good")
    if link.state == "connecting":
        return ("starting" if here else "connecting", "neutral")
    return LOST.get(link.code, NO_ANSWER)
