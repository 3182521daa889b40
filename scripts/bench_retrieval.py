"""How fast is ranking, beside a full argsort, and how much memory does the whole benchmark take?

    python scripts/bench_retrieval.py [--data FOLDER] [--rows 5000] [--whole 78979] [--json FILE]

Captions are those of FOLDER, by default the real annotation beside the repository
(../shared/data/fashion-synthesis-annotations), else a draw that repeats as they do. Features are random; what
they are does not change the work. Times are seconds of CPU on one thread, medians of rounds that alternate
between the kinds, so that other work on the machine counts little. The whole is ranked in a process of its
own, from features, and its peak is compared with what it held after its imports. Exits with 1 when a bar is
missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from fsynth import caption_groups, evaluation, ranking, retrieval  # noqa: E402
from fsynth.caption_groups import CaptionGroups  # noqa: E402
from fsynth.data import sources  # noqa: E402
from fsynth.order import choose_rows  # noqa: E402

ANNOTATION = ROOT.parent / "shared/data/fashion-synthesis-annotations"
WIDTH = 512
ROUNDS = 3
LEAST_SPEED_UP = 5.0  # against torch's argsort of both matrices
MOST_MEMORY = 2000  # MB above the imported stack
DRAWN_CAPTIONS, DRAWN_GROUPS, EXPONENT = 4000, 1150, 1.05


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ANNOTATION)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--whole", type=int, default=78979)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure-whole", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.measure_whole:
        print(json.dumps(whole(options.data, options.whole)))
        return 0
    found = {name: speed(captions) for name, captions in galleries(options.data, options.rows).items()}
    found["whole"] = in_own_process(options)
    print("\n".join(lines(found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    slow = any(one["speed_up"] < LEAST_SPEED_UP for name, one in found.items() if name != "whole")
    return int(slow or found["whole"]["megabytes"] > MOST_MEMORY)


def lines(found: dict[str, dict[str, float]]) -> list[str]:
    """What was measured, a line each."""
    told = [
        f"{name}, {one['rows']:,} rows, {one['captions']:,} captions: {one['ranking']:.3f} s for all "
        f"protocols; argsort of both matrices {one['torch']:.3f} s by torch "
        f"({one['speed_up']:.1f} times; bar {LEAST_SPEED_UP:g}), {one['numpy']:.3f} s by numpy "
        f"({one['numpy'] / one['ranking']:.1f} times)"
        for name, one in found.items()
        if name != "whole"
    ]
    one = found["whole"]
    return [
        *told,
        f"whole, {one['rows']:,} rows, {one['captions']:,} captions, from features: {one['seconds']:.0f} s, "
        f"{one['megabytes']:,.0f} MB above {one['imported']:,.0f} MB of imports (bar {MOST_MEMORY:,} MB)",
    ]


def galleries(data: Path, rows: int) -> dict[str, CaptionGroups]:
    """The same number of rows with captions that repeat, and with captions that do not."""
    alone = torch.arange(rows)
    every = CaptionGroups(tuple(map(str, range(rows))), alone, alone, "sentence")
    return {"captions repeat": captions_of(data, rows), "captions differ": every}


def captions_of(data: Path, rows: int) -> CaptionGroups:
    """Of a draw of the rows of some data, or drawn ones."""
    if not data.is_dir():
        return _drawn(rows)
    source = sources.open_source(data)
    sides = [side for side in (source.train, source.validation, source.test) if side is not None]
    texts = [text for side in sides for text in side.select_columns(["text"])[:]["text"]]
    return caption_groups.find([texts[row] for row in choose_rows(len(texts), min(rows, len(texts)), 0)])


def _drawn(rows: int) -> CaptionGroups:
    """Captions of which few are frequent."""
    draw = torch.Generator().manual_seed(0)
    share = torch.arange(1, DRAWN_CAPTIONS + 1).double() ** -EXPONENT
    drawn = torch.multinomial(share, rows, replacement=True, generator=draw)
    distinct, sentence = drawn.unique(return_inverse=True)
    return CaptionGroups(tuple(map(str, distinct.tolist())), sentence, distinct % DRAWN_GROUPS, "attributes")


def features(captions: CaptionGroups) -> tuple[Tensor, Tensor]:
    """Random ones of unit length, of the pictures and of the distinct captions."""
    draw = torch.Generator().manual_seed(0)
    sizes = len(captions.sentence), len(captions.group)
    pictures, texts = (torch.randn(size, WIDTH, generator=draw) for size in sizes)
    for found in (pictures, texts):
        found /= found.norm(dim=1, keepdim=True)
    return pictures, texts


def speed(captions: CaptionGroups) -> dict[str, float]:
    """Seconds from similarities to ranks, by argsort of open_clip's two matrices and by `fsynth.ranking`."""
    pictures, texts = features(captions)
    level = (pictures.double() @ texts.double().T).float()
    square = level[:, captions.sentence]
    kinds: dict[str, Callable[[], object]] = {
        "torch": lambda: [partners(torch.argsort(one, descending=True)) for one in (square, square.T)],
        "numpy": lambda: [np.argsort(-one.numpy(), axis=1) for one in (square, square.T)],
        "ranking": lambda: ranking.rank_similarities(level, captions.sentence, captions.group),
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, rank in kinds.items():
            start = time.process_time()
            rank()
            taken[name].append(time.process_time() - start)
    found = {name: median(times) for name, times in taken.items()}
    sizes = {"rows": len(pictures), "captions": len(texts)}
    return {**sizes, **found, "speed_up": found["torch"] / found["ranking"]}


def partners(order: Tensor) -> Tensor:
    """The place of each row's own partner, as open_clip looks it up."""
    return torch.where(order == torch.arange(len(order))[:, None])[1]


def in_own_process(options: argparse.Namespace) -> dict[str, float]:
    """`whole`, from a process whose peak is nothing but its own; its progress is shown."""
    more = ["--data", options.data, "--whole", options.whole, "--measure-whole"]
    command = [sys.executable, __file__, *map(str, more)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def whole(data: Path, rows: int) -> dict[str, float]:
    """Seconds and MB of ranking so many rows, from features to scores, above what is there before."""
    captions = captions_of(data, rows)
    imported = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on, not that of reading captions
    pictures, texts = features(captions)
    start = time.process_time()
    retrieval.scores(evaluation.rank(captions, pictures, texts))
    seconds = time.process_time() - start
    sizes = {"rows": len(pictures), "captions": len(texts)}
    return {**sizes, "seconds": seconds, "megabytes": memory("VmHWM") - imported, "imported": imported}


def memory(what: str) -> float:
    """Resident MB of this process, now (VmRSS) or at most since the peak was last cleared (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))
    return found * 1024 / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
