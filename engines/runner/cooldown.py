"""Waiting until a device is as cool as it was before the first trial of its experiment. On the runner's loop.

Without it, the trials of an experiment start warmer and warmer, and heat becomes a result. Where there is no
thermometer no trial waits, and no temperature is recorded.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from engines.protocol.orders import TrialOrder

if TYPE_CHECKING:
    from engines.telemetry.device_sensors import Thermometer

NEAR_KELVIN = 3.0
"""A trial may start this much warmer than the first one did."""
LONGEST_S = 120.0
_LOOK_S = 1.0
_REMEMBERED = 64

Facts = dict[str, str]
Tell = Callable[[str], None]
"""Called with the text for the queue."""


def _thermometer(device: str) -> Thermometer | None:
    from engines.telemetry.device_sensors import thermometer  # late: a runner that only answers needs no sensors

    return thermometer(device)


class CoolDown:
    """One for a runner. Remembers the first start temperature of the last experiments, by device."""

    def __init__(
        self,
        find: Callable[[str], Thermometer | None] | None = None,
        *,
        longest_s: float = LONGEST_S,
        look_s: float = _LOOK_S,
    ) -> None:
        self._find = find or _thermometer
        self._longest_s = longest_s
        self._look_s = look_s
        self._first: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def wait(self, order: TrialOrder, give_up: asyncio.Event, tell: Tell) -> Facts:
        """Wait until the trial's device is within 3 K of its experiment's first start, two minutes at most, or until
        `give_up`. -> facts of what happened; {} without a thermometer."""
        instrument = await asyncio.to_thread(self._find, order.device)
        if instrument is None:
            return {}
        try:
            return await self._wait(order, instrument, give_up, tell)
        finally:
            await asyncio.to_thread(instrument.close)

    async def read(self, device: str) -> float | None:
        """The temperature now (degrees Celsius), None without a thermometer."""

        def once() -> float | None:
            instrument = self._find(device)
            if instrument is None:
                return None
            try:
                return instrument.read()
            finally:
                instrument.close()

        return await asyncio.to_thread(once)

    async def _wait(self, order: TrialOrder, instrument: Thermometer, give_up: asyncio.Event, tell: Tell) -> Facts:
        now = await asyncio.to_thread(instrument.read)
        if now is None:
            return {}
        first = self._first_of(order, now)
        start, deadline = monotonic(), monotonic() + self._longest_s
        limit, found = first + NEAR_KELVIN, now
        while now is not None and now > limit and monotonic() < deadline and not give_up.is_set():
            tell(f"Cooling down, {now:.0f} °C, waiting for {limit:.0f} °C")
            try:
                await asyncio.wait_for(give_up.wait(), min(self._look_s, max(0.0, deadline - monotonic())))
            except TimeoutError:
                now = await asyncio.to_thread(instrument.read)
        facts = {"temperature.first_start_celsius": f"{first:g}", "cooldown.waited_s": f"{monotonic() - start:.1f}"}
        if now is None:
            return {**facts, "cooldown.ended": "the thermometer stopped answering"}
        ended = "cool enough" if now <= limit else "given up" if give_up.is_set() else "longest time reached"
        return {
            **facts,
            "temperature.before_cooldown_celsius": f"{found:g}",
            "temperature.start_celsius": f"{now:g}",
            "cooldown.ended": ended,
        }

    def _first_of(self, order: TrialOrder, now: float) -> float:
        key = (order.experiment, order.device)
        first = self._first.setdefault(key, now)
        self._first.move_to_end(key)
        while len(self._first) > _REMEMBERED:
            self._first.popitem(last=False)
        return first
