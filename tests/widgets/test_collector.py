"""Cycles of Qt's objects are collected on the main thread, whoever allocates."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from widgets.background.collector import MainThreadCollector


class Node:
    """Holds itself: only the cycle collector frees it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def collector(qtbot: QtBot) -> Iterator[MainThreadCollector]:
    gc.enable()
    gc.collect()
    made = MainThreadCollector(interval_ms=20)
    yield made
    made.close()


def allocate_much(kept: list[list[int]]) -> None:
    """Far more than the thresholds of all generations."""
    kept.extend([number] for number in range(200_000))


def test_that_a_thread_that_allocates_much_collects_nothing_and_the_main_one_does(
    qtbot: QtBot, collector: MainThreadCollector
) -> None:
    freed_on: list[threading.Thread] = []
    weakref.finalize(Node(), lambda: freed_on.append(threading.current_thread()))
    kept: list[list[int]] = []  # what is freed again does not count towards a collection
    worker = threading.Thread(target=allocate_much, args=(kept,))
    worker.start()
    worker.join()
    assert freed_on == []
    qtbot.waitUntil(lambda: bool(freed_on))
    assert freed_on == [threading.main_thread()]


def test_that_python_collects_by_itself_again_after_closing(collector: MainThreadCollector) -> None:
    assert not gc.isenabled()
    collector.close()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_that_a_collection_that_is_not_due_is_not_made(collector: MainThreadCollector) -> None:
    freed: list[bool] = []
    gc.collect()
    weakref.finalize(Node(), freed.append, True)
    collector.look()
    assert freed == []
