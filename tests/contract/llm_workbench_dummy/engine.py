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
        return {"dummy.axis": chosen.id if chosen else "none"}

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
        return None if self._stop.requested else self._computed(self._order.workload.new_tokens, self._ring)

    def prefill(self) -> Finished | None:
        return self._computed(1, None)

    def _computed(self, tokens: int, ring: RingWriter | None) -> Finished:
        start, first = time.monotonic_ns(), self._ring.written
        for _ in range(tokens):
            time.sleep(0.001)
            if ring is not None:
                ring.stamp()
        end = time.monotonic_ns()
        load = self._order.workload
        return Finished(
            start_ns=start,
            end_ns=end,
            first_stamp=first,
            stamps=tokens,
            first_token_ns=start + (end - start) // tokens,
            last_token_ns=end,
            tokens_per_sequence=tokens,
            batch_size=load.batch_size,
            synchronised=True,
        )

    def evaluate(self) -> None:
        return None

    def reader(self) -> None:
        return None

    def unload(self) -> dict[str, str]:
        return {}
