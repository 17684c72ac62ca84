"""The worker with questions of a test: the samples' files are the right ones whatever they hold. Started like it."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace

from engines.protocol import tasks
from engines.protocol.places import places
from engines.worker.__main__ import main


def _as_it_is(task: tasks.LocalTask) -> tasks.LocalTask:
    return replace(task, sha256=hashlib.sha256((places().tasks / task.file).read_bytes()).hexdigest())


if __name__ == "__main__":
    tasks.LOCAL_TASKS = tuple(map(_as_it_is, tasks.LOCAL_TASKS))
    sys.exit(main())
