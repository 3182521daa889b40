"""The training pictures that drawn ones are nearest to: whether a model repeats what it saw.

Near is what the shipped probe's features (128 px, centre of the picture) say, by Euclidean distance; a copy
is at about 0 on any kind of picture. How near is near is told by held-out pictures, which nobody copied:
where a drawn picture is nearer to a training picture than 19 of 20 of those are, it may be known by heart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fsynth import features, outputs, samples
from fsynth.console import say
from fsynth.features import Extractor

if TYPE_CHECKING:
    from PIL import Image

    from fsynth.sd_rows import Pictures

FILE = "nearest.json"
MOST = 1000
"""Training pictures that are looked at; of more, as many, evenly spread."""
NEAR = 0.05
"""Share of held-out pictures that are as near to a training picture as one that gives cause for a note."""
_SIDE, _AT_ONCE = 128, 32


def write(folder: Path, training: Pictures, held_out: Pictures) -> dict[str, Any] | None:
    """Find the nearest training picture of each of a run's pictures after training; write nearest.json.

    Returns:
        the record: ``drawn`` (file_name, text, row, place in the training split, distance, and the share of
        held-out pictures that are nearer to theirs), ``held_out`` (their distances), how many training
        pictures were looked at, and the extractor. None where nothing was drawn.
    """
    rows = [row for row in samples.rows_of(folder / "samples" / samples.ROWS) if row.get("when") == "after"]
    if not rows:
        return None
    judge = features.probe()
    shown = [place * len(training) // min(MOST, len(training)) for place in range(min(MOST, len(training)))]
    known = _features(judge, (training.image(index) for index in shown))
    others = _features(judge, (held_out.image(index) for index in range(len(held_out))))
    mine = _features(judge, _opened([folder / "samples" / row["file_name"] for row in rows]))
    distances, places = torch.cdist(mine, known).min(1)
    usual = torch.cdist(others, known).min(1).values
    drawn = [
        {
            "file_name": row["file_name"],
            "text": row["text"],
            "row": training.rows[shown[place]],
            "place": training.chosen[shown[place]],
            "distance": distance,
            "nearer_held_out": (usual < distance).double().mean().item(),
        }
        for row, distance, place in zip(rows, distances.tolist(), places.tolist(), strict=True)
    ]
    record = {
        "drawn": drawn,
        "held_out": usual.tolist(),
        "looked_at": len(shown),
        "training": len(training),
        "extractor": judge.record(),
    }
    outputs.write_json(folder / FILE, record)
    return record


def read(folder: Path) -> dict[str, Any] | None:
    """What `write` left in a run's folder."""
    file = folder / FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def say_found(record: dict[str, Any] | None) -> None:
    """How near the drawn pictures are, beside held-out ones; with a note where some are very near."""
    if record is None:
        return
    distances = [one["distance"] for one in record["drawn"]]
    usual = float(np.median(record["held_out"]))
    say(
        f"nearest training pictures: {min(distances):.2f} to {max(distances):.2f} from the {len(distances)} "
        f"drawn ones, {usual:.2f} (median) from {len(record['held_out'])} held-out ones"
    )
    near = sum(one["nearer_held_out"] < NEAR for one in record["drawn"])
    if near:
        say(
            f"note: {near} of {len(distances)} drawn pictures are as near to a training picture as hardly "
            "any held-out one is; the model may know it by heart: see the report"
        )


def _opened(files: Sequence[Path]) -> Iterator[Image.Image]:
    from PIL import Image

    for file in files:
        with Image.open(file) as picture:
            yield picture


def _features(judge: Extractor, pictures: Iterable[Image.Image]) -> Tensor:
    """float32 (N, d)."""
    parts, batch = [], []
    for picture in pictures:
        batch.append(_pixels(picture))
        if len(batch) == _AT_ONCE:
            parts.append(judge.compute(torch.stack(batch))[0])
            batch = []
    if batch:
        parts.append(judge.compute(torch.stack(batch))[0])
    return torch.cat(parts)


def _pixels(picture: Image.Image) -> Tensor:
    """The square in the middle: uint8 (3, 128, 128)."""
    from PIL import Image

    side = min(picture.size)
    left, upper = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, upper, left + side, upper + side)
    square = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, box=box)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)
