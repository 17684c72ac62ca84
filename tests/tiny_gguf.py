"""A llama of 2 layers in one GGUF file with a tokenizer of bytes and a few merges: the real model of llama.cpp's tests.

`write_tiny_gguf(file, ...)` makes it anew in a few milliseconds; weights are random but seeded. Its options make the
files that an engine must refuse. Needs the package gguf; neither torch nor llama_cpp.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants

HIDDEN = 64
LAYERS = 2
HEADS = 2
KV_HEADS = 1
FEED_FORWARD = 128
CONTEXT_TOKENS = 1024
MERGES = ("Ġ t", "h e", "i n", "Ġ a", "e r", "o n", "r e", "Ġt he", "Ġ s", "a t", "e n", "o r", "s t", "Ġ i", "in g")
TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
FLOATS = {"F32": GGMLQuantizationType.F32, "F16": GGMLQuantizationType.F16}


def write_tiny_gguf(
    file: Path,
    *,
    stored: str = "F32",
    architecture: str = "llama",
    tokenizer: bool = True,
    template: str = TEMPLATE,
    context_tokens: int = CONTEXT_TOKENS,
    heads: int = HEADS,
    spread: float = 0.2,
    norm_epsilon: float = 1e-5,
    parts: tuple[int, int] | None = None,
    tensors_a_part: int = 0,
    window: int = 0,
    kv_heads: tuple[int, ...] = (),
    begins: bool | None = False,
    splits: str = "gpt-2",
    file_type: int | None = None,
) -> Path:
    """Matrices are stored as `stored`: "F32", "F16" or "Q8_0". Without a `tokenizer` the file says that it has none.
    `parts` (number from 1, of how many) only says that the file is one of several; it holds a whole model.
    `tensors_a_part` writes a model in several parts, "NAME-00001-of-00003.gguf"; -> the first.
    With a `window` (tokens) it is a small Cohere 2, whose layers attend to so many tokens only. `kv_heads`, one a
    layer, stand in the header in place of the one number; the tensors stay as they are.
    `begins`: whether the file says that texts begin with "<s>" (0); None: it says nothing, and the way text is
    split (`splits`) decides."""
    file.parent.mkdir(parents=True, exist_ok=True)
    architecture = "cohere2" if window else architecture
    writer = GGUFWriter(file, architecture, split_max_tensors=tensors_a_part)
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(heads)
    writer.add_head_count_kv(list(kv_heads) or KV_HEADS)
    writer.add_layer_norm_rms_eps(norm_epsilon)
    writer.add_rope_dimension_count(HIDDEN // heads)
    writer.add_rope_freq_base(10000.0)
    if window:
        writer.add_layer_norm_eps(norm_epsilon)
        writer.add_float32(f"{architecture}.logit_scale", 1.0)
        writer.add_uint32(f"{architecture}.attention.sliding_window", window)
    if parts:
        writer.add_uint16("split.no", parts[0] - 1)
        writer.add_uint16("split.count", parts[1])
    if file_type is not None:
        writer.add_file_type(file_type)
    words = vocabulary()
    writer.add_vocab_size(len(words))
    if tokenizer:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(splits)
        writer.add_token_list(words)
        writer.add_token_types([TokenType.CONTROL] * 2 + [TokenType.NORMAL] * (len(words) - 2))
        writer.add_token_merges(list(MERGES))
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        if begins is not None:
            writer.add_add_bos_token(begins)
        writer.add_chat_template(template)
    else:
        writer.add_tokenizer_model("no_vocab")
    _add_tensors(writer, len(words), stored, heads, spread, feed_forward_norm=not window)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    written = writer.format_shard_names(file)
    writer.close()
    return Path(written[0])


def vocabulary() -> list[str]:
    """ "<s>", "</s>", the 256 bytes as GPT-2 writes them, and what the merges make."""
    return ["<s>", "</s>", *_byte_letters(), *("".join(merge.split()) for merge in MERGES)]


def _byte_letters() -> list[str]:
    """GPT-2's letter for each byte: printable ones stand for themselves, the others follow from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _add_tensors(
    writer: GGUFWriter, words: int, stored: str, heads: int, spread: float, *, feed_forward_norm: bool
) -> None:
    random = np.random.default_rng(20240613)
    size = HIDDEN // heads

    def matrix(name: str, rows: int, columns: int) -> None:
        values = random.normal(0.0, spread, (rows, columns)).astype(np.float32)
        kind = FLOATS.get(stored) or GGMLQuantizationType[stored]
        writer.add_tensor(f"{name}.weight", quants.quantize(values, kind), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(HIDDEN, np.float32))

    matrix("token_embd", words, HIDDEN)
    norm("output_norm")
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        norm(f"{block}.attn_norm")
        matrix(f"{block}.attn_q", heads * size, HIDDEN)
        matrix(f"{block}.attn_k", KV_HEADS * size, HIDDEN)
        matrix(f"{block}.attn_v", KV_HEADS * size, HIDDEN)
        matrix(f"{block}.attn_output", HIDDEN, heads * size)
        if feed_forward_norm:
            norm(f"{block}.ffn_norm")
        matrix(f"{block}.ffn_gate", FEED_FORWARD, HIDDEN)
        matrix(f"{block}.ffn_up", FEED_FORWARD, HIDDEN)
        matrix(f"{block}.ffn_down", HIDDEN, FEED_FORWARD)
