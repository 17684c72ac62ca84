"""Methods that train virtual tokens and leave every weight of the model alone."""

from __future__ import annotations

from functools import partial

from engines.protocol.settings import Setting
from engines.techniques.finetune import conditions, counts
from engines.techniques.finetune.shared import PEFT, method, rate

PREFIX, PROMPT, P_TUNING = "finetune.prefix", "finetune.prompt", "finetune.p-tuning"

_prompt = partial(method, group="Prompts")
_TOKENS = Setting(
    name="virtual_tokens",
    title="Virtual tokens",
    short="Tokens",
    type="int",
    default=20,
    minimum=1,
    maximum=1000,
    unit="tokens",
    help="Trained tokens before each sequence; they are computed like all others, and never scored.",
)
_WIDTH = Setting(
    name="encoder_width",
    title="Encoder width",
    short="Width",
    type="int",
    default=128,
    minimum=1,
    maximum=8192,
    help="Width of the three layers that make the virtual tokens.",
)
_START = Setting(
    name="start",
    title="Start",
    type="text",
    default="vocabulary",
    choices=("vocabulary", "random"),
    help="vocabulary: from embeddings of tokens drawn at random; random: from random numbers.",
)

TECHNIQUES = (
    _prompt(
        id=PREFIX,
        title="Prefix tuning",
        sentence="Trains keys and values of virtual tokens in every layer.",
        source=f"Li & Liang 2021, arXiv 2101.00190; {PEFT}",
        parameters=(_TOKENS, rate(1e-2)),
        obstacle=conditions.needs_full_cache,
        conflict=conditions.together(
            conditions.as_stored, conditions.virtual_tokens("Prefix tuning"), conditions.no_checkpointing
        ),
        trained=counts.prefix,
    ),
    _prompt(
        id=PROMPT,
        title="Prompt tuning",
        sentence="Trains the embeddings of virtual tokens before each sequence.",
        source=f"Lester et al. 2021, arXiv 2104.08691; {PEFT}",
        parameters=(_TOKENS, _START, rate(3e-2)),
        conflict=conditions.together(conditions.as_stored, conditions.virtual_tokens("Prompt tuning")),
        trained=counts.prompt,
    ),
    _prompt(
        id=P_TUNING,
        title="P-tuning",
        sentence="Trains a small network that makes the embeddings of virtual tokens.",
        source=f"Liu et al. 2021, arXiv 2103.10385; {PEFT}",
        parameters=(_TOKENS, _WIDTH, rate(1e-3)),
        conflict=conditions.together(conditions.as_stored, conditions.virtual_tokens("P-tuning")),
        trained=counts.p_tuning,
    ),
)
