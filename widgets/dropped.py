"""What a file dropped on the window or named on the command line is for. Pure paths; no Qt."""

from __future__ import annotations

from pathlib import Path

from widgets.targets import AddModel, OpenExperimentFile


def target_of(path: Path) -> AddModel | OpenExperimentFile | str:
    """What to do with a file, or a sentence that says why nothing can be done with it."""
    if not path.exists():
        return f"{path.name} is not there any more."
    if path.is_dir():
        if (path / "config.json").is_file():
            return AddModel(path)
        return f"{path.name} has no config.json: a model folder in Hugging Face format has one."
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        return AddModel(path)
    if suffix == ".toml":
        return OpenExperimentFile(path)
    if path.name == "config.json" or suffix == ".safetensors":
        return AddModel(path.parent)
    return f"{path.name} is not a model folder, a GGUF file (.gguf) or an experiment file (.toml)."
