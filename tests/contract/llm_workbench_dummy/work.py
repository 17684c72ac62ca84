"""A kind of work as data: counting."""

from __future__ import annotations

from typing import Annotated

from engines.protocol.settings import Setting
from engines.protocol.work import OtherWork


class Counting(OtherWork, frozen=True, kw_only=True, tag="counting"):
    """Numbers, one after the other."""

    numbers: Annotated[
        int, Setting(title="Numbers", minimum=1, maximum=100, unit="numbers", help="how far", sweep=True)
    ] = 3


WORKLOAD = Counting
WORK = "llm_workbench_dummy.counting:CountingWork"
NEEDS = "model"
