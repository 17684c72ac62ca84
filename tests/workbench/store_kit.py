"""What the store's tests share: orders, lines and an experiment that is stored."""

from __future__ import annotations

from collections.abc import Iterable

from engines.protocol.codec import encode_record
from engines.protocol.orders import Inference, ModelOrder, TechniqueOrder, TrialOrder
from engines.protocol.records import ClockPair, Log, Record, TrialEnded, TrialStarted
from tests.builders import trial_order
from workbench.store.operations import AddExperiment, GetStoreId, Store

WALL_NS = 1_790_000_000_000_000_000
START_NS = 5_000_000_000


def order(
    trial: str,
    *,
    store: str,
    experiment: str = "e-1",
    configuration: str = "c-1",
    position: int = 0,
    machine: str = "this",
) -> TrialOrder:
    return trial_order(
        trial,
        experiment=experiment,
        store=store,
        configuration=configuration,
        title=f"tiny · {configuration}",
        block=position // 2,
        position=position,
        total=4,
        seed=100 + position,
        experiment_title="first comparison",
        color=int(configuration.rpartition("-")[2]),
        model=ModelOrder(ref="tiny", title="tiny", kind="random", config={"hidden_size": 8}),
        techniques=(TechniqueOrder(id="precision.int8", parameters={"group": 32}),),
        workload=Inference(batch_size=2),
        machine=machine,
    )


def add_experiment(
    store: Store, *trials: str, experiment: str = "e-1", name: str = "first comparison", machine: str = "this"
) -> None:
    """Trials in two configurations, in turn."""
    id = store.execute(GetStoreId())
    orders = tuple(
        order(trial, store=id, experiment=experiment, configuration=f"c-{i % 2}", position=i, machine=machine)
        for i, trial in enumerate(trials)
    )
    store.execute(AddExperiment(experiment=experiment, name=name, definition="schema = 1", seed=7, orders=orders))


def started(seq: int = 1) -> TrialStarted:
    return TrialStarted(seq=seq, t_ns=START_NS, clock=ClockPair(WALL_NS, START_NS), worker_pid=42, threads=1)


def ended(seq: int, *, after_s: float = 12.5, outcome: str = "completed") -> TrialEnded:
    after_ns = round(after_s * 1e9)
    return TrialEnded(
        seq=seq,
        t_ns=START_NS + after_ns,
        outcome=outcome,  # type: ignore[arg-type]
        clock=ClockPair(WALL_NS + after_ns, START_NS + after_ns),
    )


def log(seq: int, text: str = "hello") -> Log:
    return Log(seq=seq, t_ns=START_NS + seq, level="info", source="worker", text=text)


def lines(records: Iterable[Record]) -> tuple[str, ...]:
    return tuple(encode_record(record).decode() for record in records)
