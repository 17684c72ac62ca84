"""Between the runner and the worker's first instruction: sets its bounds, then becomes the worker.

Run as a script by a bare interpreter (`python -I -S launch.py BOUNDS COMMAND...`), standard library only. A small
program of its own instead of a function between fork and exec, because the runner has threads. BOUNDS is JSON:
`parent` (process id that must still be the parent), `processors`, `address_space_bytes` (or null).
"""

import ctypes
import json
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_OOM_SCORE_FIRST_CHOICE = "1000"


def main() -> None:
    bounds = json.loads(sys.argv[1])
    command = sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != bounds["parent"]:  # the runner died before the line above could notice
        sys.exit(1)
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  pathlib is slow to import
            file.write(_OOM_SCORE_FIRST_CHOICE)
    except OSError as error:
        sys.stderr.write(f"the worker could not be made the first choice of the out-of-memory killer: {error}\n")
    try:
        os.sched_setaffinity(0, bounds["processors"])
    except OSError as error:
        sys.stderr.write(f"the worker could not be kept to processors {bounds['processors']}: {error}\n")
    limit = bounds["address_space_bytes"]
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"the worker could not be started: {command[0]}: {error}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
