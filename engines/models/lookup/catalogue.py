"""The built-in models: architectures that run with random weights before anything is downloaded.

Read from assets/catalogue.toml; any thread. Every count in it is checked against the built model by a test.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from engines.models.lookup.facts import facts_of_config
from engines.protocol.canonical import digest
from engines.protocol.orders import ModelKind, ModelOrder
from engines.techniques import ModelFacts

RANDOM_WEIGHTS = "random weights"
STARTER_ASIDE = "from Q4_1"
"""After the title of the starter model as it is fetched."""
_DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One architecture, with what its model card says."""

    id: str
    title: str
    family: str
    hub: str
    """Repository id on the Hugging Face hub."""
    licence: str
    sentence: str
    parameters: int
    linear_parameters: int
    config: dict[str, object]
    """As config.json on the hub, with `model_type` and `dtype`."""
    starter: bool = False
    """The model that `llm-workbench demo` fetches."""

    @property
    def architecture(self) -> str:
        return str(self.config["model_type"])

    @property
    def dtype(self) -> str:
        return str(self.config["dtype"])

    def facts(self, kind: ModelKind) -> ModelFacts:
        """Facts by the config alone: random weights have no tokenizer."""
        return facts_of_config(
            self.config,
            kind=kind,
            parameters=self.parameters,
            linear_parameters=self.linear_parameters,
            stored_bytes=self.parameters * _DTYPE_BYTES[self.dtype],
            stored_dtype=self.dtype,
            has_tokenizer=kind != "random",
        )

    def random_order(self) -> ModelOrder:
        """The order that builds this architecture with random weights."""
        return ModelOrder(
            ref=f"random:{self.id}",
            title=f"{self.title} ({RANDOM_WEIGHTS})",
            aside=RANDOM_WEIGHTS,
            kind="random",
            config=self.config,
            origin=RANDOM_WEIGHTS,
            fingerprint=digest(self.config),
        )


class _File(msgspec.Struct, frozen=True):
    model: tuple[CatalogueEntry, ...]


@cache
def catalogue() -> tuple[CatalogueEntry, ...]:
    """Every built-in model, the starter first, in the file's order."""
    text = (files("assets") / "catalogue.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _File).model


def find_entry(id: str) -> CatalogueEntry | None:
    """By catalogue id or hub id, without regard to upper and lower case."""
    wanted = id.lower()
    return next((e for e in catalogue() if wanted in (e.id.lower(), e.hub.lower())), None)
