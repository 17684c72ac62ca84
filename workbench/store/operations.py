"""Every operation on the store, as values. The same value runs against the open file (`store.local.LocalStore`) or
goes over the owner's socket (`store.remote.RemoteStore`); `Store.execute` is all a caller sees.

Each operation names its result type, so both ends agree. Times are ISO 8601 UTC strings in results. Every operation
may be executed twice with the effect of once, so a caller who lost the answer (the owner went away) may ask again.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import msgspec

from engines.protocol.orders import TrialOrder
from engines.protocol.problems import Advised
from workbench.selfcheck.result import SelfCheck

R = TypeVar("R", covariant=True)


class Operation(msgspec.Struct, Generic[R], frozen=True, kw_only=True, tag_field="operation", tag=True):
    """Base of all operations; `R` is what `Store.execute` returns for it."""


class Store(Protocol):
    """Where operations run. Blocking; call from a thread that may wait, never the window's main thread."""

    def execute(self, operation: Operation[R]) -> R:
        """Raises `StoreError` with a message for people."""
        ...

    def close(self) -> None: ...


class StoreError(Advised):
    """What happened to the store, what is safe and what to do, in `str(error)` and `advice`."""

    def __init__(self, message: str, advice: str = "", *, code: str = "store") -> None:
        super().__init__(message, advice)
        self.code = code
        """"newer_schema", "damaged", "locked", "disk_full", "not_found", "store"; also "owner_gone" (the process that
        owned the file went away: open it again), "foreign", "closed", "migration", "query", "version", "timeout",
        "memory", "not_utf8", "read_only"."""


def not_utf8(error: UnicodeEncodeError) -> StoreError:
    """Of a name that the file system has and that is no text."""
    shown = error.object.encode("utf-8", "backslashreplace").decode()
    return StoreError(
        f"{shown} is not UTF-8: a database can neither have such a name nor hold it. Nothing was changed.",
        "Rename the file or folder, or make a link to it with a plain name.",
        code="not_utf8",
    )


# --- results --------------------------------------------------------------------------------------


class ExperimentRow(msgspec.Struct, frozen=True, kw_only=True):
    experiment: str
    number: int
    name: str
    created_at: str
    baseline: str | None
    trials: int
    waiting: int
    """In state waiting."""
    completed: int
    failed: int
    """Outcome failed or lost."""
    definition: str = ""
    running: int = 0
    stopped: int = 0
    note: str = ""
    """What is to be known of it, in words: why it ended early."""


class TrialRow(msgspec.Struct, frozen=True, kw_only=True):
    trial: str
    number: int
    experiment: str
    experiment_name: str
    configuration: str
    title: str
    color: int
    block: int
    position: int
    machine: str
    device: str
    state: str
    outcome: str | None
    failure: str | None
    message: str | None
    advice: str | None
    verdict: str | None
    last_seq: int
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    duration_s: float | None
    seed: int = 0


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    trial: str
    metric: str
    version: int
    value: float | None
    unit: str
    method: str
    scope: str
    n: int | None
    reason: str


class ReasonRow(msgspec.Struct, frozen=True, kw_only=True):
    trial: str
    code: str
    severity: str
    message: str


class ConfigurationRow(msgspec.Struct, frozen=True, kw_only=True):
    configuration: str
    experiment: str
    title: str
    color: int
    position: int
    model: str
    resolved: str
    """JSON: the order without trial, block, position and seed."""


class SaidRow(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it was said, and by which trial."""

    trial: str
    configuration: str
    block: int
    line: str
    """JSON, for `engines.protocol.codec.decode_record`."""


class ExperimentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """All that the comparison of one experiment needs, in one round trip."""

    experiment: ExperimentRow
    configurations: tuple[ConfigurationRow, ...]
    trials: tuple[TrialRow, ...]
    metrics: tuple[MetricRow, ...]
    reasons: tuple[ReasonRow, ...]
    environments: dict[str, dict[str, str]]
    """Facts by trial."""
    evaluations: dict[str, tuple[str, ...]] = {}
    """Lines of the records of quality by trial: evaluations on held-out text and scores on tasks."""


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """`last_seq` is what the store now has without a gap; `buried` means the trial was deleted."""

    last_seq: int
    new_records: int
    buried: bool = False
    ended: bool = False
    """The store has the trial's last record."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    experiments: int
    trials: int
    samples: int
    size_bytes: int


class Bundled(msgspec.Struct, frozen=True, kw_only=True):
    """What of an experiment was written to a bundle, or read from one."""

    experiment: str
    trials: int
    left_out: int
    """Trials not ended (export), or stored already (import)."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A query's answer: column names and rows of JSON values."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    truncated: bool = False
    """There were more rows than the limit."""


# --- operations -----------------------------------------------------------------------------------


class GetStoreId(Operation[str], frozen=True, kw_only=True):
    pass


class GetCounts(Operation[Counts], frozen=True, kw_only=True):
    pass


class ListExperiments(Operation[tuple[ExperimentRow, ...]], frozen=True, kw_only=True):
    """Newest first."""

    limit: int = 1000


class ListTrials(Operation[tuple[TrialRow, ...]], frozen=True, kw_only=True):
    """Newest first; `experiment` and `state` narrow it where not empty."""

    experiment: str = ""
    state: str = ""
    limit: int = 1000
    offset: int = 0


class GetTrial(Operation[TrialRow], frozen=True, kw_only=True):
    """By id, or by its number as text ("118"). StoreError code "not_found"."""

    trial: str


class GetExperiment(Operation[ExperimentDetail], frozen=True, kw_only=True):
    """By id, number as text, unique name, or "" for the newest. StoreError code "not_found"."""

    experiment: str = ""


class ReadRecords(Operation[tuple[str, ...]], frozen=True, kw_only=True):
    """A trial's records as JSON lines in order of seq, telemetry and stamps put together again. For `replay`."""

    trial: str
    after: int = 0
    limit: int = 100_000


class ReadKinds(Operation[tuple[SaidRow, ...]], frozen=True, kw_only=True):
    """Every record of the given kinds (tags of `engines.protocol.records`) over an experiment's trials, by block, trial
    and number. The experiment as in `GetExperiment`. Telemetry and stamps are stored as columns and are not here."""

    experiment: str
    kinds: tuple[str, ...]


class AddExperiment(Operation[str], frozen=True, kw_only=True):
    """Write the experiment, its configurations and its trials (state waiting) before anything is submitted. -> id

    An experiment that is stored already is left as it is."""

    experiment: str
    name: str
    definition: str
    seed: int
    orders: tuple[TrialOrder, ...]
    baseline: str | None = None


class AddTrials(Operation[None], frozen=True, kw_only=True):
    """Further trials (state waiting) of experiments that are stored, before they are submitted: retries. Trials already
    stored are left alone. StoreError code "not_found"."""

    orders: tuple[TrialOrder, ...]


class GetOrder(Operation[TrialOrder], frozen=True, kw_only=True):
    """What a stored trial was asked to do, to run it again. By id or number. StoreError code "not_found"."""

    trial: str


class Ingest(Operation[Ingested], frozen=True, kw_only=True):
    """Take in spool lines. Twice is the same as once; numbers that are missing become `LostRecord`s. A trial the
    store does not know (its experiment row was lost) is created from `order`. One that is buried is refused."""

    trial: str
    lines: tuple[str, ...]
    order: TrialOrder | None = None


class SetMetrics(Operation[None], frozen=True, kw_only=True):
    """Replace a trial's metrics of the same versions, its reasons and its verdict."""

    trial: str
    metrics: tuple[MetricRow, ...]
    reasons: tuple[ReasonRow, ...]
    verdict: str


class AddSamples(Operation[int], frozen=True, kw_only=True):
    """Readings of another instrument for a stored trial, in the trial's monotonic time; they replace those imported
    before under the same `source`. -> how many. StoreError codes "not_found", "samples".

    `file` and `sha256` say where they came from."""

    trial: str
    source: str
    quantity: str
    times_ns: tuple[int, ...]
    values: tuple[float, ...]
    file: str = ""
    sha256: str = ""


class ReadImported(Operation[tuple[str, ...]], frozen=True, kw_only=True):
    """The imported samples of a trial as telemetry records without a number, JSON lines. For `replay`."""

    trial: str


class ExportBundle(Operation[Bundled], frozen=True, kw_only=True):
    """Write everything about an experiment's ended trials into a folder of Parquet files on the owner's machine.
    StoreError codes "not_found", "bundle"."""

    experiment: str
    folder: str
    """Absolute: the owner of the file may run elsewhere."""


class ImportBundle(Operation[Bundled], frozen=True, kw_only=True):
    """Take in a folder that `ExportBundle` wrote, without its figures: its new trials have no verdict yet. Twice is the
    same as once. StoreError code "bundle"."""

    folder: str


class SetBaseline(Operation[None], frozen=True, kw_only=True):
    experiment: str
    configuration: str | None


class SetNote(Operation[None], frozen=True, kw_only=True):
    experiment: str
    note: str


class Rename(Operation[None], frozen=True, kw_only=True):
    experiment: str
    name: str


class DeleteTrials(Operation[tuple[str, ...]], frozen=True, kw_only=True):
    """Delete trials (or a whole experiment's) with all their rows and leave tombstones. -> ids deleted."""

    trials: tuple[str, ...] = ()
    experiment: str = ""


class FindUnused(Operation[tuple[str, ...]], frozen=True, kw_only=True):
    """Those of `trials` that were deleted from this store, and whose files no trial of it names: as its model, or as
    the checkpoint that it continued from, unless it has completed."""

    trials: tuple[str, ...]


class ListUnfinished(Operation[tuple[TrialRow, ...]], frozen=True, kw_only=True):
    """Trials not ended: what to ask the runner for at start."""


class ListUnjudged(Operation[tuple[str, ...]], frozen=True, kw_only=True):
    """Ended trials without a verdict: whoever took their end in did not live to compute their figures."""


class MarkLost(Operation[None], frozen=True, kw_only=True):
    """The runner knows nothing of this trial: end it as lost, keeping what is stored."""

    trial: str
    message: str


class Durations(Operation[dict[str, tuple[float, ...]]], frozen=True, kw_only=True):
    """Durations (s) of completed trials by configuration hash. Those that continued another took a part of it."""

    configurations: tuple[str, ...]


class Losses(Operation[dict[str, dict[str, float]]], frozen=True, kw_only=True):
    """Test losses of valid training trials (held-out ones where they made none) by configuration hash, and within it by
    experiment and block: "e-01 3"."""

    configurations: tuple[str, ...]


class MemoryRatios(Operation[dict[str, tuple[float, ...]]], frozen=True, kw_only=True):
    """What completed training trials of this machine needed at their peak, as multiples of what these formulas expected
    of them: by kind of device ("cpu", "cuda"), the newest first."""

    expected_by: int
    machine: str = "this"
    limit: int = 50


class SetAdvice(Operation[None], frozen=True, kw_only=True):
    """What to do about a trial that failed, in place of what its worker or runner could say."""

    trial: str
    advice: str


class AddSelfCheck(Operation[None], frozen=True, kw_only=True):
    """Keep what a self-check found, beside the machine's name."""

    result: SelfCheck


class ListSelfChecks(Operation[tuple[SelfCheck, ...]], frozen=True, kw_only=True):
    """Newest first; of one machine where `machine` is not empty."""

    machine: str = ""
    limit: int = 20


class Query(Operation[Table], frozen=True, kw_only=True):
    """Read-only SQL for the command line and exports. Anything but one SELECT is refused."""

    sql: str
    limit: int = 10_000
