"""`llm-workbench queue` and `stop`: what the runner of this computer does."""

from __future__ import annotations

import argparse
import sys

import msgspec

from engines.protocol.client import RunnerError, connect_local
from engines.protocol.messages import GetQueue, QueueEntry, QueueState, SetPaused
from engines.protocol.places import places
from engines.protocol.queue_file import last_known
from workbench.cli import NOT_FOUND, OK, WRONG
from workbench.cli.progress import HOW_TO_RESUME
from workbench.cli.tables import print_table
from workbench.running.workbench import Workbench
from workbench.store.operations import GetTrial

_NOTHING = "No trials running or queued."


def queue(options: argparse.Namespace) -> int:
    """Show the queue; with --pause or --resume change it first. Without a runner, show what it left on disk."""
    try:
        with connect_local(places(), start=options.pause or options.resume, client="queue") as client:
            if options.pause or options.resume:
                client.call(SetPaused(paused=options.pause))
            state = client.call(GetQueue())
    except RunnerError as error:
        if error.code != "not_running":
            raise
        state = last_known(places())
    if not isinstance(state, QueueState):
        raise RunnerError("The runner's answer is not a queue.", code="version")
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(state)).decode())
        return OK
    if not state.entries:
        print(_NOTHING)
    else:
        rows = [
            (
                e.trial,
                e.state if e.state != "ended" else e.outcome,
                f"block {e.block + 1}",
                e.title,
                e.text or e.message,
            )
            for e in state.entries
        ]
        print_table(("trial", "state", "", "configuration", ""), rows)
    if state.nothing_starts and (state.in_state("waiting") or state.in_state("running")):
        print(f"{state.nothing_starts} {HOW_TO_RESUME}")
    elif state.paused:
        print(" ".join(filter(None, ("The queue is paused.", state.pause_reason, HOW_TO_RESUME))))
    return OK


def stop(options: argparse.Namespace) -> int:
    """Stop trials by id or number; --all takes every one of this database. What is measured stays."""
    if not options.trials and not options.all:
        print("llm-workbench: Name a trial, or use --all.", file=sys.stderr)
        return WRONG
    with Workbench(options.database, client="stop") as workbench:
        entries = {e.trial: e for e in workbench.queue().entries if e.state != "ended"}
        if options.all:
            wanted = [e.trial for e in entries.values() if e.store == workbench.store_id]
        else:
            wanted = [t if t in entries else workbench.store.execute(GetTrial(trial=t)).trial for t in options.trials]
        # waiting ones first, or stopping the running one would start the next
        wanted.sort(key=lambda trial: trial in entries and entries[trial].state == "running")
        idle = [trial for trial in wanted if trial not in entries]
        for trial in wanted:
            if trial in entries:
                workbench.stop(trial, kill=options.kill)
        if not wanted:
            print(_NOTHING)
        for line in _stopped_lines([entries[trial] for trial in wanted if trial in entries], kill=options.kill):
            print(line)
        for trial in idle:
            print(f"llm-workbench: {trial} neither runs nor waits.", file=sys.stderr)
        return NOT_FOUND if idle else OK


def _stopped_lines(stopped: list[QueueEntry], *, kill: bool) -> list[str]:
    """What became of trials that ran or waited: those that ran one by one, those that waited as one line."""
    waiting = [e.trial for e in stopped if e.state != "running"]
    lines = [
        f"{e.trial}: {'killed' if kill else 'stopping, its data is kept'}" for e in stopped if e.state == "running"
    ]
    if len(waiting) == 1:
        lines.insert(0, f"{waiting[0]}: taken off the queue")
    elif waiting:
        lines.insert(0, f"{len(waiting)} waiting trials: taken off the queue")
    return lines
