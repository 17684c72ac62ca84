"""`python -m engines data-preview`: rows of training data as tokens, printed as one JSON object.

A process of its own: a model's tokenizer may take seconds to import. Exit codes: 0 printed, 1 refused, with
{"message", "advice"} printed instead.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from engines.data.training.fetching import fetch_dataset
from engines.data.training.preview import OPTIONS, Preview, preview
from engines.hf import quiet
from engines.protocol.orders import ModelKind, ModelOrder
from engines.protocol.places import places, starter_folder
from engines.protocol.settings import settings_of
from engines.protocol.text_file import FileError
from engines.protocol.work import Training
from engines.worker.failures import WorkerFailure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for setting in settings_of(Training):
        if setting.name in OPTIONS:
            parser.add_argument("--" + setting.name.replace("_", "-"), metavar="VALUE", help=setting.help)
    parser.add_argument("--model", metavar="MODEL", help="folder, GGUF file or hub id; without it no tokens are shown")
    parser.add_argument("--rows", default="0:20", metavar="FIRST:END", help="which of the usable rows (0:20)")
    parser.add_argument("--fetch", action="store_true", help="fetch a dataset of the hub that is not here")


def run(options: argparse.Namespace) -> int:
    try:
        found: Preview | dict[str, str] = _preview(options)
        code = 0
    except FileError as error:
        found, code = {"message": str(error), "advice": error.advice}, 1
    except WorkerFailure as failure:
        found, code = {"message": failure.message, "advice": failure.advice}, 1
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return code


def _preview(options: argparse.Namespace) -> Preview:
    written = {name: value for name in OPTIONS if (value := getattr(options, name)) is not None}
    try:
        workload = msgspec.convert(written, Training, strict=False)
        first, _, end = options.rows.partition(":")
        rows = range(int(first or 0), int(end or 0))
    except (msgspec.ValidationError, ValueError) as error:
        raise FileError(f"These options cannot be used: {error}.", "See --help.") from error
    if options.fetch:
        fetch_dataset(workload.data)
    if not options.model:
        return preview(workload, rows, None, lambda ids: [])
    return _with_tokens(workload, rows, _model_order(options.model))


def _with_tokens(workload: Training, rows: range, order: ModelOrder) -> Preview:
    if order.kind != "gguf":  # a tokenizer of its own files needs no torch, whose import takes most of the time
        sys.modules["torch"] = None  # type: ignore[assignment]
    quiet.before_import()
    try:
        from engines.hf.tokenizer import load_tokenizer, tokenizer_of
    except ModuleNotFoundError as error:
        raise FileError(
            f"The package {error.name} is missing: no tokens can be shown.",
            "Install the transformers engine: pip install 'llm-workbench[transformers]'",
        ) from error
    quiet.after_import()
    loaded = load_tokenizer(order)
    if loaded is None:
        raise FileError(f"{order.title} has no tokenizer.", "Choose a model with its tokenizer.")
    tokenizer = tokenizer_of(order, loaded)
    return preview(workload, rows, tokenizer, tokenizer.texts)


def _model_order(written: str) -> ModelOrder:
    """As the plan has resolved it, or "starter"."""
    starter = starter_folder(places()) if written == "starter" else None
    path = starter or Path(written).expanduser()
    kind: ModelKind = "folder" if path.is_dir() else "gguf" if path.is_file() else "hub"
    return ModelOrder(ref=written, title=written, kind=kind, path=written if kind == "hub" else str(path.absolute()))
