"""The fields that the entries of all three axes of architecture share."""

from __future__ import annotations

from functools import partial

from engines.techniques.architecture import conditions
from engines.techniques.model import Technique

architecture = partial(
    Technique,
    implementation="engines.techniques.architecture.edited:edit",
    stage="config",
    works=("pretraining", "inference"),
    packages=("torch", "transformers"),
    obstacle=conditions.made_from_a_shape,
)
"""An entry that edits the config before the model is built."""
