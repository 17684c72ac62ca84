"""The data axis: what is left out of the text that a model is pretrained on.

The vocabulary is made of the whole text, so that losses a token compare; held-out splits stay as they are.
"""

from __future__ import annotations

from functools import partial

from engines.protocol.settings import Setting
from engines.techniques.model import Axis, Technique

AXIS = Axis(id="data", title="Data", sentence="What is left out of the text before training.", default="")

_filter = partial(
    Technique,
    implementation="engines.data.filters.techniques:rule_of",
    stage="data",
    works=("pretraining",),
)

TECHNIQUES = (
    _filter(
        id="data.exact",
        title="Without exact copies",
        sentence="Of documents with the same words in the same order only the first is read.",
        source="Lee et al. 2022, https://arxiv.org/abs/2107.06499",
    ),
    _filter(
        id="data.near",
        title="Without near copies",
        sentence="Of documents that share most of their runs of five words only the first is read.",
        source="datasketch, https://ekzhu.com/datasketch; Lee et al. 2022, https://arxiv.org/abs/2107.06499",
        packages=("datasketch",),
        parameters=(
            Setting(
                name="similarity",
                title="Similarity",
                type="float",
                default=0.8,
                minimum=0.3,
                maximum=1.0,
                help="Shared runs of words over all (Jaccard) from which a document is a copy.",
            ),
        ),
    ),
    _filter(
        id="data.quality",
        title="Quality rules",
        sentence="Documents that are short, repeat themselves, or compress like noise are left out.",
        source="Gopher, Rae et al. 2021, https://arxiv.org/abs/2112.11446, appendix A.1.1",
        parameters=(
            Setting(
                name="characters",
                title="Shortest",
                type="int",
                default=200,
                minimum=0,
                maximum=1_000_000,
                unit="characters",
                help="Characters that a document has at least.",
            ),
            Setting(
                name="compression",
                title="Compression",
                type="float",
                default=1.3,
                minimum=0.0,
                maximum=100.0,
                help="Bytes over compressed bytes (zlib) at least: noise has about 1, prose 2 to 3.",
            ),
            Setting(
                name="repeated_lines",
                title="Repeated lines",
                type="float",
                default=0.3,
                minimum=0.0,
                maximum=1.0,
                help="Share of lines that are copies of earlier ones, at most.",
            ),
            Setting(
                name="repeated_words",
                title="Repeated words",
                type="float",
                default=0.1,
                minimum=0.0,
                maximum=1.0,
                help="Share of characters in runs of ten words that were there before, at most.",
            ),
        ),
    ),
)
