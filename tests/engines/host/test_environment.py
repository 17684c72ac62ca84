"""Facts of the machine and of a trial's surroundings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engines.host import machine
from engines.host.environment import (
    container,
    cpu_boost,
    gpu_facts,
    machine_facts,
    model_facts,
    power_source,
    runner_facts,
)
from engines.host.neighbours import Neighbour, busy_neighbours
from engines.host.project import project_commit, project_facts, source_hash
from engines.protocol.orders import ModelOrder, TelemetryOrder
from tests.builders import trial_order
from tests.engines.runner_harness import until
from tests.fake_nvml import FakeGpu, FakeNvml, NVMLError_DriverNotLoaded, NVMLError_NotSupported

ORDER = trial_order()


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = "MemTotal: 8000 kB\nMemAvailable: 6000 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n"


def test_that_facts_name_the_machine_and_hold_no_empty_values() -> None:
    facts = runner_facts(ORDER)
    for name in (
        "host.name",
        "host.boot",
        "os.name",
        "os.kernel",
        "cpu.model",
        "cpu.cores",
        "cpu.governor",
        "memory.total_bytes",
        "swap.total_bytes",
        "power.source",
        "python.version",
        "load.average_1m",
        "processes.foreign",
        "host.container",
        "power.profile",
        "project.version",
        "project.commit",
        "project.sources",
        "model.revision",
        "temperature.thermometer",
    ):
        assert facts[name]
    assert all(isinstance(value, str) and value for value in facts.values())
    assert facts["telemetry.rate_hz"] == "10"
    assert facts["telemetry.sources"].startswith("proc.tree proc.host")
    assert not [name for name in facts if name.startswith("gpu.")]


def test_that_switched_off_telemetry_is_a_fact() -> None:
    facts = runner_facts(msgspec.structs.replace(ORDER, telemetry=TelemetryOrder(enabled=False)))
    assert "switched off" in facts["telemetry.sources"]


def test_that_a_gpus_facts_include_who_else_is_on_it() -> None:
    gpu = FakeGpu(processes=[(4_194_305, 1 << 30), (os.getpid(), 1 << 30)])
    order = msgspec.structs.replace(ORDER, device=f"cuda:{gpu.uuid}")
    facts = runner_facts(order, nvml_loader=lambda: FakeNvml(gpu))
    assert facts["gpu.0.uuid"] == gpu.uuid
    assert facts["gpu.0.name"] == gpu.name
    assert facts["gpu.0.driver"] == "580.82.07"
    assert facts["gpu.0.power_limit_watts"] == "400"
    assert facts["gpu.0.processes_foreign"] == "4194305"
    assert f"nvml.{gpu.uuid}" in facts["telemetry.sources"]


def test_that_a_gpus_clocks_at_the_start_are_facts_and_a_refusal_is_said() -> None:
    gpu = FakeGpu(sm_megahertz=345)
    assert gpu_facts(gpu.uuid, lambda: FakeNvml(gpu))["gpu.0.clock_start_hertz"] == "345000000"
    refusing = FakeGpu(refuses={"nvmlDeviceGetClockInfo": NVMLError_NotSupported})
    facts = gpu_facts(refusing.uuid, lambda: FakeNvml(refusing))
    assert facts["gpu.0.clock_start_hertz"] == "not available: NVML: Not Supported"


def test_that_a_models_revision_is_the_orders_or_the_cache_folders() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    hub = ModelOrder(ref="a/b", title="b", kind="hub", path="a/b", revision=commit)
    assert model_facts(hub)["model.revision"] == commit
    cached = ModelOrder(ref="a/b", title="b", kind="folder", path=f"/c/models--a--b/snapshots/{commit}")
    assert model_facts(cached)["model.revision"] == commit
    for path in ("/models/b", "/c/snapshots", "/c/snapshots/main"):
        plain = ModelOrder(ref=path, title="b", kind="folder", path=path)
        assert model_facts(plain)["model.revision"].startswith("not available")
    assert model_facts(ORDER.model)["model.revision"] == "none: random weights"


def test_that_a_change_no_commit_holds_shows_in_the_hash_of_the_sources(tmp_path: Path) -> None:
    write(tmp_path, {"engines/a.py": "x = 1\n", "engines/b/c.py": "", "engines/notes.txt": "one"})
    before = project_facts(tmp_path)
    assert before["project.commit"].startswith("not available")
    write(tmp_path, {"engines/notes.txt": "two"})
    assert project_facts(tmp_path) == before
    write(tmp_path, {"engines/a.py": "x = 2\n"})
    assert project_facts(tmp_path)["project.sources"] != before["project.sources"]
    moved = write(tmp_path / "other", {"a.py": "x = 2\n", "c.py": ""})
    assert source_hash(moved) != source_hash(tmp_path / "engines")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"cpufreq/boost": "1\n"}, "on"),
        ({"cpufreq/boost": "0\n", "intel_pstate/no_turbo": "0\n"}, "off"),
        ({"intel_pstate/no_turbo": "1\n"}, "off"),
        ({"intel_pstate/no_turbo": "0\n"}, "on"),
        ({}, ""),
        ({"cpufreq/boost": "what\n"}, ""),
    ],
)
def test_that_boost_is_read_from_either_switch(tmp_path: Path, files: dict[str, str], said: str) -> None:
    write(tmp_path / "devices/system/cpu", files)
    assert cpu_boost(tmp_path) == said


def test_that_a_gpu_that_does_not_answer_is_a_fact_not_a_crash() -> None:
    assert "not loaded" in gpu_facts("GPU-1", lambda: FakeNvml(init_error=NVMLError_DriverNotLoaded))["gpu.0.problem"]
    assert gpu_facts("GPU-1", lambda: FakeNvml())["gpu.0.problem"] == "Not Found"
    quiet = FakeGpu(refuses={"nvmlDeviceGetComputeRunningProcesses_v3": NVMLError_NotSupported})
    assert "not told" in gpu_facts(quiet.uuid, lambda: FakeNvml(quiet))["gpu.0.processes_foreign"]


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/a/b\n", {"fs/cgroup/a/cpu.max": "150000 100000\n", "fs/cgroup/a/b/cpu.max": "max 100000\n"}),
        (
            "3:cpu,cpuacct:/a\n0::/\n",
            {"fs/cgroup/cpu/a/cpu.cfs_quota_us": "150000\n", "fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n"},
        ),
        ("0::/hidden/in/container\n", {"fs/cgroup/cpu.max": "150000 100000\n"}),
    ],
)
def test_that_a_quota_cuts_the_cores_at_whole_ones(tmp_path: Path, groups: str, files: dict[str, str]) -> None:
    sys_root, proc = write(tmp_path / "sys", files), write(tmp_path / "proc", {"self/cgroup": groups})
    assert machine.usable_cores(proc=proc, sys=sys_root) == 1


def test_that_no_quota_leaves_what_affinity_allows(tmp_path: Path) -> None:
    files = {"fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}
    sys_root = write(tmp_path / "sys", files)
    proc = write(tmp_path / "proc", {"self/cgroup": "1:cpu:/\n"})
    assert machine.usable_cores(proc=proc, sys=sys_root) == len(os.sched_getaffinity(0))


def test_that_two_threads_of_one_core_count_as_one_in_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    siblings = {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}
    files = {f"devices/system/cpu/cpu{p}/topology/thread_siblings_list": f"{names}\n" for p, names in siblings.items()}
    sys_root = write(tmp_path / "sys", files)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(siblings))
    found = machine.processor(proc=tmp_path / "proc", sys=sys_root)
    assert (found.cores, found.threads_default) == (4, 1)
    assert machine.share_here(0, proc=tmp_path / "proc", sys=sys_root).processors == (1, 5)


def test_that_a_memory_limit_is_the_machines_memory(tmp_path: Path) -> None:
    files = {
        "fs/cgroup/a/memory.max": f"{4000 * 1024}\n",
        "fs/cgroup/a/memory.current": f"{3000 * 1024}\n",
        "fs/cgroup/a/memory.stat": f"anon 5\ninactive_file {1000 * 1024}\n",
    }
    sys_root = write(tmp_path / "sys", files)
    proc = write(tmp_path / "proc", {"self/cgroup": "0::/a\n", "meminfo": MEMINFO})
    size = machine.memory(proc=proc, sys=sys_root)
    assert (size.total, size.free, size.limited) == (4000 * 1024, 2000 * 1024, True)
    assert (size.swap_total, size.swap_free) == (100 * 1024, 40 * 1024)


def test_that_an_unlimited_group_of_the_first_version_limits_nothing(tmp_path: Path) -> None:
    files = {"fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}
    sys_root = write(tmp_path / "sys", files)
    proc = write(tmp_path / "proc", {"self/cgroup": "4:memory:/\n", "meminfo": MEMINFO})
    size = machine.memory(proc=proc, sys=sys_root)
    assert (size.total, size.free, size.limited) == (8000 * 1024, 6000 * 1024, False)


def test_that_model_flags_and_governor_are_read(tmp_path: Path) -> None:
    info = "processor\t: 0\nmodel name\t: Test 9000\nflags\t\t: fpu avx2 avx512_bf16 amx_int8\n\nprocessor\t: 1\n"
    frequency = "devices/system/cpu/cpu0/cpufreq"
    sys_root = write(
        tmp_path / "sys", {f"{frequency}/scaling_governor": "powersave\n", f"{frequency}/cpuinfo_max_freq": "4200000\n"}
    )
    proc = write(tmp_path / "proc", {"cpuinfo": info, "meminfo": MEMINFO})
    cpu = machine.processor(proc=proc, sys=sys_root)
    assert (cpu.model, cpu.governor, cpu.clock_max_hertz) == ("Test 9000", "powersave", 4_200_000_000)
    assert cpu.flags == ("fpu", "avx2", "avx512_bf16", "amx_int8")
    write(sys_root, {"kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n"})
    facts = machine_facts(proc=proc, sys=sys_root)
    assert facts["memory.huge_pages"] == "madvise"
    assert facts["power.profile"].startswith("not available")
    assert facts["cpu.flags"] == "avx2 avx512_bf16 amx_int8"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "mains (no battery)"),
        ({"AC/type": "Mains\n", "AC/online": "1\n", "BAT0/type": "Battery\n", "BAT0/status": "Charging\n"}, "mains"),
        (
            {"AC/type": "Mains\n", "AC/online": "0\n", "BAT0/type": "Battery\n", "BAT0/status": "Discharging\n"},
            "battery",
        ),
        ({"mouse/type": "Battery\n", "mouse/scope": "Device\n", "mouse/status": "Discharging\n"}, "mains (no battery)"),
    ],
)
def test_that_a_battery_is_noticed(tmp_path: Path, files: dict[str, str], said: str) -> None:
    write(tmp_path / "class" / "power_supply", files)
    assert power_source(tmp_path) == said


def test_that_containers_are_known_by_their_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    bare = write(tmp_path / "bare", {"proc/1/cgroup": "0::/init.scope\n"})
    assert container(bare / "proc", bare) == "none found"
    assert container(write(tmp_path / "l", {"proc/1/cgroup": "0::/lxc/x\n"}) / "proc", bare) == "lxc"
    assert container(bare / "proc", write(tmp_path / "d", {".dockerenv": ""})) == "docker"
    assert container(bare / "proc", write(tmp_path / "p", {"run/.containerenv": ""})) == "podman"


def test_that_the_commit_is_what_git_says(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert project_commit(tmp_path) == ""
    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "first")
    assert project_commit(tmp_path) == git("rev-parse", "HEAD")
    git("pack-refs", "--all")
    assert project_commit(tmp_path) == git("rev-parse", "HEAD")
    git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    git("-C", str(tmp_path / "side"), "commit", "-q", "--allow-empty", "-m", "second")
    assert project_commit(tmp_path / "side") == git("rev-parse", "side") != project_commit(tmp_path)
    git("checkout", "-q", "--detach")
    assert project_commit(tmp_path) == git("rev-parse", "HEAD")


def test_that_a_busy_neighbour_is_named_and_our_own_child_is_not() -> None:
    spin = "import time\nend = time.monotonic() + 300\nwhile time.monotonic() < end: pass"
    read_end, write_end = os.pipe()
    # The middle process ends at once: what it started belongs to the system then, not to us.
    middle = f"import os, subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {spin!r}]); "
    middle += f"os.write({write_end}, str(p.pid).encode()); os._exit(0)"
    subprocess.run([sys.executable, "-c", middle], pass_fds=(write_end,), check=True)
    os.close(write_end)
    foreign = int(os.read(read_end, 32))
    os.close(read_end)
    own = subprocess.Popen([sys.executable, "-c", spin])
    named: list[dict[int, Neighbour]] = []

    def look() -> bool:
        named.append({neighbour.pid: neighbour for neighbour in busy_neighbours(interval_s=0.3)})
        return foreign in named[-1]

    try:
        until(look)
    finally:
        own.kill()
        own.wait()
        os.kill(foreign, 9)
    assert not any(own.pid in found for found in named)
    assert named[-1][foreign].name.startswith("python")
    assert named[-1][foreign].cores > 0.05
