"""One reason why a trial's figures do not hold, or hold with a caution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reason:
    code: str
    """"timing_identity", "busy_machine", ...: stable, stored, documented in docs/metrics.md."""
    severity: Literal["warning", "invalid"]
    message: str
    """A sentence with the figures in it."""
