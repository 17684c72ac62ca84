"""`engines.worker` that trains `HELD_AT` steps and then waits until it is killed or asked to stop: a small model is
otherwise done before a test can end it."""

from __future__ import annotations

import sys
import time

from engines.worker import __main__ as worker
from engines.worker.works.training import Stretch, TrainingWork

HELD_AT = 16
_train = TrainingWork._train


def held(self: TrainingWork, stretch: Stretch) -> None:
    while stretch.steps.start >= HELD_AT and not self._trial.stop.requested:
        time.sleep(0.01)
    _train(self, stretch)


if __name__ == "__main__":
    TrainingWork._train = held  # type: ignore[method-assign]
    sys.exit(worker.main())
