"""Loss on held-out text over the windows of `engines.workload.windows`, as every engine computes it. Worker process."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engines.llama.context import Context
from engines.llama.library import Library
from engines.llama.score import score
from engines.worker.stop import Stop
from engines.workload.windows import windows


def negative_log_likelihood(
    library: Library, context: Context, ids: Sequence[int], tokens: int, size: int, stop: Stop
) -> float | None:
    """Sum over `tokens` scored tokens of -ln p (nats), in windows of `size`. None when stopped."""
    parts: list[float] = []
    for window in windows(tokens, size):
        scores = score(library, context, ids[window.start : window.end], window.counted - window.start, stop)
        if scores is None:
            return None
        parts.append(-float(scores.log_probabilities.sum()))
    return math.fsum(parts)
