"""What an exception of an engine's libraries means, in words for people."""

from __future__ import annotations

import errno

import pytest

from engines.worker.failures import WorkerFailure, explain, is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_that_every_way_to_run_out_of_memory_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)
    failure = explain(error, "loading the model")
    assert failure.kind == "out_of_memory"
    assert "while loading the model" in failure.message


def test_that_an_error_caused_by_missing_memory_counts() -> None:
    error = ValueError("cannot load")
    error.__cause__ = MemoryError()
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError("cannot load"))


def test_that_a_missing_package_is_named_with_its_command() -> None:
    failure = explain(ModuleNotFoundError("No module named 'torchao.x'", name="torchao.x"), "loading the model")
    assert failure.kind == "package"
    assert "pip install torchao" in failure.advice


def test_that_a_known_failure_is_passed_on_as_it_is() -> None:
    failure = WorkerFailure("model", "m", "a")
    assert explain(failure, "starting") is failure
