"""Training data as the model sees them, read by a process of its own: a tokenizer's libraries are not loaded here.

Blocks until that process has ended; any thread but the main one of a window.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from engines.data.training.preview import OPTIONS, Preview
from engines.protocol.client import engine_environment
from engines.protocol.places import Places
from engines.protocol.problems import Advised
from engines.protocol.work import Training
from workbench.units import format_duration

_PATIENCE_S = 120.0
_FETCH_S = 3600.0


class PreviewFailed(Advised):
    """Why the data cannot be shown, and what to do."""


def read_preview(
    places: Places, workload: Training, *, base: Path, rows: range, model: str = "", fetch: bool = False
) -> Preview:
    """`model`: folder, GGUF file or hub id whose tokenizer makes the tokens; "" makes none. A relative path of data
    starts at `base`. `fetch` gets a dataset of the hub that is not here. Raises `PreviewFailed`."""
    command = [sys.executable, "-m", "engines", "data-preview", "--rows", f"{rows.start}:{rows.stop}"]
    command += [f"--{name.replace('_', '-')}={getattr(workload, name)}" for name in OPTIONS]
    command += [f"--model={model}"] if model else []
    command += ["--fetch"] if fetch else []
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=base,
            env=engine_environment(places),
            timeout=_FETCH_S if fetch else _PATIENCE_S,
            check=False,
        )
    except OSError as error:
        raise PreviewFailed(f"The data could not be read: {error}.", "Try again.") from error
    except subprocess.TimeoutExpired as error:
        raise PreviewFailed(
            f"Reading the data took longer than {format_duration(error.timeout)} and was ended.",
            "Training does not need this preview. Try again when the machine is less busy, or choose smaller data.",
        ) from error
    try:
        if done.returncode == 0:
            return msgspec.json.decode(done.stdout, type=Preview)
        refused = msgspec.json.decode(done.stdout, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it did not say why"]
        raise PreviewFailed(f"The data could not be read: {last[0]}", "Try again, or choose other data.") from None
    raise PreviewFailed(refused.get("message", "The data could not be read."), refused.get("advice", ""))
