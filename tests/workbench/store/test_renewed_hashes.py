"""A store of an earlier version, and what comes from one, under the hashes of today: history and times are kept."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import msgspec
import pytest

from engines.protocol.codec import order_of
from engines.protocol.orders import EngineOrder, Inference, ModelOrder, TechniqueOrder
from tests.workbench.store_kit import lines, order, started
from tests.workbench.synthetic import FakeTrial, records
from workbench.export.records_parquet import export_bundle, import_bundle
from workbench.plan.identity import configuration_hash
from workbench.store.local import LocalStore
from workbench.store.migrate import Scheme, current_scheme
from workbench.store.operations import (
    Durations,
    GetExperiment,
    GetOrder,
    GetStoreId,
    Ingest,
    ListTrials,
    Query,
    SetBaseline,
    StoreError,
)
from workbench.store.renewed_hashes import renewed_definition

PLAIN, INT8, TAKEN = "1a" * 32, "2b" * 32, "3c" * 32
"""Hashes as version 2 gave them."""

OLD = """{"experiment":"e-1","store":"s-1","configuration":"%s","title":"Tiny","total":4,"experiment_title":"old",
"color":0,"model":{"ref":"tiny","title":"Tiny","kind":"folder","path":"/m","fingerprint":"f0"},
"techniques":[%s{"id":"kv_cache.full"}],
"workload":{"task":"generate","prompt_tokens":20,"new_tokens":8,"batch_size":1,"depth_tokens":0,"prompt_file":"",
"prompt_file_hash":"","requests":3,"window_s":5.0,"warmup_requests":10,"perplexity_tokens":0,"text_tokens":0,
"tasks":[],"task_samples":0,"idle_s":null,"prefill_energy_s":null},
"engine":{"id":"transformers","threads":0,"attention":"eager","batch_tokens":2048,"micro_batch_tokens":512,
"flash_attention":"auto","gpu_layers":-1,"memory_map":true,"start_method":"template"},
"device":"cpu","telemetry":{"enabled":true,"rate_hz":10.0,"turns_s":0.0},"limits":{},"expected_s":12.5,
"allow_network":false}"""
"""A stored order as version 2 wrote it: its name, and the techniques before the KV cache's."""
FLOAT, EIGHT = '{"id":"precision.float32"},', '{"id":"precision.int8","parameters":{"compute":"float32"}},'

MODEL = ModelOrder(ref="x", title="x", kind="folder", fingerprint="f0")
LOAD = Inference(prompt_tokens=20, new_tokens=8)
EAGER = EngineOrder(settings={"attention": "eager"})
NEW_PLAIN = configuration_hash(MODEL, (), LOAD, EAGER)
NEW_INT8 = configuration_hash(
    MODEL, (TechniqueOrder(id="precision.int8", parameters={"compute": "float32"}),), LOAD, EAGER
)


def old_rows(connection: duckdb.DuckDBPyConnection, experiment: str = "e-1") -> None:
    """Two configurations on two devices, one with a name that is no hash, one that cannot be read."""
    definition = f'[run]\nskip = ["{INT8[:12]}", "{PLAIN}@cpu", "99887766"]\n'
    connection.execute(
        "INSERT INTO experiments VALUES (?, 1, 'old', ?, 7, ?, now()::TIMESTAMP, '')",
        [experiment, definition, f"{PLAIN}@cpu"],
    )
    for place, (name, resolved) in enumerate(
        {
            f"{PLAIN}@cpu": OLD % (f"{PLAIN}@cpu", FLOAT),
            f"{INT8}+on": OLD % (f"{INT8}+on", EIGHT),
            f"{TAKEN}@cpu": OLD % (f"{TAKEN}@cpu", ""),  # the same work as the first
            "by-hand": OLD % ("by-hand", FLOAT),
            "broken": "{",
        }.items()
    ):
        connection.execute(
            "INSERT INTO configurations VALUES (?, ?, 'Tiny', 0, ?, 'Tiny', '[]', ?)",
            [name, experiment, place, resolved],
        )
        connection.execute(
            "INSERT INTO trials (trial, number, experiment, configuration, title, block, position, seed, machine, "
            "device, state, outcome, last_seq, submitted_at, duration_s) "
            "VALUES (?, ?, ?, ?, 'Tiny', 0, ?, 7, 'this', 'cpu', 'ended', 'completed', 0, now()::TIMESTAMP, ?)",
            [f"{experiment}-{place}", place + 1, experiment, name, place, 10.0 + place],
        )
    connection.execute("INSERT INTO tags VALUES (?, 'keep'), ('e-1-0', 'good')", [f"{PLAIN}@cpu"])


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    path = tmp_path / "old.duckdb"
    scheme = current_scheme()
    LocalStore(path, scheme=Scheme(2, scheme.schema, {2: scheme.steps[2]})).close()
    connection = duckdb.connect(str(path))
    old_rows(connection)
    connection.close()
    return path


def test_that_a_store_of_version_2_keeps_its_history_under_new_names(old_store: Path) -> None:
    store = LocalStore(old_store)
    detail = store.execute(GetExperiment(experiment="e-1"))
    names = [f"{NEW_PLAIN}@cpu", f"{NEW_INT8}+on", f"{TAKEN}@cpu", "by-hand", "broken"]
    assert [c.configuration for c in detail.configurations] == names
    assert [t.configuration for t in sorted(detail.trials, key=lambda t: t.trial)] == names
    assert detail.experiment.baseline == f"{NEW_PLAIN}@cpu"
    tags = store.execute(Query(sql="SELECT subject, tag FROM tags ORDER BY tag")).rows
    assert tags == (("e-1-0", "good"), (f"{NEW_PLAIN}@cpu", "keep"))
    definition = store.execute(Query(sql="SELECT definition FROM experiments")).rows[0][0]
    assert definition == f'[run]\nskip = ["{NEW_INT8[:12]}", "{NEW_PLAIN}@cpu", "99887766"]\n'
    asked = store.execute(GetOrder(trial="e-1-0"))
    assert (asked.configuration, asked.identity) == (f"{NEW_PLAIN}@cpu", 3)
    assert asked.engine.settings == {"attention": "eager"}
    stored = [json.loads(c.resolved) for c in detail.configurations[:4]]
    assert [o["configuration"] for o in stored] == names[:4]
    assert all(o["workload"]["kind"] == "inference" and "attention" not in o["engine"] for o in stored)
    store.close()


def test_that_learned_times_are_found_by_the_hash_of_a_new_plan(old_store: Path) -> None:
    store = LocalStore(old_store)
    wanted = (f"{NEW_PLAIN}@cpu", f"{NEW_INT8}+on", f"{PLAIN}@cpu")
    times = store.execute(Durations(configurations=wanted))
    assert times == {f"{NEW_PLAIN}@cpu": (10.0,), f"{NEW_INT8}+on": (11.0,)}
    store.close()


def test_that_a_migration_that_cannot_be_finished_changes_nothing(old_store: Path) -> None:
    scheme = current_scheme()
    fails = Scheme(scheme.version + 1, scheme.schema, {**scheme.steps, scheme.version + 1: "SELECT nonsense"})
    with pytest.raises(StoreError):
        LocalStore(old_store, scheme=fails)
    connection = duckdb.connect(str(old_store))
    assert connection.execute("SELECT baseline FROM experiments").fetchall() == [(f"{PLAIN}@cpu",)]
    assert connection.execute("SELECT schema_version FROM store").fetchall() == [(2,)]
    connection.close()


def test_that_a_shortened_hash_that_fits_several_is_left_alone() -> None:
    names = {"ab" * 4 + "0" * 56: "1" * 64, "ab" * 4 + "f" * 56: "2" * 64}
    assert renewed_definition('skip = ["abababab"]', names) == 'skip = ["abababab"]'
    assert renewed_definition("skip = ['abababab0@cpu']", names) == "skip = ['111111111@cpu']"


def test_that_a_spool_of_an_earlier_version_comes_in_under_its_new_hash(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "new.duckdb")
    id = store.execute(GetStoreId())
    told = {"trial": "t-1", "block": 0, "position": 0, "seed": 7, "store": id}
    old = order_of(json.loads(OLD % (f"{PLAIN}@cpu", FLOAT)) | told)
    assert old.configuration == f"{PLAIN}@cpu"
    store.execute(Ingest(trial="t-1", lines=lines((started(),)), order=old))
    assert [t.configuration for t in store.execute(ListTrials())] == [f"{NEW_PLAIN}@cpu"]
    assert store.execute(GetOrder(trial="t-1")).identity == 3
    new = order("t-2", store=id, experiment="e-2")
    store.execute(Ingest(trial="t-2", lines=lines((started(),)), order=new))
    assert store.execute(GetOrder(trial="t-2")).configuration == "c-1"
    store.close()


def test_that_a_bundle_of_an_earlier_version_comes_in_under_its_new_hash(tmp_path: Path) -> None:
    path = tmp_path / "one.duckdb"
    one = LocalStore(path)
    told = {"trial": "t-1", "block": 0, "position": 0, "seed": 7, "store": one.execute(GetStoreId())}
    asked = order_of(json.loads(OLD % (f"{PLAIN}@cpu", FLOAT)) | told)
    asked = msgspec.structs.replace(asked, identity=3)  # taken in under the name it has
    one.execute(Ingest(trial="t-1", lines=lines(records(FakeTrial(new_tokens=8))), order=asked))
    one.execute(SetBaseline(experiment="e-1", configuration=f"{PLAIN}@cpu"))
    one.close()
    connection = duckdb.connect(str(path))
    connection.execute("UPDATE configurations SET resolved = ?", [OLD % (f"{PLAIN}@cpu", FLOAT)])
    connection.close()
    one, two = LocalStore(path), LocalStore(tmp_path / "two.duckdb")
    export_bundle(one, "", tmp_path / "bundle")
    for _ in range(2):
        import_bundle(two, tmp_path / "bundle")
        detail = two.execute(GetExperiment(experiment="e-1"))
        assert [c.configuration for c in detail.configurations] == [f"{NEW_PLAIN}@cpu"]
        assert [t.configuration for t in detail.trials] == [f"{NEW_PLAIN}@cpu"]
        assert detail.experiment.baseline == f"{NEW_PLAIN}@cpu"
        assert two.execute(GetOrder(trial="t-1")).engine.settings == {"attention": "eager"}
    one.close()
    two.close()
