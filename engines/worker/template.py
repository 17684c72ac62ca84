"""`python -m engines.worker.template --control FD --runner PID --key KEY`: imports an engine once, forks its workers.

Importing torch and transformers costs five seconds of processor time. This process does it, never runs an operation,
and forks one worker for each request of the runner. It sleeps in between. One thread only: a fork of more would leave
locks held for ever, so it looks before each fork and refuses.

FD is a SOCK_SEQPACKET socket; what is said on it stands in `engines.worker.forks`.

A worker is forked twice, so that it becomes the child of the runner (which adopts orphans): the runner then waits for
it, signals it and is its parent in death like that of any other worker, whatever becomes of the template.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import resource
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import msgspec

import engines.worker.__main__ as worker
from engines.catalogue import find
from engines.worker.forks import DESCRIPTORS, MESSAGE_BYTES, ForkRequest, Key, Ready, Said
from engines.worker.process import die_with_parent, prepare_process
from engines.worker.record_writer import RunnerGone

PROC = Path("/proc/self")
_ADOPTION_S = 5.0


class Template:
    """Forks workers on request until the runner hangs up."""

    def __init__(self, control: socket.socket, runner: int) -> None:
        self._control = control
        self._runner = runner
        self._forks = 0

    def serve(self, key: Key) -> None:
        start = time.monotonic()
        prepare_process(key.threads, key.devices, allow_network=key.allow_network)
        engine = find(key.engine)
        if engine is None or not engine.template:
            self._say(Said(refused=f"there is no template for the engine {key.engine}"))
            return
        importlib.import_module(engine.template)
        gc.collect()
        gc.freeze()  # a collection in a fork would copy every page it looks at
        why = obstacle()
        if why:
            self._say(Said(refused=why))
            return
        pss, rss = memory()
        self._say(Said(ready=Ready(pss_bytes=pss, rss_bytes=rss, import_s=time.monotonic() - start)))
        while self._answer():
            pass

    def _answer(self) -> bool:
        """Fork for one request. -> False when the runner has hung up."""
        data, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, DESCRIPTORS)
        if not data:
            return False
        try:
            request = msgspec.json.decode(data, type=ForkRequest)
            why = obstacle() if len(descriptors) == DESCRIPTORS else "the request came without its pipes"
            self._say(Said(refused=why) if why else self._fork(request, descriptors))
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
            self._say(Said(refused=str(error)))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _fork(self, request: ForkRequest, descriptors: list[int]) -> Said:
        self._forks += 1
        pss, rss = memory()
        facts = {
            "template.pid": str(os.getpid()),
            "template.forks": str(self._forks),
            "template.pss_bytes": str(pss),
            "template.rss_bytes": str(rss),
            "template.shared": "address layout and hash seed are those of the template and of its other forks",
        }
        listen, tell = os.pipe()
        between = os.fork()
        if between == 0:
            self._be_between(request, descriptors, facts, tell)
        os.close(tell)
        os.waitpid(between, 0)
        with os.fdopen(listen, "rb") as words:
            pid = words.read()
        return Said(pid=int(pid), pss_bytes=pss) if pid else Said(refused="the second fork failed")

    def _be_between(self, request: ForkRequest, descriptors: list[int], facts: dict[str, str], tell: int) -> None:
        """The process between template and worker: ends at once, which makes the worker an orphan. Never returns."""
        try:
            pid = os.fork()
            if pid:
                os.write(tell, b"%d" % pid)
                os._exit(0)
        except OSError:
            os._exit(1)
        code = 1
        try:
            code = self._be_worker(request, descriptors, facts)
        except RunnerGone:
            code = worker.RUNNER_GONE
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001
            # whatever it is must not run the template's code a second time
            traceback.print_exc()
        finally:
            _flush()
            os._exit(code)

    def _be_worker(self, request: ForkRequest, descriptors: list[int], facts: dict[str, str]) -> int:
        started_ns = time.monotonic_ns()
        os.setsid()
        records = _take_descriptors(descriptors)
        os.chdir(request.folder)
        os.environ.update(request.environment)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if not _adopted_by(self._runner):
            return worker.RUNNER_GONE
        if request.address_space_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (request.address_space_bytes,) * 2)
        arguments = worker.arguments_of((*request.arguments, "--records", str(records)))
        return worker.work(arguments, started_ns, facts)

    def _say(self, said: Said) -> None:
        self._control.send(msgspec.json.encode(said))


def obstacle(proc: Path = PROC) -> str:
    """Why this process must not fork, in words; "" when it may."""
    threads = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("Threads:"))
    count = int(threads.partition(":")[2])
    if count != 1:
        return f"the template has {count} threads; only one that has a single thread may fork"
    for link in (proc / "fd").iterdir():
        try:
            target = os.fspath(link.readlink())
        except OSError:
            continue
        if target.startswith("/dev/nvidia"):
            return "the template has opened a GPU, whose driver does not survive a fork"
    return ""


def memory(proc: Path = PROC) -> tuple[int, int]:
    """Proportional and resident set size (bytes); 0 where the kernel does not say."""
    try:
        lines = (proc / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return tuple(int(sizes[name][0]) * 1024 if name in sizes else 0 for name in ("Pss", "Rss"))  # type: ignore[return-value]


def _take_descriptors(descriptors: list[int]) -> int:
    """Put the pipes where a worker expects them and close everything else. -> the record pipe's descriptor"""
    records, out, err = (os.dup(descriptor) for descriptor in descriptors)
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    kept = 3
    if records != kept:
        os.dup2(records, kept, inheritable=False)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    return kept


def _adopted_by(runner: int) -> bool:
    """Wait until the process in between has ended; then die with the runner. The order matters: a death signal set
    before would come from the end of the process in between."""
    deadline = time.monotonic() + _ADOPTION_S
    while os.getppid() != runner:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    die_with_parent()
    return os.getppid() == runner


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engines.worker.template")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--runner", type=int, required=True)
    parser.add_argument("--key", required=True)
    options = parser.parse_args()
    die_with_parent()
    if os.getppid() != options.runner:
        sys.exit(worker.RUNNER_GONE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the runner's terminal is the runner's affair
    with socket.socket(fileno=options.control) as control:
        Template(control, options.runner).serve(msgspec.json.decode(options.key, type=Key))


if __name__ == "__main__":
    main()
