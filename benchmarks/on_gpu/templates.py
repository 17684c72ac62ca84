"""Part 5: a plain start and two from one template, on the device; then a look at the template process itself."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.on_gpu.notes import Notes
from benchmarks.on_gpu.records import end_of, phase_s, trial
from benchmarks.on_gpu.setting import Setting
from benchmarks.trials import own_runner, trial_order
from engines.protocol.orders import EngineOrder, Inference, TrialOrder
from engines.worker.template import obstacle

_TOKENS = 8
_METHODS = ("plain", "template", "template")


def run(setting: Setting, notes: Notes) -> None:
    problems = []
    with own_runner() as client:
        for place, method in enumerate(_METHODS):
            name = f"start {place + 1}, {method}"
            records, arranged = trial(client, order_of(setting, place), notes)
            started = arranged.started.start_method if arranged.started is not None else "not started"
            facts = arranged.environment
            notes.add(name, end_of(arranged), note=f"started {started}; device {facts.get('worker.device', 'unknown')}")
            notes.add(f"{name}: start phase", phase_s(records, "start"), "s", "libraries imported, nothing loaded")
            if fallback := facts.get("start.fallback"):
                notes.add(f"{name}: fell back", fallback)
            if arranged.ended is None or arranged.ended.outcome != "completed":
                problems.append(f"{name} came to: {end_of(arranged)}")
        _look(notes, facts.get("template.pid", ""))
    if problems:
        raise RuntimeError("; ".join(problems))


def order_of(setting: Setting, place: int) -> TrialOrder:
    """Those from a template are of one experiment and block, so that the second finds the template there; few tokens,
    because trials of one experiment wait for the device to cool down."""
    lengths = setting.lengths
    workload = Inference(
        prompt_tokens=lengths.prompt_tokens,
        new_tokens=_TOKENS,
        requests=2,
        window_s=0.0,
        warmup_requests=2,
        idle_s=0.0,
        prefill_energy_s=0.0,
    )
    made = trial_order(
        setting.small,
        "precision.bfloat16",
        workload=workload,
        engine=EngineOrder(start_method="template" if _METHODS[place] == "template" else "plain"),
        trial=f"templates-{place}",
        device=setting.device,
    )
    return msgspec.structs.replace(made, position=place, total=len(_METHODS), experiment=f"bench-{_METHODS[place]}")


def _look(notes: Notes, pid: str) -> None:
    """What the runner checks before every fork, looked at from outside."""
    name = "the template after its forks"
    if not pid:
        notes.add(name, None, note="no worker was forked")
        return
    try:
        why = obstacle(Path("/proc") / pid)
    except OSError as error:
        notes.add(name, None, note=f"it is gone: {error}")
    else:
        notes.add(name, why or "one thread, no GPU open")
