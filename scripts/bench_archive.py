"""How fast are encrypted archives read, against Python's own zipfile, in one run on one core?

    python scripts/bench_archive.py [--archive img.zip --password-file password.txt]

Without --archive: the real photos beside the repository (../shared/data/clothing-photos-300), else an
archive of 300 random members of their size. Rounds alternate between the readers, so a busy machine slows
both; each round gives one ratio, and the median counts. Exits with 1 when it is below --at-least.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fsynth.data.archive import Archive, find_password  # noqa: E402
from fsynth.data.zip_writer import write_encrypted_zip  # noqa: E402
from fsynth.errors import FsynthError  # noqa: E402

PHOTOS = ROOT.parent / "shared/data/clothing-photos-300"
MB = 1e6
PASSES = 5  # of the fast readers in each round: a tenth of a second is too short to time


def main() -> int:
    warnings.filterwarnings("ignore", "PBKDF2 without", DeprecationWarning)
    options = parse_options()
    with tempfile.TemporaryDirectory() as folder:
        try:
            path, password = choose_archive(options, Path(folder))
            return measure(path, password, Path(folder), options)
        except FsynthError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-least", type=float, default=20, help="the ratio to reach (default: 20)")
    return parser.parse_args()


def choose_archive(options: argparse.Namespace, folder: Path) -> tuple[Path, bytes]:
    if options.archive is not None:
        password = find_password(options.password_file)
        if password is None:
            raise FsynthError("no password given; pass --password-file FILE")
        return options.archive, password
    if PHOTOS.is_dir():
        return PHOTOS / "Img/img.zip", find_password(PHOTOS / "password.txt") or b""
    draw = random.Random(0)
    members = [(f"img/img_{index:08d}.jpg", draw.randbytes(20_000)) for index in range(300)]
    write_encrypted_zip(folder / "random.zip", members, b"bench", compress=True)
    return folder / "random.zip", b"bench"


def measure(path: Path, password: bytes, folder: Path, options: argparse.Namespace) -> int:
    archive = Archive(path, password)
    aes = Archive(folder / "aes.zip", password)
    write_encrypted_zip(
        aes.path, ((name, archive.read(name)) for name in archive.names), password, encryption="aes"
    )
    rows = timings(path, password, archive, aes, options.rounds)
    ratio = median(slow / fast for slow, fast in zip(rows["zipfile"], rows["fsynth"], strict=True))
    report(path, archive, rows)
    print(f"ratio: {ratio:.1f} times zipfile (median of {options.rounds} rounds; bar {options.at_least:g})")
    return int(ratio < options.at_least)


def timings(
    path: Path, password: bytes, archive: Archive, aes: Archive, rounds: int
) -> dict[str, list[float]]:
    """Seconds for all members in each round, and for single reads in random order."""
    names = list(archive.names)
    rows: dict[str, list[float]] = {
        "zipfile": [],
        "fsynth": [],
        "fsynth AES": [],
        "single": [],
        "single AES": [],
    }
    with zipfile.ZipFile(path) as standard:
        standard.setpassword(password)
        if standard.read(names[0]) != archive.read(names[0]):
            raise FsynthError(f"{path}: the two readers disagree")
        for _ in range(rounds):
            rows["zipfile"].append(seconds(standard.read, names))
            rows["fsynth"].append(seconds(archive.read, names * PASSES) / PASSES)
            rows["fsynth AES"].append(seconds(aes.read, names * PASSES) / PASSES)
    for key, reader in (("single", archive), ("single AES", aes)):
        rows[key] = [seconds(reader.read, [name]) for name in random.Random(0).choices(names, k=1000)]
    return rows


def seconds(read: Callable[[str], bytes], names: Iterable[str]) -> float:
    start = time.perf_counter()
    for name in names:
        read(name)
    return time.perf_counter() - start


def report(path: Path, archive: Archive, rows: dict[str, list[float]]) -> None:
    size = sum(map(archive.size, archive.names))
    count = len(archive.names)
    load = os.getloadavg()[0]
    print(
        f"{path.name}: {count:,} members of {size / count / 1000:.1f} kB on average; machine load {load:.1f}"
    )
    for key in ("zipfile", "fsynth", "fsynth AES"):
        middle = median(rows[key])
        print(f"{key:<12}{size / MB / middle:8.1f} MB/s {1000 * middle / count:8.3f} ms a member")
    for key in ("single", "single AES"):
        tail = quantiles(rows[key], n=20)[-1]
        print(f"{key:<12}{1000 * median(rows[key]):8.3f} ms a random member, 95 % below {1000 * tail:.3f} ms")


if __name__ == "__main__":
    raise SystemExit(main())
