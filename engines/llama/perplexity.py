"""Loss of a window of held-out text (`engines.data.held_out`). Worker process."""

from __future__ import annotations

from collections.abc import Sequence

from engines.data.held_out import Losses
from engines.llama.context import Context
from engines.llama.library import Library
from engines.llama.score import score
from engines.worker.stop import Stop


def window_losses(library: Library, context: Context, stop: Stop) -> Losses:
    def losses(ids: Sequence[int], scored: int) -> list[float] | None:
        scores = score(library, context, ids, len(ids) - scored, stop)
        return None if scores is None else (-scores.log_probabilities).tolist()

    return losses
