"""The header of the trial that is shown, as it is at this moment: records, queue, order and clock together. No Qt."""

from __future__ import annotations

from dataclasses import replace

from engines.protocol.messages import ProbeResult, QueueEntry, QueueState
from engines.protocol.orders import AnyTraining, Inference, TrialOrder
from engines.protocol.work import tag_of
from widgets.monitor.header_view import HeaderView, header_view
from widgets.parts.link_state import LAST_KNOWN
from widgets.queue.rows import entry_seconds_left
from workbench.charts.curves import latest_time
from workbench.charts.series import TrialData


def header_now(
    data: TrialData | None,
    entry: QueueEntry | None,
    queue: QueueState | None,
    where: str,
    now_wall_s: float,
    *,
    lost: bool = False,
) -> HeaderView:
    """`where` from `where_it_runs`; `now_wall_s` seconds since 1970. `lost`: its machine does not answer;
    what is shown is what was known last."""
    left = None
    now = at = 0.0 if data is None else latest_time(data)
    if entry is not None and entry.state == "running" and queue is not None and not lost:
        left = entry_seconds_left(queue, entry, now_wall_s)
        now = max(now, now_wall_s - entry.started_wall_ns / 1e9 if entry.started_wall_ns else 0.0)
        if data is not None and data.started is not None:  # after the worker was made: phases count from there
            at = max(at, now_wall_s - data.started.clock.wall_ns / 1e9)
    view = header_view(data, entry, left, now, where, at_s=at)
    return replace(view, line=f"{LAST_KNOWN} · {view.line}", status="warn") if lost and view.running else view


def where_it_runs(
    data: TrialData | None,
    order: TrialOrder | None,
    entry: QueueEntry | None,
    probe: ProbeResult | None,
    machine: str = "",
) -> str:
    """ "GPU 0 · 128 in, 64 out, batch 1"; of what is known. What a trial recorded of its processor comes first: it may
    be another machine's, or this one's as it was. `machine`: its name where it is not this one; `probe`: of it."""
    device = order.device if order is not None else entry.device if entry is not None else ""
    recorded = _processor(data) if device == "cpu" else ""
    title = next((d.title for d in probe.devices if d.id == device), "") if probe is not None else ""
    return " · ".join(p for p in (machine, recorded or title or device, workload_text(order)) if p)


def _processor(data: TrialData | None) -> str:
    """ "Intel(R) Xeon(R) Processor, 2 cores" of a trial's own facts; "" while it has recorded none."""
    facts = {} if data is None else data.environment
    model, cores = facts.get("cpu.model", ""), facts.get("cpu.cores", "")
    if not model or model.startswith("not available"):
        return ""
    return f"{model}, {cores} core{'' if cores == '1' else 's'}" if cores.isdigit() else model


def workload_text(order: TrialOrder | None) -> str:
    """ "128 in, 64 out, batch 1"; "60 steps, batch 4 × 2, 128 tokens a sequence"."""
    if order is None:
        return ""
    work = order.workload
    if isinstance(work, AnyTraining):
        batch = str(work.batch_size) if work.accumulation == 1 else f"{work.batch_size} × {work.accumulation}"
        return f"{work.steps} steps, batch {batch}, {work.sequence_tokens} tokens a sequence"
    if not isinstance(work, Inference):
        return tag_of(type(work))
    return f"{work.prompt_tokens} in, {work.new_tokens} out, batch {work.batch_size}"
