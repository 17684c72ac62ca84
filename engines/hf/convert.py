"""The starter model: from its GGUF file to a folder in Hugging Face format. Imports torch; its own process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.hf import quiet
from engines.models.headers import read_gguf

quiet.before_import()

import torch  # noqa: E402
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Sequence  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: E402

quiet.after_import()


def convert_gguf(gguf: Path, folder: Path, report: Callable[[float, str], None]) -> None:
    """Write the weights of `gguf` into `folder` as bfloat16 safetensors, with config and tokenizer, readable by all.

    bfloat16 holds the dequantised 4-bit weights to within its rounding and takes half of float32's space. `report`
    gets (fraction 0..1, text). Raises what transformers, safetensors and the file system raise.
    """
    source = {"gguf_file": gguf.name, "local_files_only": True}
    report(0.0, "Reading the 4-bit weights")
    model = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent),
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
        trust_remote_code=False,
        **source,
    )
    report(0.6, "Writing bfloat16 weights")
    model.save_pretrained(folder)
    report(0.75, "Writing the tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), trust_remote_code=False, **source)
    tokenizer.backend_tokenizer.pre_tokenizer = splitting_rule(gguf)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # save_pretrained leaves some files to their owner alone
    folder.chmod(0o755)
    report(1.0, "Converted")


def splitting_rule(gguf: Path) -> PreTokenizer:
    """How a byte-level vocabulary splits text before merging, as the file names it (`tokenizer.ggml.pre`). transformers
    5.23 ignores that name and splits as GPT-2 does, which gives SmolLM2 other tokens where there are digits. Rules:
    src/llama-vocab.cpp of https://github.com/ggml-org/llama.cpp. Raises `ValueError` for a name that is not known here.
    """
    name = read_gguf(gguf).metadata.get("tokenizer.ggml.pre", "default")
    words = ByteLevel(add_prefix_space=False, use_regex=True)
    if name == "smollm":
        return Sequence([Digits(individual_digits=True), words])
    if name in ("gpt-2", "default"):
        return words
    raise ValueError(f"text is split by the rule {name!r}, which is not known here")
