"""A Hugging Face tokenizer as GGUF's vocabulary: byte-level BPE, or SentencePiece. No heavy import.

llama.cpp splits text before merging by one of the rules it was built with, named in `tokenizer.ggml.pre`. The name is
found here from the rule in tokenizer.json itself, never from the model's name; a rule that is not known fails, because
another rule would give other tokens and so another perplexity. `engines.llama.convert.check` compares the outcome.
Rules: src/llama-vocab.cpp of https://github.com/ggml-org/llama.cpp; tokenizer.json: https://github.com/huggingface/tokenizers
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engines.llama.convert import sentencepiece
from engines.llama.convert.sentencepiece import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, Piece
from engines.worker.failures import WorkerFailure

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {
    # (rule, whether whole words are taken before merging) -> llama.cpp's name
    (_CONTRACTIONS + _WORDS + r"\p{N}{1,3}" + _REST, True): "llama-bpe",
    (_CONTRACTIONS + _WORDS + r"\p{N}{1,3}" + _REST, False): "dbrx",
    (_CONTRACTIONS + _WORDS + r"\p{N}" + _REST, False): "qwen2",
    (_CASED, True): "tekken",
}
_SPACE = "▁"


@dataclass(frozen=True)
class Vocabulary:
    """What goes under `tokenizer.` in a GGUF file. `pieces` are in order of their ids."""

    model: str
    """"gpt2" (byte-level BPE) or "llama" (SentencePiece)."""
    pieces: tuple[Piece, ...]
    merges: tuple[str, ...] = ()
    pre: str = "default"
    bos: int | None = None
    eos: int | None = None
    unknown: int | None = None
    padding: int | None = None
    add_bos: bool = False
    add_eos: bool = False
    space_prefix: bool = False
    chat_template: str = ""
    cautions: tuple[str, ...] = ()


def read_vocabulary(folder: Path, config: Mapping[str, object], size: int) -> Vocabulary:
    """The tokenizer of a model folder, filled up to `size` ids. Raises `WorkerFailure`."""
    try:
        document = _json(folder / "tokenizer.json")
        settings = _json(folder / "tokenizer_config.json")
        if (folder / "tokenizer.model").is_file():
            found = _of_sentencepiece(folder / "tokenizer.model", document, settings)
        elif not document:
            raise _cannot("the folder has neither tokenizer.json nor tokenizer.model")
        else:
            found = _of_json(document)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _cannot(f"its files are damaged or of another format ({type(error).__name__}: {error})") from error
    if len(found.pieces) > size:
        raise _cannot(f"it has {len(found.pieces):,} tokens, and the model only {size:,}")
    fill = tuple(Piece(f"[PAD{n}]", 0.0, UNUSED) for n in range(len(found.pieces), size))
    with_ids = _with_special_ids(replace(found, pieces=found.pieces + fill), config, settings)
    return replace(
        with_ids,
        chat_template=_chat_template(folder, settings),
        add_bos=_adds(document, settings, with_ids, "bos"),
        add_eos=_adds(document, settings, with_ids, "eos"),
    )


def _of_json(document: Mapping[str, Any]) -> Vocabulary:
    model = document["model"]
    if model.get("type") != "BPE":
        raise _cannot(f"it is of type {model.get('type')}, not BPE")
    if model.get("byte_fallback"):
        return _of_fallback_bpe(document)
    pieces = _by_id(model["vocab"], NORMAL)
    _mark_added(pieces, document.get("added_tokens", ()))
    return Vocabulary(
        model="gpt2",
        pieces=_dense(pieces),
        merges=tuple(_merge_text(m) for m in model["merges"]),
        pre=pre_tokenizer(document),
        cautions=_normaliser_cautions(document),
    )


def pre_tokenizer(document: Mapping[str, Any]) -> str:
    """llama.cpp's name of the rule by which a byte-level tokenizer.json splits text. Raises `WorkerFailure`."""
    whole_words = bool(document["model"].get("ignore_merges"))
    steps = _steps(document.get("pre_tokenizer"))
    byte_level = steps[-1] if steps and steps[-1].get("type") == "ByteLevel" else None
    if byte_level is not None and not byte_level.get("add_prefix_space"):
        before = steps[:-1]
        if byte_level.get("use_regex", True):
            if not before and not whole_words:
                return "gpt-2"
            if [s.get("type") for s in before] == ["Digits"] and before[0].get("individual_digits") and not whole_words:
                return "smollm"
        elif len(before) == 1 and before[0].get("type") == "Split" and _is_isolated(before[0]):
            name = _SPLITS.get((before[0].get("pattern", {}).get("Regex", ""), whole_words))
            if name:
                return name
    shown = json.dumps(document.get("pre_tokenizer"), ensure_ascii=False)
    raise _cannot(
        f"it splits text by a rule that is not known here ({shown[:300]}); another rule would give other tokens"
    )


def _is_isolated(step: Mapping[str, Any]) -> bool:
    """Split on the matches and keep them; "removed" with `invert` says the same."""
    behaviour, inverted = step.get("behavior"), bool(step.get("invert"))
    return (behaviour == "Isolated" and not inverted) or (behaviour == "Removed" and inverted)


def _normaliser_cautions(document: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = [step.get("type") for step in _steps(document.get("normalizer"))]
    if not kinds:
        return ()
    if kinds == ["NFC"]:
        return ("text is not brought to Unicode's form NFC first, as the model's own tokenizer does",)
    raise _cannot(f"it changes text before splitting it ({', '.join(map(str, kinds))}), which llama.cpp does not do")


# --- SentencePiece ---------------------------------------------------------------------------------


def _of_sentencepiece(file: Path, document: Mapping[str, Any], settings: Mapping[str, Any]) -> Vocabulary:
    model = sentencepiece.read(file)
    if model.kind != "bpe":
        raise _cannot(f"it is a SentencePiece model of type {model.kind}; llama.cpp's is BPE")
    pieces = dict(enumerate(model.pieces))
    added = list(document.get("added_tokens", ()))
    for number, entry in settings.get("added_tokens_decoder", {}).items():
        added.append({"id": int(number), **entry})
    _mark_added(pieces, added, keep=len(model.pieces))
    return Vocabulary(model="llama", pieces=_dense(pieces), space_prefix=model.dummy_prefix)


def _of_fallback_bpe(document: Mapping[str, Any]) -> Vocabulary:
    """A SentencePiece model that was rewritten as merges (Llama 2, the first Mistral): a piece's score is the rank of
    the merge that makes it, as it was in the original."""
    model = document["model"]
    pieces = {n: Piece(text, 0.0, NORMAL) for text, n in model["vocab"].items()}
    ids = model["vocab"]
    for rank, merge in enumerate(model["merges"]):
        text = _merge_text(merge).replace(" ", "", 1)
        if text in ids and pieces[ids[text]].score == 0.0:
            pieces[ids[text]] = Piece(text, -float(rank + 1), NORMAL)
    last = -float(len(model["merges"]) + 1)
    for number, piece in pieces.items():
        if sentencepiece.is_byte(piece.text):
            pieces[number] = Piece(piece.text, 0.0, BYTE)
        elif piece.score == 0.0:
            pieces[number] = Piece(piece.text, last, NORMAL)
    _mark_added(pieces, document.get("added_tokens", ()))
    unknown = model.get("unk_token")
    if unknown in ids:
        pieces[ids[unknown]] = Piece(unknown, 0.0, UNKNOWN)
    return Vocabulary(model="llama", pieces=_dense(pieces), space_prefix=_has_space_prefix(document))


def _has_space_prefix(document: Mapping[str, Any]) -> bool:
    normaliser = _steps(document.get("normalizer"))
    kinds = [step.get("type") for step in normaliser]
    if kinds in (["Prepend", "Replace"], ["Replace"]):
        return kinds[0] == "Prepend"
    splits = _steps(document.get("pre_tokenizer"))
    if not kinds and [s.get("type") for s in splits] == ["Metaspace"] and splits[0].get("replacement") == _SPACE:
        return splits[0].get("prepend_scheme", "always") != "never"
    raise _cannot("it changes text before splitting it in a way that is not known here")


# --- parts -----------------------------------------------------------------------------------------


def _by_id(vocabulary: Mapping[str, int], kind: int) -> dict[int, Piece]:
    return {number: Piece(text, 0.0, kind) for text, number in vocabulary.items()}


def _mark_added(pieces: dict[int, Piece], added: Iterable[Mapping[str, Any]], keep: int = 0) -> None:
    """Give added tokens their kind: special ones are control tokens, others are found in text as they are written. Of
    the first `keep` ids only the kind of normal pieces changes."""
    for entry in added:
        number, kind = int(entry["id"]), CONTROL if entry.get("special") else USER_DEFINED
        if number < keep and pieces[number].kind != NORMAL:
            continue
        score = pieces[number].score if number in pieces else -1000.0
        pieces[number] = Piece(str(entry["content"]), score, kind)


def _dense(pieces: Mapping[int, Piece]) -> tuple[Piece, ...]:
    """In order of id; an id nobody has gets a name that no text gives."""
    return tuple(pieces.get(n, Piece(f"[PAD{n}]", 0.0, UNUSED)) for n in range(max(pieces, default=-1) + 1))


def _merge_text(merge: str | list[str]) -> str:
    return merge if isinstance(merge, str) else " ".join(merge)


def _steps(node: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The steps of a normaliser, pre-tokeniser or post-processor, a sequence or a single one."""
    if not node:
        return []
    if node.get("type") != "Sequence":
        return [node]
    for name in ("pretokenizers", "normalizers", "processors"):
        if name in node:
            return list(node[name])
    return []


def _with_special_ids(found: Vocabulary, config: Mapping[str, object], settings: Mapping[str, Any]) -> Vocabulary:
    """By the tokenizer's own settings, then by the model's config (its first id where it names several)."""
    ids = {piece.text: n for n, piece in reversed(list(enumerate(found.pieces)))}

    def id_of(name: str) -> int | None:
        said = settings.get(f"{name}_token")
        text = said.get("content") if isinstance(said, dict) else said
        if isinstance(text, str) and text in ids:
            return ids[text]
        value = config.get(f"{name}_token_id")
        value = value[0] if isinstance(value, list) and value else value
        return value if isinstance(value, int) and 0 <= value < len(found.pieces) else None

    return replace(found, bos=id_of("bos"), eos=id_of("eos"), unknown=id_of("unk"), padding=id_of("pad"))


def _adds(document: Mapping[str, Any], settings: Mapping[str, Any], found: Vocabulary, which: str) -> bool:
    """Whether the tokenizer puts this token around a text by itself: as in transformers (5) tokenizer.json decides,
    where there is one."""
    wanted = found.bos if which == "bos" else found.eos
    if wanted is None:
        return False
    if not document:
        said = settings.get(f"add_{which}_token")
        return said if isinstance(said, bool) else which == "bos"
    for step in _steps(document.get("post_processor")):
        if step.get("type") == "TemplateProcessing" and step.get("single"):
            end = step["single"][0 if which == "bos" else -1].get("SpecialToken", {}).get("id")
            return end == found.pieces[wanted].text
    return False


def _chat_template(folder: Path, settings: Mapping[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    said = settings.get("chat_template", "")
    if isinstance(said, list):
        said = next((entry.get("template", "") for entry in said if entry.get("name") == "default"), "")
    return said if isinstance(said, str) else ""


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def _cannot(why: str) -> WorkerFailure:
    return WorkerFailure(
        "technique",
        f"The model's tokenizer cannot be written as GGUF: {why}.",
        "Run the model with the transformers engine, or give a GGUF file of it.",
    )
