"""How much memory there is and how many cores, also inside containers and jobs."""

from __future__ import annotations

import os

import pytest

from fsynth import machine

GIB = 2**30


@pytest.fixture
def system(tmp_path):
    """Folders like /proc and /sys/fs/cgroup, with 8 GiB available."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:    {8 << 20} kB\nSwapFree: 0 kB\n")
    return tmp_path


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def free(system):
    return machine.free_memory(system / "proc", system / "cgroup")


def test_what_the_kernel_says_is_available(system):
    assert free(system) == 8 * GIB
    (system / "proc/self/cgroup").write_text("0::/\n")
    write(system / "cgroup", memory__max="max", memory__current=GIB, memory__stat="inactive_file 5")
    assert free(system) == 8 * GIB


@pytest.mark.parametrize("where", ["", "job", "job/step"])
def test_a_limit_anywhere_above_counts_and_files_in_memory_do_not(system, where):
    (system / "proc/self/cgroup").write_text("0::/job/step\n")
    (system / "cgroup/job/step").mkdir(parents=True)
    write(
        system / "cgroup" / where,
        memory__max=4 * GIB,
        memory__current=3 * GIB,
        memory__stat=f"anon 7\ninactive_file {2 * GIB}",
    )
    assert free(system) == 3 * GIB


def test_the_older_kind_of_limit(system):
    (system / "proc/self/cgroup").write_text("5:cpu:/x\n4:hugetlb,memory:/gone/from/here\n0::/\n")
    write(system / "cgroup/memory", memory__limit_in_bytes=2 * GIB, memory__usage_in_bytes=GIB // 2)
    assert free(system) == 3 * GIB // 2
    write(system / "cgroup/memory", memory__limit_in_bytes=2**63 - 4096)
    assert free(system) == 8 * GIB
    write(system / "cgroup/memory", memory__limit_in_bytes=GIB, memory__usage_in_bytes=2 * GIB)
    assert free(system) == 0


def test_a_system_that_does_not_say(tmp_path):
    assert free(tmp_path) is None
    assert machine.cores(tmp_path, tmp_path) == len(os.sched_getaffinity(0))


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    "told, cores", [("max 100000", 8), ("150000 100000", 2), ("5000 100000", 1), ("", 8)]
)
@pytest.mark.parametrize("where", ["", "job", "job/step"])
def test_a_quota_anywhere_above_bounds_the_cores(system, eight_cores, where, told, cores):
    (system / "proc/self/cgroup").write_text("0::/job/step\n")
    write(system / "cgroup" / where, cpu__max=told)
    assert machine.cores(system / "proc", system / "cgroup") == cores


@pytest.mark.parametrize("quota, cores", [(-1, 8), (300_000, 3), (310_000, 4), (10_000_000, 8)])
def test_the_older_kind_of_quota(system, eight_cores, quota, cores):
    (system / "proc/self/cgroup").write_text("4:memory:/x\n3:cpu,cpuacct:/gone/from/here\n0::/\n")
    write(system / "cgroup/cpu", cpu__cfs_quota_us=quota, cpu__cfs_period_us=100_000)
    assert machine.cores(system / "proc", system / "cgroup") == cores


def test_this_machine_has_some_memory_and_processes(monkeypatch):
    assert machine.free_memory() is None or machine.free_memory() > 2**20
    for told, processes in (("", 1), ("0", 1), ("8", 8), ("x", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", told)
        assert machine.launched_here() == processes
