"""Keeps libraries' progress bars and start-up remarks out of the trial's log. Worker process."""

from __future__ import annotations

import logging
import os
import warnings

_CHATTY = (
    "torchao",  # names each compiled extension that was built for another Python
    "torch.utils._pytree",  # deprecations inside torchao
    "torch.distributed",
    "accelerate",
    "bitsandbytes",  # a line for each product in 8 bits, thousands in a trial
)


def before_import() -> None:
    """Call before transformers, torchao or bitsandbytes are imported."""
    os.environ["TQDM_DISABLE"] = "1"
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)


def after_import() -> None:
    """Call once transformers is imported: errors only, no bars."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
