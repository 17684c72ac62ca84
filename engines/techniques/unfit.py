"""Models that cannot do what is measured here, continuing a text, and settings that a model does not have. Pure.

By config.json as transformers 5.23 reads it, or a GGUF file's header: known before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping

from engines.techniques.layers_config import text_config

_ENCODER_DECODERS = frozenset({
    "t5", "mt5", "umt5", "longt5", "switch_transformers", "bart", "mbart", "pegasus", "pegasus_x", "marian", "m2m_100",
    "mvp", "led", "blenderbot", "blenderbot-small", "bigbird_pegasus", "plbart", "prophetnet", "nllb-moe", "fsmt",
    "encoder-decoder", "t5gemma", "whisper", "speech_to_text",
})  # fmt: skip
_ENCODERS = frozenset({
    "bert", "roberta", "distilbert", "albert", "electra", "deberta", "deberta-v2", "xlm-roberta", "xlm-roberta-xl",
    "camembert", "modernbert", "mpnet", "mobilebert", "squeezebert", "ernie", "nomic_bert", "megatron-bert", "rembert",
    "roformer", "big_bird", "convbert", "funnel", "layoutlm", "longformer", "luke", "nystromformer", "roc_bert",
    "roberta-prelayernorm", "data2vec-text", "xmod", "ibert", "eurobert", "jina_embeddings_v3", "neobert", "esm",
})  # fmt: skip
_GGUF_ENCODERS = frozenset({
    "bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3", "modern-bert", "eurobert",
    "gemma-embedding", "llama-embed", "t5encoder",
})  # fmt: skip
_SCORES = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice",
           "ForRewardModel", "RewardModel", "ForScore", "ForProcessRewardModel")  # fmt: skip
_WRITES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "WithLMHead", "DoubleHeads", "Decoder")
_POOLING = {1: "embeddings", 2: "embeddings", 3: "embeddings", 4: "scores"}
"""llama.cpp's `pooling_type`: mean, first token, last token, rank."""

EAGER_ONLY = frozenset({
    "bloom", "codegen", "cpmant", "deepseek_v4", "flint", "gemma2", "git", "got_ocr2", "gpt_neo", "gpt_neox_japanese",
    "gpt_oss", "gptj", "granite_swa", "granitemoe_swa", "hy_v4", "inkling2_text", "mimo_v2_flash", "mpt", "openai-gpt",
    "reformer", "trocr", "vaultgemma", "xglm", "xlm", "xlnet",
})  # fmt: skip
"""`model_type` of models with attention that have no "sdpa" in transformers."""


def unfit_config(config: Mapping[str, object]) -> str:
    """Why a model in Hugging Face format cannot continue a text; "" where it can."""
    text = text_config(config)
    kind = str(text.get("model_type") or config.get("model_type") or "")
    named = config.get("architectures")
    classes = [str(name) for name in named] if isinstance(named, list) else []
    shown = classes[0] if classes else kind
    if any(name.endswith(_SCORES) for name in classes):
        return f"{shown} is a classifier or reward model: it gives scores and writes no text."
    if kind in _ENCODER_DECODERS or text.get("is_encoder_decoder") is True:
        return f"{shown} is an encoder-decoder: it maps one text to another and cannot continue a text."
    if kind in _ENCODERS and text.get("is_decoder") is not True:
        return f"{shown} is an encoder: it reads a text in both directions and writes none."
    if classes and not any(part in name for part in _WRITES for name in classes) and classes[0].endswith("Model"):
        return f"{shown} was saved without an output head: it gives embeddings and writes no text."
    return ""


def unfit_gguf(metadata: Mapping[str, object]) -> str:
    """The same of a GGUF file, by its header."""
    kind = str(metadata.get("general.architecture", ""))
    if kind == "t5":
        return "A T5 is an encoder-decoder: it maps one text to another and cannot continue a text."
    if kind in _GGUF_ENCODERS or metadata.get(f"{kind}.attention.causal") is False:
        return f"The architecture {kind} is an encoder: it reads a text in both directions and writes none."
    pooling = metadata.get(f"{kind}.pooling_type")
    if isinstance(pooling, int) and pooling in _POOLING:
        return f"The file holds a model for {_POOLING[pooling]}: it writes no text."
    return ""
