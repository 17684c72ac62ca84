"""The real worker with an engine that sleeps instead of computing: whole trials in under a second, without torch.

A stand-in for tests of what surrounds a trial; its figures are true times of its own sleeping, nothing else.
`LLM_WORKBENCH_SLEEP` is the time of a token in seconds (default 2 ms); a prompt of 666 tokens makes it crash.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

from engines.protocol.orders import TrialOrder
from engines.protocol.records import Evaluation, ModelLoaded, TookEffect
from engines.protocol.ring import RingWriter
from engines.worker import trial
from engines.worker.engine import Finished
from engines.worker.stop import Stop

TOKEN_S = float(os.environ.get("LLM_WORKBENCH_SLEEP", "0.002"))


class NoAllocator:
    def reset(self) -> None: ...

    def peak_bytes(self) -> int | None:
        return None


class SleepingEngine:
    def __init__(self, order: TrialOrder, ring: RingWriter, stop: Stop) -> None:
        self._order, self._work, self._ring, self._stop = order, order.inference, ring, stop

    def start(self) -> dict[str, str]:
        return {"engine": "sleeping", "package.msgspec": version("msgspec")}

    def allocator(self) -> NoAllocator:
        return NoAllocator()

    def load(self) -> ModelLoaded:
        return ModelLoaded(
            parameters=1000, tensor_bytes=4000, bytes_by_dtype={"float32": 4000}, original_bytes=4000, nominal_bits=32
        )

    def took_effect(self) -> list[TookEffect]:
        return [TookEffect(technique=t.id, stage="load", changed={"bits": 32.0}) for t in self._order.techniques]

    def prepare(self) -> dict[str, str]:
        if self._work.prompt_tokens == 666:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    def request(self, number: int) -> Finished | None:
        first = self._ring.written
        start = time.monotonic_ns()
        for _ in range(self._work.new_tokens):
            time.sleep(TOKEN_S)
            if self._stop.requested:
                return None
            self._ring.stamp()
        end = time.monotonic_ns()
        times = self._ring.times(first, self._work.new_tokens)
        return Finished(
            start, end, first, len(times), times[0], times[-1], len(times), self._work.batch_size, synchronised=True
        )

    def prefill(self) -> Finished | None:
        start = time.monotonic_ns()
        time.sleep(TOKEN_S)
        end = time.monotonic_ns()
        return None if self._stop.requested else Finished(start, end, 0, 0, end, end, 1, self._work.batch_size, True)

    def files_missing(self) -> str:
        return ""

    def make_files(self, report: Callable[[str, float], None]) -> dict[str, str]:
        return {}

    def reader(self) -> None:
        return None

    def evaluate(self) -> Evaluation:
        return Evaluation(nll_sum=100.0, tokens=50, text_bytes=200, data_name="none", data_hash="0" * 64)

    def unload(self) -> dict[str, str]:
        return {}


if __name__ == "__main__":
    trial.make_engine = SleepingEngine
    from engines.worker.__main__ import main

    sys.exit(main())
