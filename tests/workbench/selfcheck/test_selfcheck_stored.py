"""Self-checks in the store: by machine, and those that older versions left."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from tests.workbench.selfcheck.selfcheck_kit import ratio, result
from workbench.selfcheck.result import SelfCheck
from workbench.selfcheck.words import rows
from workbench.store.local import LocalStore
from workbench.store.migrate import Scheme, current_scheme
from workbench.store.operations import AddSelfCheck, ListSelfChecks


def test_that_self_checks_are_kept_by_machine_newest_first(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "a.duckdb")
    try:
        for number, machine in enumerate(("here", "there", "here")):
            store.execute(AddSelfCheck(result=result(id=f"c-{number}", machine=machine)))
        store.execute(AddSelfCheck(result=result(id="c-2", machine="here")))
        assert [r.id for r in store.execute(ListSelfChecks(machine="here"))] == ["c-2", "c-0"]
        assert len(store.execute(ListSelfChecks())) == 3
        assert store.execute(ListSelfChecks(machine="here", limit=1))[0] == result(id="c-2")
        assert store.execute(ListSelfChecks(machine="nowhere")) == ()
    finally:
        store.close()


def test_that_one_stored_by_the_older_method_is_read_and_says_so(tmp_path: Path) -> None:
    older = json.loads(msgspec.json.encode(result(telemetry_processor=ratio(0.98, 1.01))))
    del older["method"]  # as they were stored
    store = LocalStore(tmp_path / "a.duckdb")
    try:
        store.execute(AddSelfCheck(result=msgspec.convert(older, SelfCheck)))
        (found,) = store.execute(ListSelfChecks())
    finally:
        store.close()
    assert found.method == "trials"
    said = {row.title: row for row in rows(found)}
    assert "compared separate trials" in said["Telemetry, throughput"].meaning
    assert "Telemetry, CPU time" in said
    assert "Telemetry, CPU time" not in {row.title for row in rows(result())}


def test_that_a_database_of_the_version_before_gets_the_table_and_one_of_another_form_is_passed_over(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.duckdb"
    whole = current_scheme().schema
    start = whole.index("CREATE TABLE selfchecks")
    before = whole[:start] + whole[whole.index(");", start) + 2 :]
    LocalStore(path, scheme=Scheme(1, before)).close()
    store = LocalStore(path)
    try:
        assert store.execute(ListSelfChecks()) == ()
        store.execute(AddSelfCheck(result=result()))
    finally:
        store.close()
    import duckdb

    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO selfchecks VALUES ('c-9', 'here', now()::TIMESTAMP, '', '{\"other\": 1}')")
    store = LocalStore(path)
    try:
        assert [r.id for r in store.execute(ListSelfChecks(machine="here"))] == ["c-1"]
    finally:
        store.close()
