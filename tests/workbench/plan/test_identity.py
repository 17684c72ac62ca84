"""What a configuration is called. A hash that was given out once stays: through new fields, axes, engines and kinds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from engines.catalogue import EngineInfo, engines
from engines.catalogue import registry as engine_registry
from engines.hf.settings import HfSettings
from engines.llama.settings import LlamaSettings
from engines.protocol.orders import EngineOrder, Inference, ModelOrder, TechniqueOrder, Training, Workload
from engines.protocol.settings import Setting
from engines.techniques import Axis, Technique, axes, techniques
from engines.techniques import registry as technique_registry
from engines.techniques.chosen import UNNAMED_PRECISION
from workbench.plan import baseline
from workbench.plan.identity import SURROUNDINGS, configuration_hash

MODEL = ModelOrder(ref="m", title="M", kind="folder", path="/m", fingerprint="f" * 64)
GGUF = ModelOrder(ref="g", title="G", kind="gguf", path="/g.gguf", fingerprint="a" * 64)
NF4 = ModelOrder(ref="q", title="Q", kind="folder", path="/q", stored="nf4", fingerprint="b" * 64)
LLAMA = EngineOrder(
    id="llama.cpp",
    settings={
        "batch_tokens": 2048,
        "micro_batch_tokens": 512,
        "flash_attention": "auto",
        "gpu_layers": -1,
        "memory_map": True,
    },
)


def techniques_of(*ids: str, **parameters: str | bool | float) -> tuple[TechniqueOrder, ...]:
    return tuple(TechniqueOrder(id=id, parameters=dict(parameters)) for id in ids)


def hash_of(
    model: ModelOrder = MODEL,
    techniques: Sequence[TechniqueOrder] = (),
    workload: Workload = Inference(),  # noqa: B008
    engine: EngineOrder = EngineOrder(settings={"attention": "sdpa"}),  # noqa: B008
) -> str:
    return configuration_hash(model, techniques, workload, engine)


RATED = Training(learning_rate=2e-4)
"""Every field at its baseline: the rate of 0, each method's own, came later."""
CASES = {
    "plain": lambda: hash_of(),
    "int8": lambda: hash_of(techniques=techniques_of("precision.int8", compute="auto")),
    "int8 in float32": lambda: hash_of(techniques=techniques_of("precision.int8", compute="float32")),
    "batch": lambda: hash_of(workload=Inference(batch_size=4, window_s=2.5, tasks=("gsm8k-sample",))),
    "eager": lambda: hash_of(engine=EngineOrder(threads=2, settings={"attention": "eager"})),
    "GGUF": lambda: hash_of(GGUF, engine=LLAMA),
    "GGUF, cache": lambda: hash_of(GGUF, techniques_of("kv_cache.q8_0"), engine=LLAMA),
    "quantised": lambda: hash_of(NF4),
    "training": lambda: hash_of(workload=Training(steps=10, learning_rate=2e-4)),
    "LoRA": lambda: hash_of(techniques=techniques_of("finetune.lora", rank=4, alpha=16), workload=RATED),
}
GOLDEN = {
    "plain": "7471938de530270176d032fc0064af49d59a646fb7a36ac9050399b1445bba0f",
    "int8": "1f44a7e1048330e09836fb731415ce1ae0f4ced2f0e4d6e8ef809063a926f5d7",
    "int8 in float32": "fecc49b98d01208ae37cd5344afbaeba14354bff27d17c3862b80d000c4bf6c0",
    "batch": "6b2834fa3130fc5f265ad4ac0d34b52c0bf57ddb0e195dc2e9b64282866e1814",
    "eager": "cbda5d6cce382f4df94db17d5ae11f059cd561fc88452373f9df5829d898c089",
    "GGUF": "31faf473aa5bc2122bf9d06127d643d2e23dada24d9e4d797f95b603676ae781",
    "GGUF, cache": "3109aea2a63fc4ccde8b3dd2d8d5d4935fee73aceb52f99a9044172a653953dc",
    "quantised": "4136dd76caaf7145dfa3d2883c87cdb03edbd8b5e4dee438fff9ce56892fa460",
    "training": "e22da8ac9b548cbd3e25d0a69064c45487959901a199f921dc1401be0c4564ce",
    "LoRA": "034648d962420558bad5d9b90e55f134fbb9a7ede6a8269df02f8246a6866262",
}


@pytest.mark.parametrize("name", CASES)
def test_that_a_hash_never_changes(name: str) -> None:
    assert CASES[name]() == GOLDEN[name]


# --- what counts ------------------------------------------------------------------------------------


def test_that_names_and_places_do_not_change_the_hash_but_the_files_do() -> None:
    assert hash_of(msgspec.structs.replace(MODEL, ref="x", title="X", path="/elsewhere", origin="o")) == hash_of()
    assert hash_of(msgspec.structs.replace(MODEL, fingerprint="e" * 64)) != hash_of()


@pytest.mark.parametrize("order", [Inference(), RATED, EngineOrder(), LLAMA])
def test_that_every_field_and_setting_is_in_the_hash(order: Workload | EngineOrder) -> None:
    def hash_with(changed: Workload | EngineOrder) -> str:
        return hash_of(engine=changed) if isinstance(changed, EngineOrder) else hash_of(workload=changed)

    for name in order.__struct_fields__:
        if name in (*SURROUNDINGS, "settings", "token_budget", "time_budget_s"):
            continue
        value = getattr(order, name)
        other: object = f"{value}x" if isinstance(value, str) else ("x",) if isinstance(value, tuple) else 7.5
        assert hash_with(msgspec.structs.replace(order, **{name: other})) != hash_with(order), name
    if isinstance(order, EngineOrder):
        for name, setting in order.settings.items():
            other = f"{setting}x" if isinstance(setting, str) else 7
            changed = msgspec.structs.replace(order, settings=order.settings | {name: other})
            assert hash_with(changed) != hash_with(order), name


def test_that_how_workers_are_started_and_the_order_of_techniques_do_not_count() -> None:
    assert hash_of(engine=EngineOrder(start_method="template")) == hash_of()
    two = techniques_of("precision.q8_0", "kv_cache.q8_0")
    assert hash_of(GGUF, two, engine=LLAMA) == hash_of(GGUF, two[::-1], engine=LLAMA)


@pytest.mark.parametrize(
    ("model", "named", "other"),
    [
        (MODEL, "precision.float32", "precision.bfloat16"),
        (GGUF, "precision.gguf-stored", "precision.q8_0"),
        (NF4, "precision.as-stored", "precision.float32"),
        (MODEL, "kv_cache.full", "kv_cache.q8_0"),
    ],
)
def test_that_what_an_axis_has_anyway_is_the_same_named_or_not(model: ModelOrder, named: str, other: str) -> None:
    assert hash_of(model, techniques_of(named)) == hash_of(model)
    assert hash_of(model, techniques_of(other)) != hash_of(model)


def test_that_parameters_count_where_they_differ_from_the_frozen_ones() -> None:
    plain = hash_of(techniques=techniques_of("precision.int8"))
    assert hash_of(techniques=techniques_of("precision.int8", compute="auto")) == plain
    assert hash_of(techniques=techniques_of("precision.int8", compute="float32")) != plain
    assert hash_of(techniques=techniques_of("precision.int8", unknown=1)) != plain


def test_that_whole_numbers_and_floats_are_the_same_setting() -> None:
    assert hash_of(workload=Inference(window_s=5)) == hash_of(workload=Inference(window_s=5.0)) == hash_of()
    assert hash_of(workload=Inference(idle_s=0.0)) != hash_of(), "None is left to each machine, 0 is not"


def test_that_data_is_named_by_its_contents_where_they_are_known() -> None:
    def trained(data: str, hash: str) -> str:
        return hash_of(workload=Training(data=data, data_hash=hash))

    assert trained("/a", "x") == trained("/b", "x") != trained("/a", "y")
    assert trained("/a", "") != trained("/b", "")


@pytest.mark.parametrize(("rule", "name"), [("tokens", "token_budget"), ("time", "time_budget_s")])
def test_that_a_budget_counts_where_it_ends_training(rule: str, name: str) -> None:
    used = msgspec.structs.replace(RATED, stop_at=rule)
    assert hash_of(workload=msgspec.structs.replace(RATED, **{name: 7})) == hash_of(workload=RATED)
    assert hash_of(workload=msgspec.structs.replace(used, **{name: 7})) != hash_of(workload=used)


# --- what is added later ----------------------------------------------------------------------------


class _MoreInference(Inference, frozen=True, kw_only=True, tag_field="kind", tag="inference"):
    dummy: int = 3


class _MoreEngine(EngineOrder, frozen=True, kw_only=True):
    dummy: str = "off"


class _Dummy(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="dummy"):
    images: int = 4


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dummy axis with a technique, one more technique of precision, and a dummy engine with a setting."""
    axis = Axis("dummy", "Dummy", "A dummy.", default="dummy.off")
    added = tuple(
        Technique(id=id, title=id, sentence="", source="", implementation="", parameters=(Setting("p", default=2),))
        for id in ("dummy.off", "dummy.on", "precision.dummy")
    )
    listed = ((*axes(), axis), (*techniques(), *added), ())
    monkeypatch.setattr(technique_registry, "_load", lambda: listed)
    engine = EngineInfo(id="dummy", title="Dummy", factory="", settings=(Setting("s", default="a"),))
    known = {e.id: e for e in (*engines(), engine)}
    monkeypatch.setattr(engine_registry, "_load", lambda: (known, ()))


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize("name", CASES)
def test_that_a_new_axis_technique_or_engine_changes_no_hash(name: str) -> None:
    assert CASES[name]() == GOLDEN[name]


@pytest.mark.usefixtures("more")
def test_that_what_no_line_of_the_table_names_counts_from_its_declared_default() -> None:
    assert hash_of(techniques=techniques_of("dummy.off", p=2)) == hash_of(techniques=techniques_of("dummy.off"))
    assert hash_of(techniques=techniques_of("dummy.off", p=2)) == hash_of()
    different = {
        hash_of(),
        hash_of(techniques=techniques_of("dummy.off", p=3)),
        hash_of(techniques=techniques_of("dummy.on", p=2)),
        hash_of(techniques=techniques_of("precision.dummy")),
    }
    assert len(different) == 4
    dummy = hash_of(engine=EngineOrder(id="dummy"))
    assert dummy == hash_of(engine=EngineOrder(id="dummy", settings={"s": "a"})) != hash_of()
    assert hash_of(engine=EngineOrder(id="dummy", settings={"s": "b"})) != dummy


def test_that_a_new_field_changes_no_hash() -> None:
    assert hash_of(workload=_MoreInference()) == hash_of()
    assert hash_of(workload=_MoreInference(dummy=4)) != hash_of()
    assert hash_of(engine=_MoreEngine(settings={"attention": "sdpa"})) == hash_of()
    assert hash_of(engine=_MoreEngine(dummy="on")) != hash_of()


def test_that_another_kind_of_work_is_another_configuration() -> None:
    dummy: Workload = _Dummy()  # type: ignore[assignment]
    more: Workload = _Dummy(images=5)  # type: ignore[assignment]
    assert len({hash_of(), hash_of(workload=Training()), hash_of(workload=dummy), hash_of(workload=more)}) == 4


# --- the table --------------------------------------------------------------------------------------


def test_that_every_built_in_field_setting_and_parameter_has_its_line_in_the_table() -> None:
    """A default that changes later must move no hash: the table keeps what it was."""
    missing: list[str] = []

    def demand(table: str, known: dict[str, object], name: str, default: object) -> None:
        if name not in known:
            missing.append(f'workbench/plan/baseline.py, {table}: add "{name}": {default!r}')

    works: tuple[Workload, ...] = (Inference(), Training())
    for work in works:
        kind = str(work.__struct_config__.tag)
        for name in work.__struct_fields__:
            demand(f'WORK["{kind}"]', baseline.WORK.get(kind, {}), name, getattr(work, name))
    for name in EngineOrder.__struct_fields__:
        if name not in (*SURROUNDINGS, "settings"):
            demand("ENGINE", baseline.ENGINE, name, getattr(EngineOrder(), name))
    for id, own in (("transformers", HfSettings()), ("llama.cpp", LlamaSettings())):
        for name in own.__struct_fields__:
            demand(f'SETTINGS["{id}"]', baseline.SETTINGS[id], name, getattr(own, name))
    for info in engines():
        for setting in info.settings:
            demand(f'SETTINGS["{info.id}"]', baseline.SETTINGS.get(info.id, {}), setting.name, setting.default)
    for axis in axes():
        demand("AXES", dict(baseline.AXES), axis.id, {"": axis.default})
    for technique in techniques():
        known = baseline.PARAMETERS.get(technique.id, {})
        for name, value in technique.defaults().items():
            demand(f'PARAMETERS["{technique.id}"]', known, name, value)
    assert not missing, "\n".join(missing)


def test_that_the_table_and_what_an_order_without_a_precision_runs_in_are_one() -> None:
    assert baseline.AXES["precision"] == UNNAMED_PRECISION
