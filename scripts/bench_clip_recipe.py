"""Does `clip-finetune` with nothing but its defaults leave a model better than it was?

    python scripts/bench_clip_recipe.py drawn --seeds 0 1 2
    python scripts/bench_clip_recipe.py photos --data FOLDER

``drawn`` fine-tunes the shipped tiny model on the drawn archive, once a seed. ``photos`` takes all rows of a
data set of real pictures, divides them into five folds that keep the shares of the categories, and trains
five models, each tested on the fold that it has not seen: whether retrieval ends below its start, and whether
the category is told better than by calling every picture the most frequent one, over all rows.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fsynth import zero_shot
from fsynth.commands import clip_finetune
from fsynth.config import ClipFinetuneConfig
from fsynth.data.labels import LABELS
from fsynth.data.sources import open_source

FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("drawn", "photos"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, help="of photos: a data set with few pictures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        if arguments.what == "drawn":
            _drawn(arguments.seeds, Path(work))
        else:
            _photos(arguments.data, Path(work))


def _drawn(seeds: list[int], work: Path) -> None:
    for seed in seeds:
        _say(f"seed {seed}", *_run(ClipFinetuneConfig(data="drawn", seed=seed, output=work / str(seed))))


def _photos(data: Path, work: Path) -> None:
    records = []
    for fold, folder in enumerate(_folds(data, work)):
        config = ClipFinetuneConfig(data=folder, model="tiny", output=work / f"run-{fold}")
        found, record = _run(config)
        _say(f"fold {fold}", found, record)
        records.append((found, record))
    differences = [found["comparison"]["difference"] for found, _ in records]
    print(f"mean group recall, mean over the folds: {100 * np.mean(differences):+.1f} points")
    for model in ("before", "after"):
        _say_told(model, [record["zero_shot"] for _, record in records])


def _say_told(model: str, told: list[dict[str, Any]]) -> None:
    pictures = [fold["tasks"]["category"]["pictures"] for fold in told]
    right = sum(
        count * fold["models"][model]["category"]["accuracy"]
        for count, fold in zip(pictures, told, strict=True)
    )
    share, low, high = zero_shot.wilson(right, sum(pictures))
    majority = np.mean([fold["tasks"]["category"]["majority"] for fold in told])
    print(
        f"category {model}: {share:.1%} of {sum(pictures)} pictures, 95 % interval {low:.1%} to {high:.1%}; "
        f"the most frequent one: {majority:.1%}"
    )


def _run(config: ClipFinetuneConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """result.json and scores.json of a run."""
    result = clip_finetune.main(config)
    assert result is not None
    files = (result.folder / name for name in ("result.json", "scores.json"))
    found, record = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    return found, record


def _say(name: str, found: dict[str, Any], record: dict[str, Any]) -> None:
    ways = ("text_to_image", "image_to_text")
    at_one = [
        f"{way}: group recall@1 {found['before']['group'][way]['recall@1']:.1%} -> "
        f"{found['after']['group'][way]['recall@1']:.1%}"
        for way in ways
    ]
    print(
        f"{name}: {found['steps']} steps; {record['comparisons'][0]['text']}; {'; '.join(at_one)}", flush=True
    )


def _folds(data: Path, work: Path) -> Iterator[Path]:
    """Image folders with ``train`` and ``test``, each row testing once; the pictures as they are read."""
    import datasets

    password = data / "password.txt"
    source = open_source(data, password if password.is_file() else None)
    rows = datasets.concatenate_datasets([source.train, source.test])
    fold = _fold_of(np.array(rows["category"][:]))
    pictures = work / "pictures"
    pictures.mkdir()
    for row, record in enumerate(rows):
        record["image"].save(pictures / f"{row:05d}.png")
    texts = rows["text"][:]
    labels = {name: rows[name][:] for name in LABELS}
    for number in range(FOLDS):
        folder = work / f"fold-{number}"
        for side, chosen in (("train", fold != number), ("test", fold == number)):
            _write(folder / side, pictures, np.flatnonzero(chosen).tolist(), texts, labels)
        yield folder


def _fold_of(categories: np.ndarray) -> np.ndarray:
    """A fold for each row, the rows of a category dealt out evenly."""
    draw, fold = np.random.default_rng(0), np.empty(len(categories), np.int64)
    for category in np.unique(categories):
        rows = draw.permutation(np.flatnonzero(categories == category))
        fold[rows] = np.arange(len(rows)) % FOLDS
    return fold


def _write(
    side: Path, pictures: Path, rows: list[int], texts: list[str], labels: dict[str, list[int | None]]
) -> None:
    side.mkdir(parents=True)
    lines = []
    for row in rows:
        name = f"{row:05d}.png"
        os.link(pictures / name, side / name)
        named = {key: LABELS[key][found[row]] for key, found in labels.items() if found[row] is not None}
        lines.append(json.dumps({"file_name": name, "text": texts[row], **named}) + "\n")
    (side / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
