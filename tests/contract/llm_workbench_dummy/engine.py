"""An engine without a model: a token takes as long as one more stamp."""

import time

from engines.protocol.orders import TrialOrder
from engines.protocol.records import ModelLoaded, TookEffect
from engines.protocol.ring import RingWriter
from engines.worker.engine import Finished
from engines.worker.phases import AllocatorPeaks
from engines.worker.stop import Stop


class DummyEngine:
    """`engines.worker.engine.Engine` in the fewest lines."""

    def __init__(self, order: TrialOrder, ring: RingWriter, stop: Stop) -> None:
        self._order, self._ring, self._stop = order, ring, stop

    def start(self) -> dict[str, str]:
        chosen = self._order.technique("dummy_axis")
        level = self._order.engine.settings.get("dummy_level")
        return {"dummy.axis": chosen.id if chosen else "none", "dummy.level": str(level)}

    def allocator(self) -> AllocatorPeaks:
        return AllocatorPeaks()

    def files_missing(self) -> str:
        return ""

    def make_files(self, report: object) -> dict[str, str]:
        raise AssertionError("no file was missing")

    def load(self) -> ModelLoaded:
        return ModelLoaded(
            parameters=1, tensor_bytes=4, bytes_by_dtype={"float32": 4}, original_bytes=4, nominal_bits=32
        )

    def took_effect(self) -> list[TookEffect]:
        return [TookEffect(technique=t.id, stage="load", changed={"values": 1.0}) for t in self._order.techniques]

    def prepare(self) -> dict[str, str]:
        return {}

    def request(self, number: int) -> Finished | None:
        if self._stop.requested:
            return None
        tokens, first = self._order.inference.new_tokens, self._ring.written
        start = time.monotonic_ns()
        for _ in range(tokens):
            time.sleep(0.001)
            self._ring.stamp()
        end = time.monotonic_ns()
        times = self._ring.times(first, tokens)
        return self._finished(start, end, times[0], times[-1], first, tokens)

    def prefill(self) -> Finished | None:
        start = time.monotonic_ns()
        time.sleep(0.001)
        end = time.monotonic_ns()
        return self._finished(start, end, end, end, self._ring.written, 1)

    def _finished(self, start: int, end: int, first_ns: int, last_ns: int, first: int, tokens: int) -> Finished:
        return Finished(
            start_ns=start,
            end_ns=end,
            first_stamp=first,
            stamps=tokens,
            first_token_ns=first_ns,
            last_token_ns=last_ns,
            tokens_per_sequence=tokens,
            batch_size=self._order.inference.batch_size,
            synchronised=True,
        )

    def evaluate(self) -> None:
        return None

    def reader(self) -> None:
        return None

    def unload(self) -> dict[str, str]:
        return {}
