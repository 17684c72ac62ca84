"""`python -m engines`: the runner and its clients on the command line.

Exit codes: 0 done; 1 refused or failed; 2 wrong use; 3 no such trial; 4 no runner, none could be started, or the link
was lost; 5 (`serve`) another runner is running; 6 (`attach`) the trial did not complete. Answers go to standard output,
what is for people only to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engines.hf import data_preview
from engines.models import receiving
from engines.models.lookup import command as look_up_command
from engines.protocol import messages
from engines.protocol.client import RunnerClient, RunnerError, connect_local
from engines.protocol.client_environment import submission
from engines.protocol.codec import decode_order, order_of, read_record
from engines.protocol.orders import TrialOrder
from engines.protocol.places import Places, places
from engines.protocol.queue_file import last_known
from engines.protocol.records import TrialEnded
from engines.protocol.streams import take_any_text
from engines.protocol.unix_socket import connect

if TYPE_CHECKING:
    from engines.runner.executor import Executor
    from engines.runner.serve import Beside
    from engines.runner.settings import RunnerSettings

DONE, FAILED, USAGE, UNKNOWN_TRIAL, NO_RUNNER, ALREADY_RUNNING, NOT_COMPLETED = range(7)

_CODES = {"unknown_trial": UNKNOWN_TRIAL, "link": NO_RUNNER, "start": NO_RUNNER, "version": NO_RUNNER}
_EXIT_CODES = (
    "Exit codes: 0 done, 1 refused or failed, 2 wrong use, 3 no such trial, 4 no runner or link lost, "
    "5 another runner is running (serve), 6 the trial did not complete (attach)."
)
_CHUNK = 1 << 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. -> exit code"""
    take_any_text()
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except RunnerError as error:
        _tell(str(error), error.advice)
        return _CODES.get(error.code, FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains while it ends
        return FAILED
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engines", description="The runner of this machine's trials.", epilog=_EXIT_CODES
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="be the runner (clients start one by themselves)")
    serve.add_argument("--detach", action="store_true", help="go to the background; return when clients can connect")
    serve.add_argument("--hold", action="store_true", help="begin with the queue only when asked to, or followed")
    serve.add_argument("--every-processor", action="store_true", help="not only those that this command may use")
    serve.add_argument("--idle-seconds", type=float, help="end after this time without clients, trials and queue (600)")
    serve.add_argument("--grace-seconds", type=float, help="how long a worker may take to stop by itself (20)")
    serve.add_argument("--keep-days", type=float, help="how long a finished trial's acknowledged spool is kept (7)")
    where = serve.add_mutually_exclusive_group()
    where.add_argument("--share", type=Path, metavar="FOLDER", help="of a Slurm job: take its orders, spool into it")
    where.add_argument("--slurm", metavar="NAME", help="run the trials in Slurm jobs")
    serve.set_defaults(run=_serve)

    submit = commands.add_parser("submit", help="queue trials")
    submit.add_argument("file", metavar="FILE", help="orders as JSON lines or one JSON list; - for standard input")
    submit.set_defaults(run=_submit)

    attach = commands.add_parser("attach", help="print a trial's records as JSON lines, up to its end")
    attach.add_argument("trial", metavar="TRIAL")
    attach.add_argument("--after", type=int, default=0, metavar="N", help="only records with a number above N")
    attach.set_defaults(run=_attach)

    stop = commands.add_parser("stop", help="stop a running trial, keeping its data, or take it out of the queue")
    stop.add_argument("trial", metavar="TRIAL")
    stop.add_argument("--kill", action="store_true", help="at once")
    stop.set_defaults(run=_stop)

    queue = commands.add_parser("queue", help="what runs and waits")
    queue.add_argument("--json", action="store_true")
    pausing = queue.add_mutually_exclusive_group()
    pausing.add_argument("--pause", dest="paused", action="store_const", const=True, help="start nothing more")
    pausing.add_argument("--resume", dest="paused", action="store_const", const=False, help="start trials again")
    queue.set_defaults(run=_queue)

    spools = commands.add_parser("list", help="spools on this machine")
    spools.add_argument("--json", action="store_true")
    spools.set_defaults(run=_list)

    probe = commands.add_parser("probe", help="devices, sensors and packages of this machine")
    probe.add_argument("--json", action="store_true")
    probe.set_defaults(run=_probe)

    instruments = commands.add_parser("instruments", help="how fine the clock is and how fast the sensors are")
    instruments.add_argument("--seconds", type=float, default=2.0, help="how long each sensor is watched (2)")
    instruments.add_argument("--json", action="store_true")
    instruments.set_defaults(run=_instruments)

    data = commands.add_parser("data-preview", help="print rows of training data as a model sees them, as JSON")
    data_preview.add_arguments(data)
    data.set_defaults(run=data_preview.run)

    slurm = commands.add_parser("slurm", help="as connect, to the runner whose trials run in Slurm jobs")
    slurm.add_argument("--name", required=True, help="of this queue: one for each kind of job")
    slurm.add_argument("--settings", default="{}", help="what jobs ask for, as JSON")
    slurm.set_defaults(run=_slurm)

    look_up = commands.add_parser("look-up", help="say what is here of an experiment (the runner starts it)")
    look_up.set_defaults(run=look_up_command.run)

    receive = commands.add_parser("receive", help="take a model that is copied from another machine")
    receive.set_defaults(run=receiving.run)

    connect = commands.add_parser("connect", help="join standard input and output to the runner (for SSH)")
    connect.set_defaults(run=_connect)
    return parser


# --- being the runner -----------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    from engines.runner.detach import detached
    from engines.runner.serve import AlreadyRunning, CannotServe, serve
    from engines.runner.settings import default_settings

    changes: dict[str, float] = {}
    if options.idle_seconds is not None:
        changes["idle_s"] = options.idle_seconds
    if options.grace_seconds is not None:
        changes["grace_s"] = options.grace_seconds
    if options.keep_days is not None:
        changes["keep_s"] = options.keep_days * 86_400
    try:
        settings = default_settings(hold=options.hold, **changes)
    except ValueError as error:
        _tell(f"The settings of the runner cannot be used: {error}")
        return USAGE
    if options.every_processor:  # the command that happens to start the runner is not the one whose trials it runs
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))
    here, settings, executor, beside = _place_of_trials(options, settings)
    logging.raiseExceptions = False  # a full disk must not turn every log line into a traceback
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if options.detach:
            detached(
                lambda ready: serve(here, settings, ready=ready, executor=executor, beside=beside), here.runner_log
            )
        else:
            serve(here, settings, ready=lambda: None, executor=executor, beside=beside)
    except AlreadyRunning as error:
        _tell(str(error))
        return DONE if options.detach else ALREADY_RUNNING
    except CannotServe as error:
        _tell(str(error))
        return FAILED
    finally:
        if settings.rings is not None:
            shutil.rmtree(settings.rings, ignore_errors=True)
    return DONE


def _place_of_trials(
    options: argparse.Namespace, settings: RunnerSettings
) -> tuple[Places, RunnerSettings, Executor | None, Beside | None]:
    """Where the runner's own files are, its settings there, where its trials run, and what runs beside it."""
    if options.share is not None:
        from engines.slurm.folder import JobFolder
        from engines.slurm.front import pace
        from engines.slurm.node import job_settings, serve_share

        folder = JobFolder(options.share)
        settings = job_settings(settings, folder)
        return folder.places(places()), settings, None, lambda runner: serve_share(runner, folder, pace().look_s)
    if options.slurm is not None:
        from engines.slurm.executor import SlurmExecutor
        from engines.slurm.front import front_places, pace

        here = front_places(places(), options.slurm)
        return here, settings, SlurmExecutor(here, pace()), None
    return places(), settings, None, None


# --- being a client -------------------------------------------------------------------------------


def _client(*, start: bool = True, hold: bool = True) -> RunnerClient:
    return connect_local(places(), start=start, hold=hold, client="python -m engines")


def _submit(options: argparse.Namespace) -> int:
    try:
        data = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
    except OSError as error:
        _tell(f"{options.file}: {error.strerror}")
        return USAGE
    try:
        orders = _orders_of(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        _tell(f"{options.file}: not an order: {error}", "Orders are JSON, one a line or in one list.")
        return USAGE
    with _client() as client:
        reply = client.call(submission(orders))
    if isinstance(reply, messages.Done):
        _say(reply.text)
    return DONE


def _orders_of(data: bytes) -> tuple[TrialOrder, ...]:
    if data.lstrip().startswith(b"["):
        return tuple(order_of(value) for value in msgspec.json.decode(data, type=list[object]))
    return tuple(decode_order(line) for line in data.splitlines() if line.strip())


def _attach(options: argparse.Namespace) -> int:
    ended: TrialEnded | None = None
    with _client(hold=False) as client:
        for reply in client.stream(messages.Attach(trial=options.trial, after=options.after)):
            if not isinstance(reply, messages.RecordLine):
                continue
            _say(reply.line)
            sys.stdout.flush()
            record = read_record(reply.line)
            if isinstance(record, TrialEnded):
                ended = record
    if ended is not None and ended.outcome != "completed":
        _tell(f"The trial {ended.outcome}. {ended.message}", ended.advice)
        return NOT_COMPLETED
    return DONE


def _stop(options: argparse.Namespace) -> int:
    with _client() as client:
        reply = client.call(messages.Stop(trial=options.trial, how="kill" if options.kill else "keep"))
    if isinstance(reply, messages.Done):
        _say(reply.text)
    return DONE


def _queue(options: argparse.Namespace) -> int:
    try:
        with _client(start=options.paused is not None) as client:
            if options.paused is not None:
                client.call(messages.SetPaused(paused=options.paused))
            state = client.call(messages.GetQueue())
    except RunnerError as error:
        if error.code != "not_running":
            raise
        state = last_known(places())
    assert isinstance(state, messages.QueueState)
    if options.json:
        _say(msgspec.json.encode(state).decode())
        return DONE
    if state.nothing_starts:
        _tell(state.nothing_starts)
    if state.paused:
        _say(f"paused{': ' + state.pause_reason if state.pause_reason else ''}")
    for entry in state.entries:
        done = "" if entry.fraction is None else f" {entry.fraction:.0%}"
        state_text = entry.outcome if entry.state == "ended" else entry.state + done
        _say(f"{entry.trial}  {state_text:<14}  {entry.title}  {entry.message}".rstrip())
    return DONE


def _list(options: argparse.Namespace) -> int:
    with _client() as client:
        spools = client.call(messages.ListSpools())
    assert isinstance(spools, messages.SpoolList)
    if options.json:
        _say(msgspec.json.encode(spools).decode())
        return DONE
    for spool in spools.spools:
        state = "complete" if spool.complete else "running"
        kept = f"{spool.acknowledged} of {spool.last_seq} acknowledged"
        _say(f"{spool.trial}  {state:<8}  {kept}  {spool.size_bytes / 1024:.0f} KiB  store {spool.store}")
    return DONE


def _probe(options: argparse.Namespace) -> int:
    with _client() as client:
        found = client.call(messages.Probe(), timeout=120.0)
    assert isinstance(found, messages.ProbeResult)
    if options.json:
        _say(msgspec.json.encode(found).decode())
        return DONE
    _say(found.machine)
    for device in found.devices:
        _say(f"device   {device.id}  {device.title}  {device.memory_total_bytes / (1 << 30):.1f} GiB")
    for sensor in found.sensors:
        _say(f"sensor   {sensor.source}/{sensor.quantity}  " + ("ok" if sensor.available else sensor.reason))
    for package in found.packages:
        _say(f"package  {package.name}  " + (package.version or f"missing: {package.install}"))
    return DONE


def _instruments(options: argparse.Namespace) -> int:
    """In this process, not in the runner: reading as fast as one can would disturb its trials."""
    from engines.host.instruments import instruments

    found = instruments(max(0.2, options.seconds))
    if options.json:
        _say(msgspec.json.encode(found).decode())
        return DONE
    clock = found.clock
    _say(
        f"clock {clock.name}: step {clock.step_ns} ns, a reading {clock.read_ns:.0f} ns, "
        f"a token's stamp {clock.stamp_ns:.0f} ns"
    )
    for source in found.sources:
        _say(f"{source.source}: a reading {source.read_us:.0f} us, {source.reads} in {source.span_s:.1f} s")
        for one in source.quantities:
            known = "changes too seldom to say" if one.updates_hz is None else f"{one.updates_hz:.1f} Hz"
            alone = "" if one.call_us is None else f", {one.call_us:.0f} us alone"
            _say(f"  {one.quantity}: {'at least ' if one.at_least else ''}{known}{alone}")
    return DONE


def _connect(options: argparse.Namespace) -> int:
    """The runner's own greeting is the first line: this adds and changes nothing."""
    return _join(places())


def _slurm(options: argparse.Namespace) -> int:
    from engines.protocol.job_settings import JobSettings
    from engines.protocol.orders import is_safe_name
    from engines.slurm.front import front_places, write_settings

    if not is_safe_name(options.name):
        _tell(f"{options.name!r} cannot be the name of a queue.")
        return USAGE
    try:
        settings = msgspec.json.decode(options.settings, type=JobSettings)
        here = front_places(places(), options.name)
        write_settings(here, settings)
    except ValueError as error:
        _tell(f"The settings of the jobs cannot be used: {error}")
        return USAGE
    except OSError as error:
        raise RunnerError(f"The settings of the jobs cannot be written: {error}", code="start") from error
    return _join(here, "--slurm", options.name)


def _join(here: Places, *options: str) -> int:
    deadline = time.monotonic() + 10.0
    while True:
        connect_local(
            here, client="python -m engines", options=options
        ).close()  # starts one if needed, and says why if that fails
        try:
            link = connect(here.runner_socket, 10.0)
        except OSError as error:
            if time.monotonic() > deadline:
                raise RunnerError(f"The runner is gone again: {error.strerror}") from error
            continue
        break
    link.settimeout(None)
    threading.Thread(target=_copy_input, args=(link,), name="connect-input", daemon=True).start()
    while data := link.recv(_CHUNK):
        view = memoryview(data)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]
    return DONE


def _copy_input(link: socket.socket) -> None:
    try:
        while data := os.read(sys.stdin.fileno(), _CHUNK):
            link.sendall(data)
        link.shutdown(socket.SHUT_WR)
    except OSError:
        link.close()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _tell(text: str, advice: str = "") -> None:
    sys.stderr.write("\n".join(part for part in (text, advice) if part) + "\n")
