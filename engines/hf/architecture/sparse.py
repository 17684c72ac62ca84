"""Native sparse attention (arXiv 2502.11089) in the place of a llama block's attention. Worker process; imports torch.

The library's module has its own rotary positions, and a cache that transformers does not carry: with one it is refused
here, because generation with transformers' cache would be wrong without an error.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from engines.techniques.architecture.edited import ATTENTION, KEY, slot
from engines.worker.failures import WorkerFailure


def put_in(model: PreTrainedModel) -> None:
    """Replace the attention of every block of a decoder that was just made."""
    for block in model.model.layers:
        block.self_attn = SparseAttention(model.config)


class SparseAttention(torch.nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        from native_sparse_attention_pytorch import SparseAttention as Library

        super().__init__()
        ours = slot({KEY: getattr(config, KEY, None)}, ATTENTION)
        joined = config.head_dim * ours["block"]
        self.inner = Library(
            dim=config.hidden_size,
            dim_head=config.head_dim,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            sliding_window_size=ours["window"],
            compress_block_size=ours["block"],
            compress_block_sliding_stride=ours["block"],
            selection_block_size=ours["block"],
            num_selected_blocks=ours["selected"],
            # one block of one head passes through as many values as the head has: with the library's own width, that of
            # the block's vectors together, the network that compresses them would be larger than the rest of the model
            compress_mlp_expand_factor=(config.head_dim + 0.5) / joined,
            causal=True,
            norm=False,
            use_triton_kernel=False,
        )

        turns = self.inner.rotary_emb  # its frequencies are fixed: a buffer, so that nothing counts or trains them
        fixed = turns.freqs.detach().clone()
        del turns.freqs
        turns.register_buffer("freqs", fixed)

    def forward(self, hidden_states: torch.Tensor, **named: Any) -> tuple[torch.Tensor, None]:
        if named.get("past_key_values") is not None:
            raise WorkerFailure(
                "technique",
                "Native sparse attention has no cache in transformers.",
                "Call the model with use_cache=False.",
            )
        return self.inner(hidden_states), None
