"""Hashes of orders that an earlier version made, made again by today's rules. In the owner: once for a whole store (its
migration), and for what comes in from outside: bundles, and spools of a store that was restored from an old copy.

A stored name is the hash and what follows it ("@cpu", "+plain"); the rest stays. Names that are no hash stay whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

import duckdb
import msgspec

from engines.protocol.codec import order_of
from engines.protocol.old_orders import upgraded
from engines.protocol.orders import IDENTITY, TrialOrder
from workbench.plan.identity import configuration_hash

_HASH = re.compile(r"[0-9a-f]{64}")
_WRITTEN = re.compile(r'(?P<quote>["\'])(?P<hash>[0-9a-f]{8,64})(?P<rest>@[^"\']*)?(?P=quote)')
"""A configuration named in an experiment file, perhaps by its first digits."""
_OF_ONE_TRIAL = {"trial": "", "block": 0, "position": 0, "seed": 0}


def renewed(order: TrialOrder) -> TrialOrder:
    """The order under the name that today's rules give it."""
    if order.identity == IDENTITY:
        return order
    name = order.configuration
    if found := _HASH.match(name):
        hash = configuration_hash(order.model, order.techniques, order.workload, order.engine)
        name = hash + name[found.end() :]
    return msgspec.structs.replace(order, configuration=name, identity=IDENTITY)


def renewed_rows(rows: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """By experiment and configuration of rows (experiment, configuration, resolved): the new name and resolved order of
    those that have another. A row that cannot be read, or whose new name is taken, keeps its name."""
    changed: dict[tuple[str, str], tuple[str, str]] = {}
    taken: set[tuple[str, str]] = set()
    for experiment, configuration, resolved in rows:
        try:
            old = json.loads(resolved)
            order = order_of(old | _OF_ONE_TRIAL)
        except (ValueError, TypeError):
            continue
        name = renewed(order).configuration
        if (experiment, name) in taken:
            name = configuration
        taken.add((experiment, name))
        if order.identity != IDENTITY:
            new = upgraded(old)
            assert isinstance(new, dict)
            text = msgspec.json.encode(new | {"configuration": name, "identity": IDENTITY}).decode()
            changed[experiment, configuration] = (name, text)
    return changed


def renew_store(connection: duckdb.DuckDBPyConnection) -> None:
    """The migration: configurations, and everything that names one. Raises `duckdb.Error`."""
    rows = connection.execute(
        "SELECT experiment, configuration, resolved FROM configurations ORDER BY experiment, position"
    ).fetchall()
    changed = renewed_rows(rows)
    names: dict[str, str] = {}
    for (experiment, old), (new, resolved) in changed.items():
        connection.execute(
            "UPDATE configurations SET configuration = ?, resolved = ? WHERE experiment = ? AND configuration = ?",
            [new, resolved, experiment, old],
        )
        if new == old:
            continue
        names[old] = new
        connection.execute(
            "UPDATE trials SET configuration = ? WHERE experiment = ? AND configuration = ?", [new, experiment, old]
        )
        connection.execute(
            "UPDATE experiments SET baseline = ? WHERE experiment = ? AND baseline = ?", [new, experiment, old]
        )
    for old, new in names.items():
        connection.execute("UPDATE tags SET subject = ? WHERE subject = ?", [new, old])
    for experiment, definition in connection.execute("SELECT experiment, definition FROM experiments").fetchall():
        if (text := renewed_definition(definition, names)) != definition:
            connection.execute("UPDATE experiments SET definition = ? WHERE experiment = ?", [text, experiment])


def renewed_definition(definition: str, names: Mapping[str, str]) -> str:
    """An experiment file with the hashes that it leaves out (`skip`) renewed, as far as they are known."""
    hashes = {old[:64]: new[:64] for old, new in names.items()}

    def replaced(found: re.Match[str]) -> str:
        new = {n for o, n in hashes.items() if o.startswith(found["hash"])}
        if len(new) != 1:
            return found[0]
        return f"{found['quote']}{new.pop()[: len(found['hash'])]}{found['rest'] or ''}{found['quote']}"

    return _WRITTEN.sub(replaced, definition)
