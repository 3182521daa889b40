"""Shards on a web server against the same shards here: opening, pictures at random, streaming.

    fsynth data-export --data FOLDER --format webdataset --output shards
    python scripts/bench_remote.py shards

The server is a process of its own on this machine, so the times hold no network: they are what fsynth adds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the tests' server


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path, help="folder of .tar files")
    parser.add_argument("--pictures", type=int, default=1000, help="how many are read")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache, multiprocessing.get_context("spawn").Pool(1) as pool:
        os.environ |= {"FSYNTH_CACHE": cache, "NO_PROXY": "127.0.0.1"}
        url = pool.apply(_start, (options.shards,))
        names = "::".join(f"{url}/{file.relative_to(options.shards)}" for file in _shards(options.shards))
        _measure(options.shards, names, options.pictures)


def _measure(near: Path, far: str, pictures: int) -> None:
    import numpy as np

    import fsynth
    from fsynth.data import sources

    sources.open_source(near), sources.open_source(far.partition("::")[0])  # imports, first connections
    timed("open, here", lambda: sources.open_source(near))
    timed("open, elsewhere, first time", lambda: sources.open_source(far))
    here, there = sources.open_source(near).train, sources.open_source(far).train
    timed("open, elsewhere, again", lambda: sources.open_source(far))
    rows = np.random.default_rng(0).permutation(len(here))[:pictures].tolist()
    for _ in range(2):
        for where, part in (("here", here), ("elsewhere", there)):
            timed(
                f"pictures at random, {where}",
                lambda part=part: [part[row] and None for row in rows],
                len(rows),
            )
    for where, root in (("here", near), ("elsewhere", far)):
        part = fsynth.load_dataset(root, "train", streaming=True)
        next(iter(part))
        timed(f"stream, {where}", lambda part=part: [None for _ in part.take(pictures)], len(rows))


def timed(what: str, work: Callable[[], Any], count: int = 0) -> None:
    """Do the work and print its time, and what of it was this process' own."""
    start, used = time.perf_counter(), time.process_time()
    work()
    took, cpu = time.perf_counter() - start, time.process_time() - used
    each = f"   {1000 * cpu / count:.2f} ms of CPU a picture" if count else ""
    print(f"{what:32} {took:7.2f} s{each}", flush=True)


_servers: list[Any] = []


def _start(folder: Path) -> str:
    from tests.data import range_server

    _servers.append(range_server.serve(folder))
    return _servers[0].__enter__().url


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tar"))


if __name__ == "__main__":
    main()
