"""What the probe says about a machine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from engines.host import probe as module
from engines.host.machine import share_here
from engines.host.probe import WANTED, cpu_device, gpu_devices, packages, probe
from engines.protocol.messages import ProbeResult
from engines.techniques.stored_precision import READERS
from tests.fake_nvml import FakeGpu, FakeNvml, NVMLError_LibraryNotFound, NVMLError_NotSupported


def test_that_the_processor_is_always_a_device() -> None:
    device = cpu_device()
    assert device.id == "cpu"
    assert 0 < device.memory_free_bytes <= device.memory_total_bytes
    assert int(device.details["threads_default"]) == share_here(0).threads, "what the runner really gives"
    assert device.details["flags"].split()


def test_that_gpus_carry_the_facts_techniques_ask_for() -> None:
    gpu = FakeGpu()
    (device,) = gpu_devices(lambda: FakeNvml(gpu))
    assert device.id == f"cuda:{gpu.uuid}"
    assert device.title == gpu.name
    assert device.memory_total_bytes == 80 << 30
    assert device.details == {
        "driver": "580.82.07",
        "cuda": "13.0",
        "compute_capability": "9.0",
        "power_limit_watts": "400",
        "clock_max_hertz": "1980000000",
        "memory_clock_max_hertz": "2619000000",
    }


def test_that_a_gpu_that_shares_memory_shows_the_machines() -> None:
    gpu = FakeGpu(refuses={"nvmlDeviceGetMemoryInfo": NVMLError_NotSupported})
    (device,) = gpu_devices(lambda: FakeNvml(gpu))
    assert device.memory_total_bytes == cpu_device().memory_total_bytes
    assert "shared" in device.details["memory"]


def test_that_no_driver_means_no_gpu() -> None:
    assert gpu_devices(lambda: FakeNvml(init_error=NVMLError_LibraryNotFound)) == ()


def test_that_a_missing_package_comes_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "peft" or (name in READERS and name not in {wanted.name for wanted in module.WANTED}):
            raise metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(module.metadata, "version", version)
    found = {package.name: package for package in packages()}
    assert list(found) == [
        "torch",
        "transformers",
        "peft",
        "torchao",
        "bitsandbytes",
        "optimum-quanto",
        "accelerate",
        "gguf",
        "lm-eval",
        "datasketch",
        "llama-cpp-python",
        "native-sparse-attention-pytorch",
    ]
    assert found["peft"].version == ""
    monkeypatch.setattr(module.metadata, "version", lambda name: _missing(name) if name == "hqq" else "1.2.3")
    readers = {package.name for package in packages()} - set(found)
    assert "gptqmodel" in readers, "what only reads quantised files is named where it is there"
    assert "hqq" not in readers
    assert found["peft"].install == f'{sys.executable} -m pip install "peft>=0.21.2"'
    assert found["torch"].version == "1.2.3"
    assert found["torch"].install == ""
    assert all(package.gives for package in found.values())


def test_that_what_has_to_be_compiled_has_a_command_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.metadata, "version", _missing)
    found = {package.name: package.install for package in packages()}
    assert found["llama-cpp-python"] == f"{sys.executable} -m engines.llama.install"


def _missing(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


def test_that_the_install_commands_ask_for_what_the_project_declares() -> None:
    project = tomllib.loads((Path(module.__file__).parents[2] / "pyproject.toml").read_text())["project"]
    declared = {line for extra in project["optional-dependencies"].values() for line in extra}
    names = {re.split("[<>=~]", line)[0] for line in declared}
    asked = {wanted.requirement for wanted in WANTED if wanted.name in names}
    assert len(asked) >= 6
    assert asked <= declared


def test_that_a_probe_survives_the_wire() -> None:
    result = probe(nvml_loader=lambda: FakeNvml(FakeGpu()))
    again = msgspec.json.decode(msgspec.json.encode(result), type=ProbeResult)
    assert again == result
    assert [device.id.partition(":")[0] for device in result.devices] == ["cpu", "cuda"]
    assert {sensor.source for sensor in result.sensors} >= {"proc.tree", "proc.host", "rapl", "hwmon"}
    assert result.facts["os.kernel"]


def test_that_probing_imports_none_of_the_engines_libraries() -> None:
    program = (
        "import sys; from engines.host.probe import probe; probe();"
        "print(sorted({'torch', 'transformers', 'peft', 'torchao', 'numpy'} & set(sys.modules)))"
    )
    root = Path(module.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
