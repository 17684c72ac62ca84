"""What a process must set before an engine's libraries are imported, and how it ends with its parent. No torch."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Sequence

from engines.protocol.streams import take_any_text

_PR_SET_PDEATHSIG = 1
_OWN_BLAS = ("x86_64", "AMD64")
"""Machines on which torch multiplies with MKL, so that OpenBLAS serves numpy and scipy alone."""


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the runner's own reaping must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def prepare_process(threads: int, devices: Sequence[str], *, allow_network: bool) -> None:
    """Set what libraries read from the environment when they are imported: threads, device, network, telemetry.
    What they print cannot fail."""
    take_any_text()
    environ = os.environ
    if threads > 0:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
            environ[name] = str(threads)
        # numpy and scipy would each start a pool of threads when they are imported; nothing here multiplies with them,
        # and a template process must stay single-threaded
        environ["OPENBLAS_NUM_THREADS"] = "1" if platform.machine() in _OWN_BLAS else str(threads)
    environ["TOKENIZERS_PARALLELISM"] = "false"
    environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    environ["TQDM_DISABLE"] = "1"  # bars of other libraries would be lines of the trial's log
    environ["DO_NOT_TRACK"] = "1"
    if allow_network:
        environ.pop("HF_HUB_OFFLINE", None)
        environ.pop("TRANSFORMERS_OFFLINE", None)
    else:
        environ["HF_HUB_OFFLINE"] = "1"
    if "cpu" in devices:
        environ["CUDA_VISIBLE_DEVICES"] = ""  # no context on a GPU that is not under test
    elif uuids := [uuid for device in devices if (uuid := device.partition(":")[2])]:
        environ["CUDA_VISIBLE_DEVICES"] = ",".join(uuids)
