"""When training ends: a rule that is fixed before it begins, the same for every method. Torch-free; worker.

Every step counts, warm-up steps too, since they train; evaluation does not. At least one measured step is made.
"""

from __future__ import annotations

from collections.abc import Mapping

from engines.protocol.work import AnyTraining


class Budget:
    """What training has spent so far, and whether that is all it may."""

    def __init__(self, training: AnyTraining) -> None:
        self._training = training
        self.tokens = 0
        self.time_s = 0.0
        self.steps = 0
        self.reached = False
        """Whether the rule has ended training. Never by `steps`, which remains the most whatever the rule."""

    def spend(self, *, tokens: int = 0, time_s: float = 0.0, steps: int = 0) -> None:
        self.tokens, self.time_s, self.steps = self.tokens + tokens, self.time_s + time_s, self.steps + steps
        self.reached = self.reached or self.share >= 1

    def spent(self) -> dict[str, float]:
        """For a checkpoint."""
        return {"tokens": self.tokens, "time_s": self.time_s, "steps": self.steps, "reached": float(self.reached)}

    def resume(self, spent: Mapping[str, float]) -> None:
        self.tokens, self.time_s, self.steps = int(spent["tokens"]), spent["time_s"], int(spent["steps"])
        self.reached = bool(spent["reached"])

    def evaluated(self, loss: float) -> None:
        """Take in a validation loss (nats a token) from between two steps."""
        if self._training.stop_at == "loss" and loss <= self._training.target_loss:
            self.reached = True

    @property
    def share(self) -> float:
        """Share of the tokens or the time that is spent; 0 where neither ends training."""
        if self._training.stop_at == "tokens":
            return self.tokens / max(1, self._training.token_budget)
        if self._training.stop_at == "time":
            return self.time_s / max(1e-9, self._training.time_budget_s)
        return 0.0

    def steps_left(self, most: int) -> int:
        """How many more steps, at most `most`, the time is likely to allow; at least 1."""
        if self._training.stop_at != "time" or not self.steps:
            return most
        return max(1, min(most, int((self._training.time_budget_s - self.time_s) / (self.time_s / self.steps))))

    def told(self) -> str:
        """Why training ended, in a sentence; "" where the rule has not ended it."""
        if not self.reached:
            return ""
        training = self._training
        return {
            "tokens": f"{self.tokens:,} of {training.token_budget:,} tokens",
            "time": f"{self.time_s:.1f} s of {training.time_budget_s:g} s of steps",
            "loss": f"the validation loss reached {training.target_loss:g}",
        }[training.stop_at]
