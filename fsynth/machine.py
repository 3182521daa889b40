"""What of the machine this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def cores(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Cores that this process may run on, or as many as the quota of a container or a job comes to."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([here, *_quotas(proc / "self" / "cgroup", cgroups)])


def launched_here() -> int:
    """Processes of this launch on this machine."""
    told = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(told)) if told.isdigit() else 1


def free_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Bytes of memory that can be taken now without swapping, within the limits of a container or a job too;
    None where the system does not say (it is not Linux)."""
    bounds = [*_meminfo(proc / "meminfo"), *_left_in_groups(proc / "self" / "cgroup", cgroups)]
    return max(0, min(bounds)) if bounds else None


def _meminfo(file: Path) -> list[int]:
    lines = [line.split() for line in _text(file).splitlines()]
    return [int(words[1]) << 10 for words in lines if words[:1] == ["MemAvailable:"]]


def _left_in_groups(file: Path, cgroups: Path) -> Iterator[int]:
    """What the control groups of this process and all those above leave, of both versions of the kernel's."""
    for group, is_new in _groups(file, cgroups, "memory"):
        if is_new:
            yield from _left(group, "memory.max", "memory.current", "inactive_file")
        else:
            yield from _left(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _left(group: Path, limit_name: str, usage_name: str, cached_name: str) -> Iterator[int]:
    limit, usage = _text(group / limit_name).strip(), _text(group / usage_name).strip()
    if limit.isdigit() and usage.isdigit():
        told = dict(line.split()[:2] for line in _text(group / "memory.stat").splitlines())
        yield int(limit) - int(usage) + int(told.get(cached_name, 0))  # files are given up when asked for


def _quotas(file: Path, cgroups: Path) -> Iterator[int]:
    """Cores that each control group's share of time comes to, rounded up; none where it has all."""
    for group, is_new in _groups(file, cgroups, "cpu"):
        quota, period = (
            [*_text(group / "cpu.max").split(), "", ""][:2]
            if is_new
            else (_text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
        )
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):
            yield math.ceil(int(quota) / int(period))


def _groups(file: Path, cgroups: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """Folders of this process' control groups and of all above, of both versions of the kernel's, and whether
    they are of the newer one."""
    for line in _text(file).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroups / controller if controllers else cgroups
        folder = root / path.strip("/")
        for group in (folder, *folder.parents):
            yield group, not controllers
            if group == root:
                break


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
