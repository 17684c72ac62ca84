"""What can and what cannot be compared between configurations of different engines, by rule and in words. Pure; no Qt.

Each finding rests on what was stored: the resolved orders, the facts that trials said, and what their figures were
taken over. Where only one engine ran, nothing is said that would need two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from engines.catalogue import EngineInfo
from engines.catalogue import find as find_engine
from engines.models.lookup.facts import FLOATS
from engines.protocol.orders import EngineOrder
from engines.techniques import find
from workbench.plan.labels import stored_techniques
from workbench.store.operations import ConfigurationRow, ExperimentDetail, MetricRow

Topic = Literal["weights", "tokens", "memory", "kv_cache", "batch", "origin", "start"]
_FULL = "kv_cache.full"


@dataclass(frozen=True)
class Finding:
    """One sentence or two about one topic. `comparable`: None where it is a caution, neither yes nor no."""

    topic: Topic
    text: str
    comparable: bool | None = None


@dataclass(frozen=True)
class _Side:
    """A configuration as it was ordered, and what its trials said."""

    row: ConfigurationRow
    order: Mapping[str, object]
    facts: tuple[Mapping[str, str], ...]
    metrics: Mapping[str, tuple[MetricRow, ...]]

    def part(self, name: str) -> Mapping[str, object]:
        found = self.order.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def engine(self) -> str:
        return self.engine_order.id

    @property
    def engine_order(self) -> EngineOrder:
        """As it was ordered; the default engine where it cannot be read."""
        try:
            return msgspec.convert(self.part("engine"), EngineOrder)
        except msgspec.ValidationError:
            return EngineOrder()

    @property
    def info(self) -> EngineInfo:
        """Of an engine that is not installed here: its id, and no more."""
        return find_engine(self.engine) or EngineInfo(id=self.engine, title=self.engine, factory="")

    @property
    def on_gpu(self) -> bool:
        return str(self.order.get("device") or "cpu").startswith("cuda")

    def number(self, part: str, name: str, default: int) -> int:
        value = self.part(part).get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def technique(self, axis: str) -> str:
        """Id on an axis, "" where the order uses none."""
        return next((t.id for t in stored_techniques(self.order) if t.id.partition(".")[0] == axis), "")

    def values(self, name: str) -> frozenset[str]:
        """Values of a fact over its trials."""
        return frozenset(f[name] for f in self.facts if name in f)

    def scopes(self, metric: str) -> frozenset[str]:
        rows = self.metrics.get(metric, ())
        return frozenset(r.scope for r in rows if r.value is not None and r.scope)


def comparability(detail: ExperimentDetail) -> tuple[Finding, ...]:
    """Findings in the order of the topics; () where there is one configuration, or nothing to say."""
    sides = tuple(s for c in detail.configurations if (s := _side(c, detail)) is not None)
    engines = tuple(dict.fromkeys(s.engine for s in sides))
    found: list[Finding] = []
    if len(engines) > 1:
        found += _weights(sides)
        found += _tokens(sides)
        found += _memory(sides)
    if len(sides) > 1:
        found += _cache(sides, len(engines) > 1)
    if len(engines) > 1:
        found += _batches(sides)
    found += _origins(sides)
    if len(engines) > 1:
        found += _starts(sides)
    return tuple(found)


def comparability_notes(detail: ExperimentDetail) -> tuple[str, ...]:
    """The findings as cautions of a comparison, one a topic."""
    return tuple(f.text for f in comparability(detail))


# --- rules -----------------------------------------------------------------------------------------


def _weights(sides: Sequence[_Side]) -> list[Finding]:
    """Whether the engines ran the same weights: the same file, or one made from it."""
    identities = {(s.part("model").get("fingerprint"), s.part("model").get("kind")) for s in sides}
    fingerprints = {str(s.part("model").get("fingerprint") or "") for s in sides}
    models = tuple(dict.fromkeys(s.row.model for s in sides))
    if "" in fingerprints:
        return [Finding("weights", "Whether the engines ran the same weights is not known: no fingerprint is stored.")]
    if len(fingerprints) == 1:
        made = _titles(s for s in sides if s.info.converts_models and s.part("model").get("kind") != "gguf")
        how = f" {made}'s file was made from them." if made else ""
        return [Finding("weights", f"Both engines ran the weights of the same files.{how}", True)]
    by_engine: dict[str, set[str]] = {}
    for side in sides:
        by_engine.setdefault(side.engine, set()).add(str(side.part("model").get("fingerprint")))
    shared = set.intersection(*by_engine.values())
    if shared:
        return [Finding("weights", "Of a model that both engines ran, the weights are those of the same files.", True)]
    kinds = {str(kind) for _, kind in identities}
    what = "a GGUF file and other files" if "gguf" in kinds and len(kinds) > 1 else "different files"
    return [
        Finding(
            "weights",
            f"The engines ran {what} ({', '.join(models)}): a difference may be of the weights, not of the engine.",
            False,
        )
    ]


def _tokens(sides: Sequence[_Side]) -> list[Finding]:
    """Perplexities are compared over the same tokens only; bits per byte need the same text."""
    scopes = {s.engine: s.scopes("perplexity") for s in sides}
    by_engine = {e: frozenset().union(*(s.scopes("perplexity") for s in sides if s.engine == e)) for e in scopes}
    known = {e: found for e, found in by_engine.items() if found}
    if len(known) < 2:
        return []
    if len(frozenset().union(*known.values())) == 1:
        return [Finding("tokens", "Perplexity is over the same tokens in both engines: comparable.", True)]
    return [
        Finding(
            "tokens",
            "Perplexity is over different tokens in the engines, or over another text: compare bits per byte only.",
            False,
        )
    ]


def _memory(sides: Sequence[_Side]) -> list[Finding]:
    """Whose memory counts what."""
    mapped = [s for s in sides if s.info.maps_files(s.engine_order)]
    copied = [s for s in sides if s not in mapped]
    if not mapped or not copied or all(s.on_gpu for s in mapped):
        return []
    copies = any("yes" in s.values("llama.load.extra_buffers") for s in mapped)
    repacked = " What it repacks for this processor is a copy beside them." if copies else ""
    return [
        Finding(
            "memory",
            f"{_titles(mapped)} maps its file: PSS and RSS count a mapped page once it was touched, and the system can "
            f"take it back.{repacked} What {_titles(copied)} holds are copies that it cannot. Model size is comparable "
            "in both.",
        )
    ]


def _cache(sides: Sequence[_Side], engines_differ: bool) -> list[Finding]:
    """Types of the KV cache: "full" is not the same in both engines."""
    kinds = {s.technique("kv_cache") or _FULL for s in sides}
    full = {s.info.cache_type: s for s in sides if (s.technique("kv_cache") or _FULL) == _FULL}
    parts: list[str] = []
    if engines_differ and len(full) > 1:
        types = " and ".join(f"{type_} in {side.info.title}" for type_, side in full.items())
        parts.append(
            f"At full precision the KV cache is {types}: float32 takes twice the memory of float16 for each token."
        )
    quantised = sorted(t.title for k in kinds - {_FULL} if (t := find(k)) is not None)
    if len(kinds) > 1 and quantised:
        beside = " beside full precision" if _FULL in kinds else ""
        parts.append(
            f"KV caches differ ({', '.join(quantised)}{beside}): their loss is in the texts and tasks, "
            "and in perplexity as far as it reads from the cache."
        )
    return [Finding("kv_cache", " ".join(parts))] if parts else []


def _batches(sides: Sequence[_Side]) -> list[Finding]:
    """How a prompt and a batch are computed."""
    limits = {s.info.passes(s.engine_order).tokens: s for s in sides}
    longest = max((s.number("workload", "prompt_tokens", 0) for s in sides), default=0)
    batch = max((s.number("workload", "batch_size", 1) for s in sides), default=1)
    smallest = min((tokens for tokens in limits if tokens), default=0)
    parts: list[str] = []
    if 0 in limits and smallest and longest * batch > smallest:
        parts.append(
            f"{limits[smallest].info.title} computes at most {smallest:,} tokens at once, {limits[0].info.title} a "
            "whole prompt: prefill and its memory differ for that reason too."
        )
    ways = {s.info.batch: s for s in sides}
    if batch > 1 and len(ways) > 1:
        parts.append(f"A batch is {', '.join(f'{way} in {side.info.title}' for way, side in ways.items())}.")
    return [Finding("batch", " ".join(parts))] if parts else []


def _origins(sides: Sequence[_Side]) -> list[Finding]:
    """Weights that were quantised before: what is made of them carries both losses."""
    again: dict[str, list[str]] = {}
    for side in sides:
        origin = str(side.part("model").get("origin") or "")
        precision = side.technique("precision")
        technique = find(precision)
        if not origin or technique is None or technique.short == "gguf-stored" or not 0 < technique.bits < 16:
            continue
        stored = origin.removeprefix("stored as ")
        if origin.startswith("dequantised") or (stored != origin and stored not in FLOATS):
            again.setdefault(side.row.model, []).append(technique.title)
    return [
        Finding(
            "origin",
            f"{model}: {', '.join(dict.fromkeys(titles))} quantised what had been quantised before; the loss shown is "
            "on top of the first one.",
        )
        for model, titles in again.items()
    ]


def _starts(sides: Sequence[_Side]) -> list[Finding]:
    """How workers were started: only plain starts have load times."""
    by_engine: dict[str, set[str]] = {}
    for side in sides:
        by_engine.setdefault(side.engine, set()).update(side.values("worker.start_method"))
    if len({frozenset(found) for found in by_engine.values() if found}) < 2:
        return []
    forked = _titles(s for s in sides if "template" in by_engine[s.engine])
    plain = _titles(s for s in sides if "template" not in by_engine[s.engine])
    others = f", {plain} plainly" if plain else ""
    return [
        Finding(
            "start",
            f"{forked} was started from a template{others}: load times are given for plain starts only. "
            "That a worker from a template is as fast as one started plainly is not shown: of a small model it may "
            "be a few per cent slower.",
        )
    ]


def _titles(sides: Iterable[_Side]) -> str:
    """ "llama.cpp"; engines of several with "and" between them."""
    return " and ".join(dict.fromkeys(s.info.title for s in sides))


def _side(configuration: ConfigurationRow, detail: ExperimentDetail) -> _Side | None:
    try:
        order = json.loads(configuration.resolved)
    except ValueError:
        return None
    if not isinstance(order, dict):
        return None
    mine = {
        t.trial
        for t in detail.trials
        if t.configuration == configuration.configuration and t.state == "ended" and t.outcome == "completed"
    }
    metrics: dict[str, list[MetricRow]] = {}
    for row in detail.metrics:
        if row.trial in mine:
            metrics.setdefault(row.metric, []).append(row)
    facts = tuple(detail.environments[t] for t in sorted(mine) if t in detail.environments)
    return _Side(configuration, order, facts, {name: tuple(rows) for name, rows in metrics.items()})
