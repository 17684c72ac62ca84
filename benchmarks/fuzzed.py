"""What is fuzzed: each kind with its examples, how it is read, and the errors it may raise. A library of
`benchmarks.fuzzing`."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from unittest import mock

import msgspec
import pyarrow
import pyarrow.parquet

from engines.protocol import MAGIC, PROTOCOL_VERSION
from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.codec import (
    BadLine,
    decode_answer,
    decode_call,
    decode_order,
    decode_record,
    encode_answer,
    encode_call,
    encode_order,
    read_record,
)
from engines.protocol.messages import (
    Answer,
    Attach,
    Call,
    Done,
    Failure,
    GetQueue,
    Hello,
    ListSpools,
    QueueState,
    RecordLine,
    Spool,
    SpoolList,
    StreamEnded,
    Submit,
    Watch,
    Welcome,
)
from engines.protocol.orders import Inference, ModelOrder, TechniqueOrder, TrialOrder
from engines.protocol.queue_file import QueueFile, Waiting, decode_queue
from engines.protocol.records import (
    ClockPair,
    Cue,
    Environment,
    Log,
    PhaseEnded,
    PhaseStarted,
    Progress,
    Record,
    Request,
    Sensor,
    Sensors,
    Stamps,
    Telemetry,
    TrialEnded,
    TrialStarted,
)
from engines.runner.spools.spool import RECORDS, BadSpool, SpoolReader, SpoolWriter, numbered, read_header
from tests.builders import trial_order
from workbench.experiment.file import dump, parse
from workbench.experiment.presets import presets
from workbench.metrics.evaluate import evaluate_trial
from workbench.store.bundles import importing
from workbench.store.bundles.exporting import MANIFEST
from workbench.store.bundles.unpacking import Room
from workbench.store.local import LocalStore
from workbench.store.operations import (
    AddExperiment,
    ExportBundle,
    GetStoreId,
    ImportBundle,
    Ingest,
    ReadRecords,
    StoreError,
)
from workbench.store.records import replay

PATIENCE_S = 0.05
"""For an answer that a hostile runner does not give."""


@dataclass(frozen=True)
class Reader:
    """`read` returns, or raises one of `meant`."""

    examples: Sequence[bytes]
    read: Callable[[bytes], object]
    meant: tuple[type[Exception], ...]
    may_crash: bool = False
    """Read by a library of C: the input is written down before, because a crash leaves nothing else."""


def order(trial: str = "t-1", store: str = "s-1") -> TrialOrder:
    return trial_order(
        trial,
        store=store,
        model=ModelOrder(ref="tiny", title="tiny", kind="random", config={"hidden_size": 8}),
        techniques=(TechniqueOrder(id="precision.int8", parameters={"group": 32}),),
        workload=Inference(batch_size=2),
    )


def records() -> list[Record]:
    """A trial of nearly every kind of record."""
    second = 1_000_000_000
    body: list[Record] = [
        TrialStarted(t_ns=second, clock=ClockPair(10 * second, second), worker_pid=42, threads=1),
        Environment(t_ns=second, facts={"python": "3.11", "cpu.model": "x"}),
        Sensors(t_ns=second, sensors=(Sensor(source="s", quantity="rss_bytes", title="memory", method="read"),)),
        PhaseStarted(t_ns=2 * second, name="measure"),
        Stamps(t_ns=2 * second, first=0, times_ns=[2 * second + n for n in range(20)]),
        Telemetry(t_ns=2 * second, source="s", times_ns=[second, 2 * second], columns={"rss_bytes": [1.0, None]}),
        Request(
            t_ns=3 * second,
            index=0,
            warmup=False,
            start_ns=2 * second,
            end_ns=3 * second,
            first_stamp=0,
            stamps=20,
            prompt_tokens=8,
            generated_tokens=20,
            batch_size=1,
        ),
        Progress(t_ns=3 * second, text="half", fraction=0.5),
        Log(t_ns=3 * second, level="info", source="worker", text="hello"),
        Cue(t_ns=3 * second, code="failure:out_of_memory", text="no memory"),
        PhaseEnded(t_ns=4 * second, name="measure", index=0, start_ns=2 * second),
        TrialEnded(t_ns=5 * second, outcome="completed", clock=ClockPair(14 * second, 5 * second)),
    ]
    return body


def lines() -> list[bytes]:
    return [numbered(record, seq).rstrip(b"\n") for seq, record in enumerate(records(), 1)]


def _answers() -> list[Answer]:
    entry = Waiting(order=order(), submitted_wall_ns=1).entry("running")
    spool = Spool(trial="t-1", store="s", experiment="e", last_seq=2, complete=True, acknowledged=0, size_bytes=9)
    welcome = Welcome(version=PROTOCOL_VERSION, pid=1, boot="b", machine="m", clock_wall_ns=1, clock_mono_ns=1)
    return [
        Answer(1, welcome),
        Answer(2, QueueState(entries=(entry,), paused=False)),
        Answer(3, SpoolList(spools=(spool,))),
        *(Answer(4, RecordLine(trial="t-1", seq=n, line=line.decode())) for n, line in enumerate(lines(), 1)),
        Answer(4, StreamEnded(reason="ended")),
        Answer(5, Done(text="done")),
        Answer(6, Failure(code="unknown_trial", message="no such trial", advice="none")),
    ]


# --- kinds ------------------------------------------------------------------------------------------

_MEANT = (BadLine, msgspec.MsgspecError, UnicodeDecodeError)


def protocol(_folder: Path) -> Reader:
    """Lines of records, calls, answers and orders, each read as every one of them."""
    calls = [Hello(version=1, client="x"), Submit(orders=(order(),)), Attach(trial="t-1", after=3), Watch()]
    examples = [
        *lines(),
        *(encode_call(Call(number, call)) for number, call in enumerate(calls)),
        *map(encode_answer, _answers()),
        encode_order(order()),
        msgspec.json.encode(QueueFile(waiting=[Waiting(order=order(), submitted_wall_ns=1)])),
    ]

    def read(data: bytes) -> None:
        refused: Exception | None = None
        for decode in (decode_record, decode_call, decode_answer, decode_order, decode_queue):
            try:
                decode(data)
                refused = None
                break
            except _MEANT as error:
                refused = error
        read_record(data)
        if refused is not None:
            raise refused

    return Reader(examples, read, _MEANT)


def spools(folder: Path) -> Reader:
    """Spool files: recovered by the next runner and read by its clients; what comes is gapless and has an end."""
    writer = SpoolWriter.create(folder / "example", order())
    writer.append(records())
    writer.close()
    whole = (folder / "example" / RECORDS).read_bytes()
    path = folder / "example" / RECORDS

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_header(path.parent)
        writer = SpoolWriter.recover(path.parent)
        reader = SpoolReader(path.parent, 0)
        try:
            numbers: list[int] = []
            while (found := reader.read(writer)) is not None:
                numbers += [seq for seq, _ in found]
            assert numbers == list(range(1, len(numbers) + 1)), "a gap"
        finally:
            reader.close()
            writer.close()

    return Reader([whole, whole + b"\n" + whole, whole[: len(whole) // 2]], read, (BadSpool, OSError))


def store(folder: Path) -> Reader:
    """Lines of a hostile runner taken into the store, and judged."""
    local = LocalStore(folder / "a.duckdb")
    identity = local.execute(GetStoreId())
    numbers = iter(range(10**9))

    def read(data: bytes) -> None:
        trial = f"t-{next(numbers)}"
        mine = msgspec.structs.replace(order(trial, identity), experiment=f"e-{trial}")
        local.execute(AddExperiment(experiment=mine.experiment, name="x", definition="", seed=1, orders=(mine,)))
        said = data.decode("utf-8", "replace").split("\n")
        local.execute(Ingest(trial=trial, lines=tuple(said)))
        local.execute(ReadRecords(trial=trial))
        evaluate_trial(trial, replay(local, trial))

    return Reader([b"\n".join(lines())], read, (StoreError,))


def messages(_folder: Path) -> Reader:
    """A runner that answers with anything, behind a client that asks what the workbench asks."""
    banner = f"Welcome to the machine\n{MAGIC} {PROTOCOL_VERSION}\n".encode()
    examples = [banner + b"".join(encode_answer(answer) + b"\n" for answer in _answers())]

    def serve(link: socket.socket, data: bytes) -> None:
        """A line of the answers for each call; all that is left for the last one."""
        first, *answers = data.split(b"\n", 5) if data.startswith(b"Welcome") else (b"", *data.split(b"\n", 4))
        with link, link.makefile("rb") as calls, contextlib.suppress(OSError):
            link.sendall(b"\n".join((first, *answers[:1], b"")))
            for answer in answers[1:]:
                if not calls.readline():
                    return
                link.sendall(answer + b"\n")

    def read(data: bytes) -> None:
        ours, theirs = socket.socketpair()
        server = threading.Thread(target=serve, args=(theirs, data))
        server.start()

        def end() -> None:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)
            ours.close()

        try:
            with RunnerClient(ours.makefile("rb"), ours.makefile("wb"), hang_up=end, timeout=PATIENCE_S) as client:
                client.call(GetQueue(), timeout=PATIENCE_S)
                client.call(ListSpools(), timeout=PATIENCE_S)
                for reply in client.stream(Attach(trial="t-1")):
                    if isinstance(reply, RecordLine):
                        read_record(reply.line)
        finally:
            server.join()

    return Reader(examples, read, (RunnerError,))


def experiments(_folder: Path) -> Reader:
    """Experiment files: problems come as values, nothing is raised."""
    examples = [dump(preset.experiment).encode() for preset in presets()] + [EXAMPLE]
    return Reader(examples, lambda data: parse(data.decode("utf-8", "replace")), ())


EXAMPLE = b"""
schema = 1
name = "x"

[run]
trials = 3
machines = ["this", "lab/cuda:0"]

[[models]]
ref = "tiny"

[techniques]
precision = ["float32", { id = "precision.int8", group = 32 }]

[workload]
kind = "inference"
batch_size = [1, 2]
"""


_ROOM_BYTES = 64 << 20
"""All that a bundle may unpack to here, so that one which is let through shows in the memory."""


def _bomb(records: Path) -> bytes:
    """A small file of 200 MiB."""
    with records.open("rb") as file:
        row = pyarrow.parquet.ParquetFile(file).read().slice(0, 1)
    text = pyarrow.array(["0" * (1 << 20)])
    into = pyarrow.BufferOutputStream()
    many = row.set_column(row.column_names.index("record"), "record", text).take(pyarrow.array([0] * 200))
    pyarrow.parquet.write_table(many, into, compression="zstd")
    return bytes(into.getvalue())


def bundles(folder: Path) -> Reader:
    """Bundles whose files are changed and whose manifest says that they are as they were written."""
    local = LocalStore(folder / "a.duckdb")
    mine = order(store=local.execute(GetStoreId()))
    local.execute(AddExperiment(experiment="e-1", name="x", definition="", seed=1, orders=(mine,)))
    local.execute(Ingest(trial="t-1", lines=tuple(line.decode() for line in lines())))
    bundle = folder / "bundle"
    local.execute(ExportBundle(experiment="e-1", folder=str(bundle)))
    local.close()
    target = LocalStore(folder / "b.duckdb")
    files = sorted(path for path in bundle.iterdir() if path.name != MANIFEST)
    sound = {path.name: path.read_bytes() for path in files}
    manifest = (bundle / MANIFEST).read_bytes()
    examples = [*(name.encode() + b"\n" + data for name, data in sound.items()), MANIFEST.encode() + b"\n" + manifest]
    examples.append(b"records.parquet\n" + _bomb(bundle / "records.parquet"))
    mock.patch.object(importing, "Room", partial(Room, _ROOM_BYTES)).start()

    def read(data: bytes) -> None:
        name, _, changed = data.partition(b"\n")
        path = bundle / os.fsdecode(name.replace(b"/", b"").replace(b"\0", b"")[:100] or b"x")
        for each, original in sound.items():
            (bundle / each).write_bytes(original)
        text = manifest
        if path.name == MANIFEST:
            text = changed
        elif path.name in sound:
            path.write_bytes(changed)
            text = manifest.replace(sha256(sound[path.name]).hexdigest().encode(), sha256(changed).hexdigest().encode())
        (bundle / MANIFEST).write_bytes(text)
        target.execute(ImportBundle(folder=str(bundle)))

    return Reader(examples, read, (StoreError,), may_crash=True)


KINDS: dict[str, tuple[Callable[[Path], Reader], float]] = {
    "protocol": (protocol, 0.70),
    "spools": (spools, 0.15),
    "messages": (messages, 0.08),
    "experiments": (experiments, 0.05),
    "store": (store, 0.012),
    "bundles": (bundles, 0.008),
}
"""Each with its share of the inputs, by what one costs."""
