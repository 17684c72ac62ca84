"""The fake NVML and our use of NVML, held to NVIDIA's real bindings."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pynvml
import pytest

import engines
from engines.telemetry.nvml_library import NvmlLibrary
from tests.fake_nvml import FakeNvml, NVMLError, NVMLError_NotSupported

DECLARED = sorted(
    {name for name in vars(NvmlLibrary) if name.startswith("nvml")}
    | {name for name in NvmlLibrary.__annotations__ if name.lower().startswith("nvml")}
)
FUNCTIONS = [name for name in DECLARED if inspect.isfunction(vars(NvmlLibrary).get(name))]
CONSTANTS = [name for name in DECLARED if isinstance(getattr(pynvml, name, None), int)]
ERRORS = [name for name in DECLARED if name.startswith("NVMLError")]


def parameters(function: object) -> list[tuple[str, bool]]:
    """Names of a function's parameters and whether each has a default, `self` left out."""
    found = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [(p.name, p.default is not p.empty) for p in found if p.name != "self"]


def test_that_every_declared_name_is_a_function_a_constant_or_an_error() -> None:
    assert sorted({*FUNCTIONS, *CONSTANTS, *ERRORS}) == DECLARED
    assert len(FUNCTIONS) > 20


@pytest.mark.parametrize("name", FUNCTIONS)
def test_that_real_fake_and_declared_functions_take_the_same_parameters(name: str) -> None:
    declared = parameters(vars(NvmlLibrary)[name])
    assert parameters(getattr(pynvml, name)) == declared
    assert parameters(getattr(FakeNvml, name)) == declared


@pytest.mark.parametrize("name", CONSTANTS)
def test_that_constants_of_the_fake_have_the_real_values(name: str) -> None:
    assert getattr(FakeNvml, name) == getattr(pynvml, name)


@pytest.mark.parametrize("name", ERRORS)
def test_that_errors_of_the_fake_stand_for_the_real_ones(name: str) -> None:
    real, fake = getattr(pynvml, name), getattr(FakeNvml, name)
    assert issubclass(real, pynvml.NVMLError)
    assert issubclass(fake, NVMLError)
    if name != "NVMLError":
        assert type(pynvml.NVMLError(fake.value)) is real
        assert str(pynvml.NVMLError(fake.value)) == fake.text


def test_that_an_error_made_from_its_number_is_of_its_class_in_both() -> None:
    assert isinstance(pynvml.NVMLError(3), pynvml.NVMLError_NotSupported)
    assert isinstance(NVMLError(3), NVMLError_NotSupported)


def test_that_the_fake_offers_nothing_that_the_real_library_lacks() -> None:
    public = [name for name in vars(FakeNvml) if name.lower().startswith("nvml")]
    assert sorted(public) == DECLARED
    assert [name for name in public if not hasattr(pynvml, name)] == []


def test_that_no_code_uses_an_nvml_name_outside_the_declared_ones() -> None:
    used: set[str] = set()
    for file in Path(engines.__file__).parent.rglob("*.py"):
        used |= set(re.findall(r"\b(?:library|pynvml)\.((?:nvml|NVML)\w+)", file.read_text()))
    assert used
    assert used <= set(DECLARED)


def test_that_a_field_value_of_the_real_library_has_the_members_we_read() -> None:
    value = pynvml.c_nvmlFieldValue_t()
    assert value.nvmlReturn == 0
    assert value.valueType == pynvml.NVML_VALUE_TYPE_DOUBLE
    value.value.uiVal = 300_000
    assert value.value.uiVal == 300_000
    assert {"dVal", "uiVal", "ullVal"} <= {name for name, _ in pynvml.c_nvmlValue_t._fields_}
