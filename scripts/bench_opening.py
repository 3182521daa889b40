"""How long does it take to open data and to have their first batch, and what memory do workers take?

    python scripts/bench_opening.py FOLDER [--source zip|hdf5] [--password-file FILE]

One measurement of a fresh process, as a line of JSON; scripts/bench_data.py starts several of them. FOLDER
is in the benchmark's formats.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fsynth.data import annotation, layout, sources  # noqa: E402
from fsynth.data.archive import Archive  # noqa: E402
from fsynth.errors import FsynthError  # noqa: E402

if TYPE_CHECKING:
    import datasets

RESOLUTION, BATCH, PICTURES = 256, 32, 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", choices=("zip", "hdf5"), default="zip")
    parser.add_argument("--password-file", type=Path)
    options = parser.parse_args()
    try:
        print(json.dumps(opening(options.folder, options.password_file, options.source)))
    except FsynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def opening(
    folder: Path, password_file: Path | None, source: str, pictures: int = PICTURES
) -> dict[str, Any]:
    """What the module text says: seconds, and MiB at the peak of so many pictures read.

    ``index`` is what it takes to read the annotation, the split and the directory of the archive.
    """
    import datasets  # noqa: F401  # what a command has imported by then
    import torch  # noqa: F401

    start = time.perf_counter()
    dataset = sources.open_source(folder, password_file, source).train
    opened = time.perf_counter() - start
    loader = loader_of(dataset, 1, pictures)
    start = time.perf_counter()
    batches = iter(loader)
    next(batches)
    first = time.perf_counter() - start
    seen = [memory_of(worker.pid) for _ in batches for worker in multiprocessing.active_children()]
    shared, own = (max(values) for values in zip(*seen, strict=True))
    rows, index = index_of(folder, source)
    return {
        "rows": rows,
        "source": source,
        "open": opened,
        "index": index,
        "first_batch": first,
        "worker_pss": shared,
        "worker_own": own,
        "main_pss": memory_of(os.getpid())[0],
    }


def loader_of(dataset: datasets.Dataset, workers: int, pictures: int) -> Any:
    """Batches of tensors as diffusion training reads them, from all over the data set."""
    from torch.utils.data import DataLoader

    from fsynth.sd_rows import Pictures

    rows = Pictures(dataset, range(len(dataset)), RESOLUTION)
    order = [(7919 * place) % len(rows) for place in range(pictures)]
    return DataLoader(rows, batch_size=BATCH, sampler=order, num_workers=workers)


def index_of(folder: Path, source: str) -> tuple[int, float]:
    """Rows, and the seconds that reading the index takes."""
    where = layout.find(folder)
    start = time.perf_counter()
    rows = len(annotation.read(where.annotation))
    annotation.read_splits(where.splits, rows)
    if source == "zip":
        len(Archive(where.image_zips[0]).names)
    return rows, time.perf_counter() - start


def memory_of(process: int) -> tuple[float, float]:
    """MiB of a process: with its share of what it has in common with others, and its own alone."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    found = {words[0]: int(words[1]) / 1024 for words in map(str.split, lines)}
    return found["Pss:"], found["Private_Clean:"] + found["Private_Dirty:"]


if __name__ == "__main__":
    raise SystemExit(main())
