"""The plan's estimate of training's memory beside what a worker really needs, part by part.

    python -m benchmarks.finetune_memory [WORD ...]

Each configuration trains the starter for a few steps in a worker of its own. Measured is the worker's resident set at
its highest after loading (VmHWM, reset when the load phase ends), and the parts of one step as torch's tracker gives
them. The bar is an estimate within 10 % of what was measured. WORDs choose the configurations whose titles hold them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.trials import trial_order
from engines.models.lookup.catalogue import find_entry
from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.codec import decode_record, encode_order
from engines.protocol.orders import EngineOrder, TechniqueOrder, Training, TrialOrder
from engines.protocol.places import places
from engines.protocol.problems import Problem
from engines.protocol.records import Cue, MemoryParts, PhaseEnded, Record
from engines.protocol.ring import capacity_for, create_ring
from engines.techniques import MachineFacts, find
from workbench.plan.memory import TrainingParts, training_parts

BAR = 0.10
STARTER = "smollm2-135m-instruct"
MIB = 1 << 20
MACHINE = MachineFacts(device_kind="cpu", threads_default=1)


@dataclass(frozen=True)
class Configuration:
    method: str
    load: Training

    @property
    def title(self) -> str:
        load = self.load
        shape = f"{self.method} {load.batch_size} x {load.sequence_tokens}"
        return shape + " checkpointing" * load.checkpointing + f" {load.autocast}" * (load.autocast != "off")


def configurations() -> tuple[Configuration, ...]:
    def made(method: str, batch: int, tokens: int, **more: object) -> Configuration:
        load = Training(
            batch_size=batch,
            sequence_tokens=tokens,
            steps=3,
            warmup_steps=1,
            evaluation_tokens=0,
            **more,  # type: ignore[arg-type]
        )
        return Configuration(method, load)

    return (
        made("lora", 1, 64),
        made("lora", 1, 256),
        made("lora", 4, 64),
        made("lora", 4, 256),
        made("lora", 4, 256, checkpointing=True),
        made("lora", 2, 128, autocast="bfloat16"),
        made("dora", 1, 64),
        made("dora", 1, 256),
        made("freeze", 1, 256),
        made("freeze", 4, 256),
        made("full", 1, 64),
        made("full", 1, 256),
        made("full", 1, 256, checkpointing=True),
        made("full", 4, 256),
        *(made(method, 1, 256) for method in ("ia3", "vera", "loha", "oft", "miss", "prefix", "prompt", "bitfit")),
    )


@dataclass(frozen=True)
class Measured:
    resident_bytes: int
    loaded_bytes: int
    """Resident when it was loaded."""
    parts: MemoryParts | None


def order_of(configuration: Configuration, model: ResolvedModel) -> TrialOrder:
    technique = find(f"finetune.{configuration.method}")
    if technique is None:
        raise RuntimeError("this version does not have the method")
    order = trial_order(model.order, workload=configuration.load, engine=EngineOrder(threads=1))
    chosen = (
        TechniqueOrder(id="precision.float32"),
        TechniqueOrder(id=technique.id, parameters=technique.defaults()),
    )
    return TrialOrder(**{name: getattr(order, name) for name in order.__struct_fields__} | {"techniques": chosen})


def measure(order: TrialOrder) -> Measured:
    """Raises `RuntimeError` where the worker fails."""
    with tempfile.TemporaryDirectory() as folder:
        file, ring = Path(folder) / "order.json", Path(folder) / "ring"
        file.write_bytes(encode_order(order))
        create_ring(ring, capacity_for(order))
        reader, writer = os.pipe()
        command = [sys.executable, "-m", "engines.worker", "--order", str(file), "--ring", str(ring)]
        worker = subprocess.Popen(
            [*command, "--records", str(writer)], pass_fds=(writer,), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        os.close(writer)
        process = Path("/proc") / str(worker.pid)
        highest, loaded, parts, failed = 0, 0, None, ""
        for record in records(reader):
            if isinstance(record, PhaseEnded) and record.name == "load":
                (process / "clear_refs").write_text("5")  # the mark goes back to what is resident now
                highest = loaded = high_water(process)
            elif isinstance(record, MemoryParts):
                parts = record
            elif isinstance(record, Cue) and record.code.startswith("failure:"):
                failed = record.text
            highest = max(highest, high_water(process))
        _, words = worker.communicate()
    if worker.returncode:
        raise RuntimeError(failed or words.decode()[-500:])
    return Measured(highest, loaded, parts)


def records(descriptor: int) -> Iterator[Record]:
    with os.fdopen(descriptor, "rb") as pipe:
        for line in pipe:
            yield decode_record(line)


def high_water(process: Path) -> int:
    """0 once the process has ended."""
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def shown(configuration: Configuration, estimate: TrainingParts, measured: Measured) -> str:
    ratio = estimate.needed / measured.resident_bytes
    text = (
        f"{configuration.title:26} estimated {estimate.needed / MIB:6.0f} MiB, measured "
        f"{measured.resident_bytes / MIB:6.0f} MiB, {ratio - 1:+.1%}{'' if abs(ratio - 1) <= BAR else '  outside'}\n"
    )
    found = measured.parts
    pairs = {
        "weights": (estimate.weights, found and found.weights_bytes),
        "gradients": (estimate.gradients, found and found.gradients_bytes),
        "optimiser": (estimate.optimiser, found and found.optimiser_bytes),
        "activations": (estimate.activations, found and found.activations_bytes),
        "temporary": (estimate.temporary, found and found.temporary_bytes),
    }
    parts = (f"{name} {e / MIB:.0f}" + ("" if m is None else f" / {m / MIB:.0f}") for name, (e, m) in pairs.items())
    return (
        f"{text}    {', '.join(parts)}, overhead {estimate.overhead / MIB:.0f}; "
        f"loaded {measured.loaded_bytes / MIB:.0f}"
    )


def main(words: list[str]) -> int:
    """Exit code 1 if nothing could be measured."""
    entry = find_entry(STARTER)
    model = resolve(STARTER, places(), Path.cwd())
    if entry is None or isinstance(model, Problem):
        print("The starter is not on this computer: llm-workbench models --fetch-starter")
        return 1
    within = total = 0
    for one in configurations():
        if words and not any(word in one.title for word in words):
            continue
        try:
            order = order_of(one, model)
            measured = measure(order)
        except RuntimeError as error:
            print(f"{one.title:26} not measured: {error}".splitlines()[0], flush=True)
            continue
        estimate = training_parts(model.facts, order.techniques, one.load, MACHINE, order.engine)
        print(shown(one, estimate, measured), flush=True)
        total += 1
        within += abs(estimate.needed / measured.resident_bytes - 1) <= BAR
    print(f"{within} of {total} within {BAR:.0%}")
    return 0 if total else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
