"""A workbench that remembers what a page asked of it; retried and resumed trials get new ids."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engines.protocol.places import Places
from workbench.store.operations import StoreError


class EmptyStore:
    """Has no trial."""

    def execute(self, operation: object) -> object:
        raise StoreError("There is no trial t-9.", "Nothing was changed.", code="not_found")

    def close(self) -> None: ...


class Remembering:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.store = EmptyStore()
        self.resumable: tuple[str, ...] = ()
        self.places = Places(*[Path("/nowhere")] * 5)
        self._pool = ThreadPoolExecutor(1)

    def listen(self, listener: object) -> Callable[[], None]:
        return lambda: None

    def submit_operation(self, operation: object) -> Future[Any]:
        return self._pool.submit(self.execute, operation)

    def execute(self, operation: object) -> object:
        return self.store.execute(operation)

    def retry(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        self.asked.append(("retry", trials))
        return tuple(f"{t}-again" for t in trials)

    def can_resume(self, trial: str) -> bool:
        return trial in self.resumable

    def resume(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        self.asked.append(("resume", trials))
        return tuple(f"{t}-resumed" for t in trials)

    def close(self) -> None:
        self._pool.shutdown()
