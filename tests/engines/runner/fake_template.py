"""The real template process with a fake engine, and the fake worker in its forks. `FAKE_TEMPLATE`: how it misbehaves.

- slow: never gets ready             - threaded: a second thread appears after its first fork
- silent: its workers say nothing    - crashing: its workers end at once   - refusing: it has two threads from the start
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from types import ModuleType

import engines.worker.template as template
from engines.catalogue import EngineInfo
from engines.protocol.codec import encode_record
from engines.protocol.records import Environment
from engines.worker.forks import ForkRequest, Said
from tests.engines.fake_worker import Worker

BEHAVIOUR = os.environ.get("FAKE_TEMPLATE", "")


def work(arguments: argparse.Namespace, started_ns: int, facts: dict[str, str]) -> int:
    """In place of `engines.worker.__main__.work`."""
    if BEHAVIOUR == "silent":
        time.sleep(60)
    if BEHAVIOUR == "crashing":
        sys.stderr.write("Traceback (most recent call last):\nImportError: no such library\n")
        return 7
    options = ["--order", str(arguments.order), "--records", str(arguments.records), "--ring", str(arguments.ring)]
    os.write(arguments.records, encode_record(Environment(t_ns=started_ns, facts=facts)) + b"\n")
    return Worker(options).run()


def get_ready() -> None:
    """What importing the engine does in the real one."""
    if BEHAVIOUR == "slow":
        time.sleep(60)
    if BEHAVIOUR == "refusing":
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


class Threaded(template.Template):
    """Gets a second thread after its first fork."""

    def _fork(self, request: ForkRequest, descriptors: list[int]) -> Said:
        said = super()._fork(request, descriptors)
        if BEHAVIOUR == "threaded":
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        return said


if __name__ == "__main__":
    template.find = lambda id: EngineInfo(id=id, title=id, factory="", template="fake_engine")
    template.worker.work = work
    sys.modules["fake_engine"] = ModuleType("fake_engine")
    get_ready()
    template.Template = Threaded  # type: ignore[misc]
    template.main()
