"""A worker that does what its order's `model.config` says. Started by the real runner in place of `engines.worker`.

`config["steps"]` is a list of [name, argument...]; unknown names end it with exit code 9.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engines.protocol.ring import RingWriter


class Worker:
    def __init__(self, words: Sequence[str] | None = None) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--order", type=Path)
        parser.add_argument("--records", type=int)
        parser.add_argument("--ring", type=Path)
        options = parser.parse_args(words)
        self.order = json.loads(options.order.read_bytes())
        self.records = options.records
        self.ring = RingWriter(options.ring)
        self.stopped = False
        self.held = bytearray()
        self.witness = self._open_witness()
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopped = True

    def _open_witness(self) -> int | None:
        """A file beside the spools that keeps what has been said, whatever happens to this process and the runner."""
        folder = self.order["model"]["config"].get("witness")
        path = Path(folder or "/", self.order["trial"])
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if folder else None

    def _swear(self, kind: str, t_ns: int) -> None:
        if self.witness is not None:
            os.write(self.witness, f"{os.getpid()} {kind} {t_ns}\n".encode())

    def run(self) -> int:
        for name, *arguments in self.order["model"]["config"].get("steps", []):
            if self.stopped:
                return 0
            code = getattr(self, f"do_{name}")(*arguments)
            if code is not None:
                return int(code)
        return 0

    def say(self, kind: str, **fields: object) -> None:
        t_ns = time.monotonic_ns()
        os.write(self.records, json.dumps({"kind": kind, "t_ns": t_ns, **fields}).encode() + b"\n")
        self._swear(kind, t_ns)

    def do_phase(self, name: str) -> None:
        self.say("phase_started", name=name)

    def do_progress(self, text: str, fraction: float) -> None:
        self.say("progress", text=text, fraction=fraction)

    def do_raw(self, text: str) -> None:
        os.write(self.records, text.encode("latin-1"))

    def do_print(self, text: str, times: int = 1) -> None:
        os.write(1, text.encode("latin-1") * times)

    def do_complain(self, text: str) -> None:
        os.write(2, text.encode())

    def do_stamps(self, count: int, gap_s: float = 0.0) -> None:
        for _ in range(count):
            if self.stopped:
                return
            self.ring.stamp()
            self._swear("stamp", self.ring.written)
            if gap_s:
                time.sleep(gap_s)

    def do_request(self, index: int, tokens: int, gap_s: float, stop_at: int = -1) -> None:
        """A measured request; after its token `stop_at` the process stops, until somebody lets it go on."""
        start_ns, first = time.monotonic_ns(), self.ring.written
        for token in range(tokens):
            time.sleep(gap_s)
            self.ring.stamp()
            self._swear("stamp", self.ring.written)
            if token == stop_at:
                os.kill(os.getpid(), signal.SIGSTOP)
        self.say(
            "request",
            index=index,
            warmup=False,
            start_ns=start_ns,
            end_ns=time.monotonic_ns(),
            first_stamp=first,
            stamps=tokens,
            prompt_tokens=8,
            generated_tokens=tokens,
            batch_size=1,
        )

    def do_logs(self, count: int, size: int, gap_s: float = 0.0) -> None:
        for number in range(count):
            self.say("log", level="info", source="fake", text=f"{number} " + "x" * size)
            if gap_s:
                time.sleep(gap_s)

    def do_betray(self, name: str) -> int:
        """Say a variable in every way there is."""
        value = os.environ[name]
        os.write(1, f"stdout {value}\n".encode())
        os.write(2, f"stderr {value}\n".encode())
        self.say("log", level="info", source="fake", text=f"log {value}")
        self.say("environment", facts={"betrayed": value})
        time.sleep(0.3)
        return self.do_fail("model", f"refused {value}\nadvice {value}")

    def do_sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.stopped and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.02))

    def do_ignore_sigterm(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def do_allocate(self, size_bytes: int) -> None:
        self.held = b"x" * size_bytes  # written, so that the memory is really taken

    def do_fail(self, kind: str, text: str) -> int:
        self.say("warning", code=f"failure:{kind}", text=text)
        return 3

    def do_exit(self, code: int) -> int:
        return code

    def do_signal(self, number: int) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    def do_touch(self, path: str) -> None:
        Path(path).touch()

    def do_wait_for(self, path: str) -> None:
        while not Path(path).exists() and not self.stopped:
            time.sleep(0.01)

    def do_tell_self(self, path: str) -> None:
        facts = {
            "pid": os.getpid(),
            "affinity": sorted(os.sched_getaffinity(0)),
            "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text()),
            "threads": self.order["engine"]["threads"],
            "start_method": self.order["engine"].get("start_method"),
            "parent": os.getppid(),
            "session": os.getsid(0),
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
            "mark": os.environ.get("LLM_WORKBENCH_WORKER_OF", ""),
            "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],  # noqa: PTH208
            "records": self.records,
            "stdin": str(Path("/proc/self/fd/0").readlink()),
        }
        Path(path).with_suffix(".new").write_text(json.dumps(facts))
        Path(path).with_suffix(".new").rename(path)

    def do_leave_behind(self) -> None:
        """A child in a session of its own, which outlives this process."""
        subprocess.Popen(["sleep", "60"], start_new_session=True)

    def do_daemon(self, path: str) -> None:
        """A grandchild in a session of its own, its parent gone: what must not be left behind."""
        code = (
            "import os, sys, time\n"
            "if os.fork(): os._exit(0)\n"
            "os.setsid()\n"
            "if os.fork(): os._exit(0)\n"
            "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
            "time.sleep(60)\n"
        )
        subprocess.run([sys.executable, "-c", code, path], check=True)
        while not Path(path).exists() or not Path(path).read_text():
            time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(Worker().run())
