"""Asks the engines' floor about clocks and sensors, in a short-lived process of its own. Blocks for some seconds."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from engines.protocol.client import engine_environment
from engines.protocol.instruments import Instruments
from engines.protocol.places import Places

_PATIENCE_S = 120.0


class NoInstruments(Exception):
    """Clocks and sensors could not be measured; the text says why."""


def measure_instruments(places: Places, seconds: float) -> Instruments:
    """`seconds`: how long each sensor is watched. Raises `NoInstruments`."""
    command = [sys.executable, "-m", "engines", "instruments", "--seconds", str(seconds), "--json"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env=engine_environment(places),
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoInstruments(f"Clocks and sensors could not be measured: {error}.") from error
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it did not say why"]
        raise NoInstruments(f"Clocks and sensors could not be measured: {last[0]}")
    try:
        return msgspec.json.decode(done.stdout, type=Instruments)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NoInstruments(f"What was measured of clocks and sensors cannot be read: {error}.") from error
