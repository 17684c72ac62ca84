"""The curves that a training trial's records hold: of each step, of the held-out losses between, of memory by part.

Plain numpy; owned by one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engines.protocol.records import Evaluation, MemoryParts, Step
from workbench.charts.channel import Channel
from workbench.charts.token_series import append_rising
from workbench.charts.x_axis import StepColumns

HELD_OUT, TEST = "held_out", "test_loss"
ENERGY = "step_energy"
"""Key of the joules that the steps have used so far."""
PARTS = ("weights", "gradients", "optimiser", "activations", "temporary")
CHANNELS = {
    "loss": ("Loss", "nats/token"),
    HELD_OUT: ("Held-out loss", "nats/token"),
    TEST: ("Test loss", "nats/token"),
    "gradient_norm": ("Gradient norm", ""),
    "learning_rate": ("Learning rate", ""),
    "training_throughput": ("Throughput", "tokens/s"),
    "data_share": ("Data waits", "ratio"),
    ENERGY: ("Energy of the steps", "J"),
} | {f"part:{part}": (part.capitalize(), "B") for part in PARTS}


class TrainingSeries:
    """`channel` gives the trial's channel of a key, made where it is not there yet."""

    def __init__(self, channel: Callable[[str], Channel]) -> None:
        self._channel = channel
        self.columns = StepColumns()
        self._parts: MemoryParts | None = None

    def add_step(self, record: Step, start_s: float, end_s: float) -> None:
        """One point a step at its end, of what the record holds."""
        spent_s = end_s - start_s
        waited = record.data_s + spent_s
        self.columns.add(record, start_s, end_s)
        self._append("loss", end_s, record.loss)
        self._append("gradient_norm", end_s, record.gradient_norm)
        self._append("learning_rate", end_s, record.learning_rate)
        self._append("training_throughput", end_s, record.tokens / spent_s if spent_s > 0 else None)
        self._append("data_share", end_s, record.data_s / waited if waited > 0 else None)
        if self._parts is not None:
            begun = (start_s,) if self.columns.axes["step"].count == 1 else ()
            for part in PARTS:
                for at_s in (*begun, end_s):
                    self._append(f"part:{part}", at_s, float(getattr(self._parts, f"{part}_bytes")))

    def add_evaluation(self, record: Evaluation, at_s: float) -> None:
        """A loss of the weights as the last step left them: it stands where that step ended."""
        if record.step is None and not record.name.startswith("held_out"):
            return
        if record.tokens > 0:
            ends = self.columns.axes["step"].knots.times
            at = float(ends[-1]) if len(ends) else at_s
            self._append(TEST if record.split == "test" else HELD_OUT, at, record.nll_sum / record.tokens)

    def add_parts(self, record: MemoryParts) -> None:
        """Of one untimed step; drawn under the steps that follow."""
        self._parts = record

    def take_energy(self, counter: Channel | None, power: Channel | None) -> None:
        """Readings of the device's meter have become more."""
        if counter is not None and len(counter):
            self.columns.take_counter(counter)
        elif power is not None and len(power):
            self.columns.take_power(power)
        knots = self.columns.axes["energy"].knots
        if len(knots):
            channel = self._channel(ENERGY)
            known = len(channel)
            append_rising(channel, knots.times[1::2][known:], knots.values[1::2][known:])

    def _append(self, key: str, at: float, value: float | None) -> None:
        if value is not None:
            append_rising(self._channel(key), np.array([at]), np.array([value]))
