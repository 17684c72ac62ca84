"""A processor in the place of a GPU: the tiny shape, and the tests' scripted NVML over a GPU that warms up while it is
busy. What it measures says nothing about any GPU; that it runs to its end does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from benchmarks.on_gpu.setting import Lengths, Setting, llama, software
from engines.telemetry.nvml_library import NvmlLibrary
from tests.fake_nvml import FakeGpu, FakeNvml

_STEP_S = 0.05
"""How often the scripted sensors have another value."""
_IDLE_W, _BUSY_W = 80.0, 600.0
_COOL_C, _HOT_C = 40, 60
_COOLS_S = 1.5


class Script:
    """What the GPU does, on the clock of this process. Steps of 50 ms: power and its exact integral."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._steps: list[float] = []
        self._joules = [0.0]
        self._busy = False
        self._over_at = -_COOLS_S

    def now(self) -> float:
        return time.monotonic() - self._begun

    def watts(self, t: float) -> float:
        return self._up_to(t)[0]

    def joules(self, t: float) -> float:
        return self._up_to(t)[1]

    def celsius(self) -> int:
        if self._busy:
            return _HOT_C
        cooled = min(1.0, (self.now() - self._over_at) / _COOLS_S)
        return round(_HOT_C - cooled * (_HOT_C - _COOL_C))

    @contextmanager
    def busy(self) -> Iterator[None]:
        self._up_to(self.now())
        self._busy = True
        try:
            yield
        finally:
            self._up_to(self.now())
            self._busy, self._over_at = False, self.now()

    def _up_to(self, t: float) -> tuple[float, float]:
        """Power, and energy since the beginning, as of the last step before `t`."""
        step = int(t / _STEP_S)
        with self._lock:
            while len(self._steps) <= step:
                watts = (_BUSY_W if self._busy else _IDLE_W) + len(self._steps) % 5
                self._steps.append(watts)
                self._joules.append(self._joules[-1] + watts * _STEP_S)
            return self._steps[step], self._joules[step]


class ScriptedNvml(FakeNvml):
    def __init__(self, script: Script) -> None:
        self.gpu = FakeGpu(watts=script.watts, joules=script.joules, throttle=0)
        super().__init__(self.gpu, clock=script.now)
        self._script = script

    def nvmlDeviceGetTemperature(self, handle: FakeGpu, sensor: int) -> int:
        return self._script.celsius()


def rehearsed() -> Setting:
    script = Script()
    library = ScriptedNvml(script)

    def load() -> NvmlLibrary:
        return cast("NvmlLibrary", library)

    tiny = llama("Tiny shape", 64, 128, 2, 4, 512)
    return Setting(
        device="cpu",
        uuid=library.gpu.uuid,
        torch_device="cpu",
        load_nvml=load,
        busy=script.busy,
        large=tiny,
        small=tiny,
        tuned=(tiny,),
        precisions=("float32", "bfloat16"),
        lengths=Lengths(
            idle_s=0.6,
            busy_s=2.0,
            new_tokens=32,
            prompt_tokens=16,
            window_s=0.5,
            turn_s=0.4,
            turns=14,
            pairs=6,
            sequence_tokens=64,
            steps=3,
        ),
        facts={"processor": "in the place of a GPU"} | software(),
    )
