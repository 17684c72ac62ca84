"""A llama of 2 layers with a trained tokenizer, made in a second: the real model of fast tests.

`make_tiny_model(folder)` puts it there; it is built once per machine (under the system's temporary folder, named by a
hash of the recipe) and copied. Weights are random but seeded, so every copy is the same. Imports torch when called.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

VOCABULARY = 512
HIDDEN = 64
LAYERS = 2
CONTEXT_TOKENS = 1024
_RECIPE_VERSION = 2
BEGINS = {
    "type": "TemplateProcessing",
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
}
"""A post-processor that puts "<s>" before a text."""


def make_tiny_model(folder: Path, *, begins: bool = False) -> Path:
    """Copy the tiny model (config, float32 safetensors, tokenizer) into `folder`, which is made; returns it. With
    `begins` its tokenizer puts "<s>" (0) before a text."""
    shutil.copytree(_cached(), folder, dirs_exist_ok=True)
    if begins:
        file = folder / "tokenizer.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "post_processor": BEGINS}))
    return folder


def large_model(folder: Path, size_bytes: int) -> Path:
    """A model that is too large to be read at a glance and takes no disk: its one matrix is a hole in the file."""
    make_tiny_model(folder)
    header = {"lm_head.weight": {"dtype": "U8", "shape": [size_bytes, 1], "data_offsets": [0, size_bytes]}}
    head = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as out:
        out.write(len(head).to_bytes(8, "little") + head)
        out.truncate(8 + len(head) + size_bytes)
    return folder


def _cached() -> Path:
    """The built model; made in a folder of its own and renamed, so that parallel test runs do not meet."""
    recipe = Path(__file__).read_bytes() + sys.version.encode()
    digest = hashlib.sha256(recipe).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"llm-workbench-tiny-{os.getuid()}-{digest}"
    if target.is_dir():
        return target
    building = Path(tempfile.mkdtemp(prefix=f"{target.name}-"))
    try:
        _build(building)
        building.rename(target)
    except OSError:
        if not target.is_dir():  # somebody else was faster, or the disk is full
            raise
        shutil.rmtree(building, ignore_errors=True)
    return target


def _text() -> list[str]:
    """The standard library's help topics: text that every machine has."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def _build(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_text(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20240613)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # save_pretrained leaves 0600
    folder.chmod(0o755)
