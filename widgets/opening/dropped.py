"""What a file dropped on the window or named on the command line is for. Pure paths; no Qt."""

from __future__ import annotations

from pathlib import Path

from engines.data.training.files import READERS
from engines.protocol.prompt_file import SUFFIXES
from widgets.shell.targets import AddModel, ImportFolder, OpenExperimentFile, UsePrompts

_BUNDLE = "bundle.json"


def target_of(path: Path) -> AddModel | ImportFolder | OpenExperimentFile | UsePrompts | str:
    """What to do with a file, or a sentence that says why nothing can be done with it."""
    if not path.exists():
        return f"{path.name} is not there any more."
    if path.is_dir():
        # without its last file it is half a bundle: the import says so better than this could
        if (path / _BUNDLE).is_file() or (path / "trials.parquet").exists():
            return ImportFolder(path)
        if (path / "config.json").is_file():
            return AddModel(path)
        return (
            f"{path.name} has neither config.json (a model folder in Hugging Face format) nor {_BUNDLE} (an exported "
            "experiment)."
        )
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        return AddModel(path)
    if suffix == ".toml":
        return OpenExperimentFile(path)
    if path.name == _BUNDLE or (suffix == ".parquet" and (path.parent / _BUNDLE).is_file()):
        return ImportFolder(path.parent)
    if suffix in SUFFIXES:
        return UsePrompts(path)
    if path.name == "config.json" or suffix == ".safetensors":
        return AddModel(path.parent)
    if suffix in READERS:
        return f"{path.name} is data to train on: choose Fine-tuning in Setup, and drop it on the field of its file."
    return (
        f"{path.name} is not a model folder, a GGUF file (.gguf), an experiment file (.toml), a file of prompts (.txt, "
        ".jsonl) or the folder of an exported experiment."
    )
