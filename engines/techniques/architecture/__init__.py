"""Architectures as data: shapes, what techniques make of them, and what that costs. No torch.

- `shapes`: what models are made from     - `attention`, `positions`, `feedforward`: the axes and their techniques
- `edited`: the config that is built      - `counts`: its parameters, and matching them     - `costs`: to run
"""

from engines.techniques.architecture.costs import cache_bytes, facts, reference_speed
from engines.techniques.architecture.counts import Parts, counts, matched
from engines.techniques.architecture.edited import edited
from engines.techniques.architecture.shapes import SHAPES

__all__ = ["SHAPES", "Parts", "cache_bytes", "counts", "edited", "facts", "matched", "reference_speed"]
