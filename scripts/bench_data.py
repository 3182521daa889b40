"""What does it cost to read pictures out of archives, beside a plain folder of the same pictures?

    python scripts/bench_data.py [--data FOLDER --password-file FILE] [--growth 1000,10000] [--json FILE]

Without --data: the real photos beside the repository (../shared/data/clothing-photos-300), else drawn data.
The decoder is the same everywhere (``dataset[i]["image"]``). Rounds alternate between the kinds, so that a
busy machine slows all of them; each round gives one difference, and the median counts. --growth opens
archives of so many rows, made of the same pictures, and then the data themselves, each in a process of its
own. Exits with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fsynth import machine  # noqa: E402
from fsynth.data import layout, picture_memory, places, sources, zip_cipher  # noqa: E402
from fsynth.errors import FsynthError  # noqa: E402
from scripts import bench_opening, bench_sources  # noqa: E402

if TYPE_CHECKING:
    import datasets

PHOTOS = ROOT.parent / "shared/data/clothing-photos-300"
AES_SIZE = 33_000  # bytes of a picture that the bar of AES is meant for
MOST_ZIPCRYPTO, MOST_AES = 0.4, 0.9  # ms of CPU a picture more than from a plain folder
LEAST_TIMES_ZIPFILE = 20
MOST_LATER = 1.05  # times the plain folder, from memory
LEAST_SPEED_UP = 3.5  # of four workers
WORKERS = (0, 1, 2, 4)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    pictures: int
    rounds: int
    zipfile_members: int
    loaded: int


FULL, QUICK = Size(300, 15, 60, 3000), Size(12, 3, 4, 64)


@dataclass(frozen=True)
class Line:
    """One number. ``passed`` is None where nothing is asked of it."""

    what: str
    value: float
    unit: str
    spread: str = ""
    bar: str = ""
    passed: bool | None = None

    def text(self) -> str:
        verdict = {None: "", True: "  ok", False: "  MISSED"}[self.passed]
        return f"{self.what:<60}{self.value:9.3f} {self.unit:<12}{self.spread:<33}{self.bar}{verdict}"


def main(arguments: list[str] | None = None) -> int:
    warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)  # 4 on 2 cores is meant
    options = parse_options(arguments)
    try:
        return measure(options)
    except FsynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--growth", default="1000,4000", help="rows of archives to open; 0 for none")
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    parser.add_argument("--quick", action="store_true", help="a few pictures, to see that it runs")
    options = parser.parse_args(arguments)
    if options.data is None and PHOTOS.is_dir():
        options.data, options.password_file = PHOTOS, PHOTOS / "password.txt"
    return options


def measure(options: argparse.Namespace) -> int:
    size = QUICK if options.quick else FULL
    given = sources.open_source(options.data, options.password_file)
    print(head(given.describe))
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        members = bench_sources.contents(given.train, size.pictures)
        hdf5 = hdf5_of(options)
        lines += show(costs(folder, members, hdf5, size))
        lines += show(aes_costs(folder, members, size))
        lines += show(throughput({"ZIP": given.train, "HDF5": hdf5}, size))
        lines += show(memory(folder, members, size))
        lines += show(growth(folder, members, options))
    if options.json:
        numbers = {"machine": head(given.describe), "lines": [asdict(line) for line in lines]}
        options.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return int(any(line.passed is False for line in lines))


def show(lines: list[Line]) -> list[Line]:
    for line in lines:
        print(line.text(), flush=True)
    print()
    return lines


def head(describe: str) -> str:
    packages = ("datasets", "pillow", "isal", "cryptography", "stream-unzip", "torch")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    load = f"load {os.getloadavg()[0]:.1f}"
    return f"{describe}\n{machine.cores()} cores, {load}, Python {platform.python_version()}, {versions}\n"


def hdf5_of(options: argparse.Namespace) -> datasets.Dataset | None:
    """The pictures of the data's HDF5, where there is one."""
    root = places.data_root(options.data)
    if root is None or not root.is_dir() or not layout.find_files(root, (layout.HDF5,)):
        return None
    return sources.open_source(options.data, options.password_file, "hdf5").train


# --------------------------------------------------------------------------------------------------
# CPU time of one process


def costs(folder: Path, members: Any, hdf5: datasets.Dataset | None, size: Size) -> list[Line]:
    """ZipCrypto, a shard and the HDF5 beside a plain folder."""
    kinds = {
        "plain folder": bench_sources.plain(folder / "plain", members),
        "ZipCrypto ZIP": bench_sources.zipped(folder / "zipcrypto.zip", members, "zipcrypto"),
        "tar shard": bench_sources.shard(folder / "shard.tar", members),
    }
    if hdf5 is not None:
        kinds["HDF5 (128 px)"] = hdf5.select(range(min(len(hdf5), len(members))))
    lines = compared(kinds, members, size, {"ZipCrypto ZIP": MOST_ZIPCRYPTO})
    return [*lines, against_zipfile(folder / "zipcrypto.zip", size)]


def aes_costs(folder: Path, members: Any, size: Size) -> list[Line]:
    """AES beside a plain folder, with pictures of the size that its bar is meant for."""
    larger = bench_sources.near(members, AES_SIZE)
    kinds = {
        "plain folder": bench_sources.plain(folder / "larger", larger),
        "AES ZIP": bench_sources.zipped(folder / "aes.zip", larger, "aes"),
    }
    lines = compared(kinds, larger, size, {"AES ZIP": MOST_AES}, before=zip_cipher.aes_keys.cache_clear)
    again = compared(kinds, larger, size, {})[-1]
    return [*lines, replace(again, what=f"{again.what}, read again")]


def compared(
    kinds: dict[str, datasets.Dataset],
    members: Any,
    size: Size,
    bars: dict[str, float],
    before: Callable[[], Any] = lambda: None,
) -> list[Line]:
    """CPU milliseconds a picture of each kind, and what each takes more than the first; ``before`` each
    round, what could be remembered is forgotten."""
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for dataset in kinds.values():
        dataset[0]
    for _ in range(size.rounds):
        before()
        for kind, dataset in kinds.items():
            times[kind].append(cpu_of(dataset))
    of = f"{bench_sources.mean_size(members) / 1000:.1f} kB"
    first = next(iter(kinds))
    lines = [
        Line(f"{kind}, pictures of {of}", median(ms), "ms CPU", spread(ms)) for kind, ms in times.items()
    ]
    for kind in list(kinds)[1:]:
        more = [ms - plain for ms, plain in zip(times[kind], times[first], strict=True)]
        bar = bars.get(kind)
        passed = None if bar is None else median(more) <= bar
        wanted = "" if bar is None else f"at most {bar:g}"
        lines.append(
            Line(f"  {kind} more than {first}", median(more), "ms CPU", spread(more), wanted, passed)
        )
    return lines


def cpu_of(dataset: datasets.Dataset) -> float:
    """Milliseconds of CPU a picture, all of them read once."""
    start = time.process_time()
    for index in range(len(dataset)):
        dataset[index]["image"]
    return 1000 * (time.process_time() - start) / len(dataset)


def spread(values: list[float]) -> str:
    low, _, high = quantiles(values, n=4)
    return f"(half of them {low:.3f} to {high:.3f})"


def against_zipfile(file: Path, size: Size) -> Line:
    """How many times faster a member is read than by the standard library, in the same rounds."""
    archive = bench_sources.archive_of(file)
    names = archive.names[: size.zipfile_members]
    ratios = []
    with zipfile.ZipFile(file) as standard:
        standard.setpassword(bench_sources.PASSWORD)
        for _ in range(min(5, size.rounds)):
            slow, fast = (cpu_of_reading(read, names) for read in (standard.read, archive.read))
            ratios.append(slow / fast)
    value, bar = median(ratios), f"at least {LEAST_TIMES_ZIPFILE}"
    passed = value >= LEAST_TIMES_ZIPFILE
    return Line("  members read, against zipfile", value, "times", spread(ratios), bar, passed)


def cpu_of_reading(read: Any, names: Any) -> float:
    start = time.process_time()
    for name in names:
        read(name)
    return time.process_time() - start


# --------------------------------------------------------------------------------------------------
# loader processes, and memory


def throughput(kinds: dict[str, datasets.Dataset | None], size: Size) -> list[Line]:
    """Pictures a second out of a loader over the training data set, from its second batch on."""
    lines = []
    for kind, dataset in kinds.items():
        if dataset is None:
            continue
        speeds = {workers: pictures_a_second(dataset, workers, size.loaded) for workers in WORKERS}
        lines += [
            Line(f"{kind}, {workers} workers, {bench_opening.RESOLUTION} px tensors", speed, "pictures/s")
            for workers, speed in speeds.items()
        ]
        ratio, judged = speeds[4] / speeds[1], machine.cores() >= 4
        bar = f"at least {LEAST_SPEED_UP:g} " if judged else f"only reported: {machine.cores()} cores"
        passed = ratio >= LEAST_SPEED_UP if judged else None
        lines.append(Line(f"  {kind}, four workers against one", ratio, "times", "", bar, passed))
    return lines


def pictures_a_second(dataset: datasets.Dataset, workers: int, pictures: int) -> float:
    batches = iter(bench_opening.loader_of(dataset, workers, pictures))
    next(batches)
    start = time.perf_counter()
    count = sum(len(batch) for batch in batches)
    return count / (time.perf_counter() - start)


def memory(folder: Path, members: Any, size: Size) -> list[Line]:
    """--cache-images memory: the first pass, then later ones beside the plain folder in the same rounds."""
    plain = bench_sources.plain(folder / "beside", members)
    kept = bench_sources.zipped(folder / "kept.zip", members, "zipcrypto")
    print(picture_memory.keep([kept]))
    first, cpu, wall = cpu_of(kept), [], []
    for _ in range(size.rounds):
        pairs = [timed(dataset) for dataset in (plain, kept)]
        cpu.append(pairs[1][0] / pairs[0][0])
        wall.append(pairs[1][1] / pairs[0][1])
    bar = f"at most {MOST_LATER}"
    return [
        Line("first pass into memory", first, "ms CPU"),
        Line(
            "  later passes, CPU against plain",
            median(cpu),
            "times",
            spread(cpu),
            bar,
            median(cpu) <= MOST_LATER,
        ),
        Line(
            "  later passes, wall against plain",
            median(wall),
            "times",
            spread(wall),
            bar,
            median(wall) <= MOST_LATER,
        ),
    ]


def timed(dataset: datasets.Dataset) -> tuple[float, float]:
    start = time.perf_counter()
    cpu = cpu_of(dataset)
    return cpu, 1000 * (time.perf_counter() - start) / len(dataset)


# --------------------------------------------------------------------------------------------------
# growth with the rows


def growth(folder: Path, members: Any, options: argparse.Namespace) -> list[Line]:
    """Opening archives of growing size; the first batch must not take longer for a larger one."""
    found = []
    for rows in [int(rows) for rows in options.growth.split(",") if int(rows)]:
        made = bench_sources.benchmark(folder / f"rows-{rows}", members, rows)
        found.append(in_a_process(made, made / "password.txt", "zip"))
    root = places.data_root(options.data)
    if found and root is not None and layout.find_files(root, (layout.ANNOTATION,)):
        found.append(in_a_process(root, options.password_file, "zip"))
        if layout.find_files(root, (layout.HDF5,)):
            found.append(in_a_process(root, options.password_file, "hdf5"))
    lines = [line for one in found for line in opened_lines(one)]
    zips = sorted((one for one in found if one["source"] == "zip"), key=lambda one: one["rows"])
    if len(zips) > 1:
        small, large = zips[0]["first_batch"], zips[-1]["first_batch"]
        most = 1.5 * small + 0.1
        what = f"  first batch, {zips[-1]['rows']:,} rows against {zips[0]['rows']:,}"
        lines.append(Line(what, large / small, "times", "", f"at most {most / small:.1f}", large <= most))
    return lines


def opened_lines(one: dict[str, Any]) -> list[Line]:
    what = f"{one['rows']:,} rows, {one['source']}"
    return [
        Line(f"{what}: opened", one["open"], "s", f"(its index {one['index']:.2f} s)"),
        Line(f"{what}: first batch of {bench_opening.BATCH}, one worker", one["first_batch"], "s"),
        Line(
            f"{what}: memory of a worker, PSS", one["worker_pss"], "MiB", f"(main {one['main_pss']:.0f} MiB)"
        ),
        Line(f"{what}: memory of a worker's own", one["worker_own"], "MiB"),
    ]


def in_a_process(folder: Path, password_file: Path | None, source: str) -> dict[str, Any]:
    """`bench_opening.opening` where nothing has been opened yet."""
    command = [sys.executable, bench_opening.__file__, str(folder), "--source", source]
    command += ["--password-file", str(password_file)] if password_file else []
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode:
        raise FsynthError(f"{folder} could not be measured: {out.stderr.strip().splitlines()[-1]}")
    return json.loads(out.stdout.splitlines()[-1])


if __name__ == "__main__":
    raise SystemExit(main())
