"""What of the machine this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def launched_here() -> int:
    """Processes of this launch on this machine."""
    told = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(told)) if told.isdigit() else 1


def free_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes of memory that can be taken now without swapping, within the limits of a container or a job too;
    None where the system does not say (it is not Linux)."""
    bounds = [*_meminfo(proc / "meminfo"), *_left_in_groups(proc / "self" / "cgroup", cgroups)]
    return max(0, min(bounds)) if bounds else None


def _meminfo(file: Path) -> list[int]:
    lines = [line.split() for line in _text(file).splitlines()]
    return [int(words[1]) << 10 for words in lines if words[:1] == ["MemAvailable:"]]


def _left_in_groups(file: Path, cgroups: Path) -> Iterator[int]:
    """What the control groups of this process and all those above leave, of both versions of the kernel's."""
    for line in _text(file).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _left(cgroups, path, ("memory.max", "memory.current", "inactive_file"))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left(cgroups / "memory", path, names)


def _left(root: Path, path: str, names: tuple[str, str, str]) -> Iterator[int]:
    limit_name, usage_name, cached_name = names
    folder = root / path.strip("/")
    for group in (folder, *folder.parents):
        limit, usage = _text(group / limit_name).strip(), _text(group / usage_name).strip()
        if limit.isdigit() and usage.isdigit():
            told = dict(line.split()[:2] for line in _text(group / "memory.stat").splitlines())
            yield int(limit) - int(usage) + int(told.get(cached_name, 0))  # files are given up when asked for
        if group == root:
            return


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
