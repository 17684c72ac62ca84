"""Names of what is run. The same configuration has the same hash on every machine, in every version of Python.

Pure; any thread. Canonical JSON (sorted keys, no spaces, UTF-8) through SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from engines.protocol.orders import EngineOrder, Inference, ModelOrder, TechniqueOrder, Workload

RESOLVED_SCHEMA = 2
"""Part of every configuration hash. Rises when the same fields would mean something else."""

SURROUNDINGS = {"start_method": "plain"}
"""Settings of the engine that change its surroundings and not its work, with the value they count as."""
SHORT = 12
_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: object) -> bytes:
    """The one JSON text of a value made of structs, dicts, lists and scalars."""
    return _encoder.encode(msgspec.to_builtins(value, order="sorted", str_keys=True))


def digest(value: object) -> str:
    """SHA-256 of `canonical(value)`, 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def model_identity(model: ModelOrder) -> dict[str, object]:
    """What makes two models the same: their files or config where these are known, else how they were named.

    The title, the path and the words the user wrote do not count once there is a fingerprint.
    """
    if model.fingerprint:
        return {"kind": model.kind, "fingerprint": model.fingerprint}
    return {
        "kind": model.kind,
        "ref": model.ref,
        "path": model.path,
        "revision": model.revision,
        "config": model.config,
    }


def configuration_hash(
    model: ModelOrder, techniques: Sequence[TechniqueOrder], workload: Workload, engine: EngineOrder
) -> str:
    """The hash of what is run: model, techniques with all parameters, workload and engine with all defaults, schema.

    Not in it: seed, repetition, machine, telemetry, limits, and how the worker process is started. The order of
    techniques does not matter. Every field is written out, so a default that changes changes the hash; None (left to
    each machine) is left out.
    """
    chosen = {t.id: {name: _number(value) for name, value in t.parameters.items()} for t in techniques}
    return digest(
        {
            "schema": RESOLVED_SCHEMA,
            "model": model_identity(model),
            "techniques": chosen,
            "workload": _fields(_wherever_it_lies(workload)),
            "engine": _fields(engine) | SURROUNDINGS,
        }
    )


def _wherever_it_lies(workload: Workload) -> Workload:
    """Prompts whose contents are known are the same prompts under another path."""
    known = isinstance(workload, Inference) and workload.prompt_file_hash
    return msgspec.structs.replace(workload, prompt_file="") if known else workload


def short(hash: str) -> str:
    """What people see: the first 12 digits, and the device where the hash names one ("0a1b2c3d4e5f@cpu")."""
    what, at, where = hash.partition("@")
    return what[:SHORT] + at + where


def matches(hash: str, written: str) -> bool:
    """Whether a hash is the one somebody wrote, perhaps shortened to its first digits."""
    what, _, where = hash.partition("@")
    written_what, at, written_where = written.partition("@")
    return what.startswith(written_what) and (not at or where == written_where)


def _fields(order: Workload | EngineOrder) -> dict[str, object]:
    """Fields with their values; those left open (None), which each machine decides for itself, are left out."""
    values = {name: _number(getattr(order, name)) for name in order.__struct_fields__}
    return {name: value for name, value in values.items() if value is not None}


def _number(value: object) -> object:
    """5 and 5.0 are the same setting."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
