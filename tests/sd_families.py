"""Small pipelines of every model family with random weights, and a folder of pictures to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts import tiny_models
from tests.data import make_flaws, make_sources

SENTENCES = ["the lady wore a blue dress", "the man wears a grey sweater"]
SIZES = tiny_models.Sizes(latent=4, vae=(8, 8, 8, 16), unet=(16, 32), text=16, text_layers=1, tokens=16)


def write_pictures(root: Path, rows: int = 6, size: tuple[int, int] = (32, 32)) -> Path:
    """An image folder: training rows, and two to test on."""
    for split, numbers in (("train", range(rows)), ("test", range(rows, rows + 2))):
        (root / split).mkdir(parents=True)
        lines = []
        for row in numbers:
            picture = make_flaws.texture(row, size)
            (root / split / f"{row}.jpg").write_bytes(make_flaws.jpeg(picture))
            lines.append({"file_name": f"{row}.jpg", "text": SENTENCES[row % 2]})
        make_sources.jsonl(root / split, lines)
    return root


def write_unet(folder: Path, scheduler: Any = None) -> Path:
    """A Stable Diffusion 1.x/2.x pipeline; ``scheduler`` in place of the usual one."""
    pipeline = tiny_models.make_pipeline(SENTENCES, SIZES)
    if scheduler is not None:
        pipeline.register_modules(scheduler=scheduler)
    tiny_models.save_pipeline(pipeline, folder)
    return folder
