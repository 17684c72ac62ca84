"""The processor and memory of this machine, as a process started here may use them. Pure reads; any thread.

Affinity and control groups count: in a container with two of 64 cores, two is the truth.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.host.processors import Share, cores_here, processors_here, share_for
from engines.telemetry.procfs import parse_kilobytes

PROC = Path("/proc")
SYS = Path("/sys")
_CPUINFO_BYTES = 16_384
"""The first processor's entry; the file repeats it for every core."""
_NO_LIMIT_BYTES = 1 << 60
"""Control groups of version 1 write "no limit" as a number near 2^63."""


@dataclass(frozen=True)
class Processor:
    """`flags` are the kernel's names of instruction sets; `clock_max_hertz` is 0 where the machine does not say."""

    model: str
    flags: tuple[str, ...]
    governor: str
    clock_max_hertz: int
    cores: int
    cores_machine: int
    threads_default: int
    """Threads of a worker that asks for none: what `share_here` gives it."""


@dataclass(frozen=True)
class MemorySize:
    """Bytes; `limited` when a control group allows less than the machine has."""

    total: int
    free: int
    swap_total: int
    swap_free: int
    limited: bool


def processor(*, proc: Path = PROC, sys: Path = SYS, among: Collection[int] = ()) -> Processor:
    """`among`: the processors that count, of those this process may use; none: all of these."""
    info = _cpuinfo(proc)
    frequency = sys / "devices/system/cpu/cpu0/cpufreq"
    clock_khz = read_word(frequency / "cpuinfo_max_freq")
    return Processor(
        model=info.get("model name") or info.get("Hardware") or platform.processor() or platform.machine(),
        flags=tuple((info.get("flags") or info.get("Features") or "").split()),
        governor=read_word(frequency / "scaling_governor"),
        clock_max_hertz=int(clock_khz) * 1000 if clock_khz.isdigit() else 0,
        cores=usable_cores(proc=proc, sys=sys, among=among),
        cores_machine=os.cpu_count() or 1,
        threads_default=share_here(0, among, proc=proc, sys=sys).threads,
    )


def share_here(wanted: int, among: Collection[int] = (), *, proc: Path = PROC, sys: Path = SYS) -> Share:
    """What a worker that asks for `wanted` threads (0: by default) gets of this machine, or of these processors."""
    return share_for(wanted, cores_here(sys, among), usable_cores(proc=proc, sys=sys, among=among))


def usable_cores(*, proc: Path = PROC, sys: Path = SYS, among: Collection[int] = ()) -> int:
    """Whole cores this process may use: its affinity, cut by a control group's quota; at least one."""
    allowed = len(processors_here(among))
    quotas = [q for group in own_groups("cpu", proc, sys) if (q := _quota_cores(group)) is not None]
    return max(1, min([allowed, *(int(quota) for quota in quotas)]))


def memory(*, proc: Path = PROC, sys: Path = SYS) -> MemorySize:
    """Raises `OSError` or `ValueError` where /proc/meminfo is not as on Linux."""
    text = (proc / "meminfo").read_bytes()
    total = parse_kilobytes(text, b"MemTotal", "/proc/meminfo")
    free = parse_kilobytes(text, b"MemAvailable", "/proc/meminfo")
    limited = False
    for group in own_groups("memory", proc, sys):
        limit = _memory_limit(group)
        if limit is not None and limit < _NO_LIMIT_BYTES:
            limited = limited or limit < total
            total = min(total, limit)
            free = min(free, max(0, limit - _memory_used(group)))
    return MemorySize(
        total=total,
        free=free,
        swap_total=parse_kilobytes(text, b"SwapTotal", "/proc/meminfo"),
        swap_free=parse_kilobytes(text, b"SwapFree", "/proc/meminfo"),
        limited=limited,
    )


def own_groups(controller: str, proc: Path = PROC, sys: Path = SYS) -> Iterator[Path]:
    """Folders of the control groups that bound this process by `controller`, innermost first, of either version."""
    root = sys / "fs/cgroup"
    version_2 = ""
    for line in _lines(proc / "self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            yield from _upwards(root / controller, path)
            return
        if number == "0":
            version_2 = path
    if version_2:
        yield from _upwards(root, version_2)


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The group and all above it that can be seen from here; in a container the path may name what is hidden."""
    folder = root / path.lstrip("/")
    for group in (folder, *folder.parents):
        if group.is_dir():
            yield group
        if group == root:
            return


def _quota_cores(group: Path) -> float | None:
    words = read_line(group / "cpu.max").split() or [
        read_word(group / "cpu.cfs_quota_us"),
        read_word(group / "cpu.cfs_period_us"),
    ]
    try:
        quota, period = int(words[0]), int(words[1])
    except (ValueError, IndexError):  # "max", or no such file: no quota here
        return None
    return quota / period if quota > 0 and period > 0 else None


def _memory_limit(group: Path) -> int | None:
    word = read_word(group / "memory.max") or read_word(group / "memory.limit_in_bytes")
    return int(word) if word.isdigit() else None


def _memory_used(group: Path) -> int:
    """Bytes in use that the kernel cannot simply drop: its file cache is not counted."""
    word = read_word(group / "memory.current") or read_word(group / "memory.usage_in_bytes")
    used = int(word) if word.isdigit() else 0
    for line in _lines(group / "memory.stat"):
        key, _, value = line.partition(" ")
        if key in ("inactive_file", "total_inactive_file") and value.isdigit():
            return max(0, used - int(value))
    return used


def _cpuinfo(proc: Path) -> dict[str, str]:
    try:
        with (proc / "cpuinfo").open("rb") as file:
            text = file.read(_CPUINFO_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            entries.setdefault(key.strip(), value.strip())
    return entries


def read_line(file: Path) -> str:
    """First line of a small file of /proc or /sys, "" where it cannot be read."""
    return next(iter(_lines(file)), "").strip()


def read_word(file: Path) -> str:
    """First word of a small file of /proc or /sys, "" where it cannot be read."""
    return next(iter(read_line(file).split()), "")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []
