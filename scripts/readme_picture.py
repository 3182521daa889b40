"""Draw docs/demo.png: held-out sentences, their drawn pictures, and what the tiny model makes of them.

python scripts/readme_picture.py

A seed chooses the sentences among the held-out ones, every picture is the first made from its sentence,
with the steps and the guidance that `fsynth sample` takes by default, and none is left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from PIL import Image, ImageDraw, ImageFont  # noqa: E402

import fsynth  # noqa: E402
from fsynth import samples, sampling, sd_folder, sd_model  # noqa: E402
from fsynth.config import SampleConfig  # noqa: E402
from fsynth.order import choose_rows  # noqa: E402

COLUMNS, SIDE, GAP = 8, 144, 10
INK, PAPER, FAINT = "#1d1d1f", "#f5f4f0", "#6e6e73"


def main() -> None:
    test = fsynth.load_dataset(split="test")
    rows = [test[row] for row in choose_rows(len(test), COLUMNS, seed=7)]
    import torch

    found = sd_folder.find("tiny")
    pipeline = sd_model.load_pipeline(found, dtype=torch.float32, device="cpu")
    wanted = samples.plan([row["text"] for row in rows], 1, seed=0)
    usual = {name: getattr(SampleConfig, name) for name in ("steps", "guidance_scale")}
    options = {**usual, "size": sd_model.native_resolution(found), "batch_size": COLUMNS}
    made = [Image.fromarray(pixels) for _, pixels in sampling.generate(pipeline, wanted, **options)]
    (ROOT / "docs").mkdir(exist_ok=True)
    _sheet(rows, made).save(ROOT / "docs" / "demo.png", optimize=True)


def _sheet(rows: list[dict], made: list[Image.Image]) -> Image.Image:
    width, text_height, label = COLUMNS * (SIDE + GAP) + GAP, 54, 22
    sheet = Image.new("RGB", (width, 2 * (SIDE + label + GAP) + text_height + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    small, tiny = (ImageFont.load_default(size) for size in (13, 12))
    for place, (title, pictures) in enumerate(
        (
            ("drawn for the sentence", [row["image"] for row in rows]),
            ("made from the sentence by the shipped tiny model (a seeded choice, first tries)", made),
        )
    ):
        top = GAP + place * (SIDE + label + GAP)
        draw.text((GAP, top), title, FAINT, small)
        for column, picture in enumerate(pictures):
            sheet.paste(
                picture.resize((SIDE, SIDE), Image.LANCZOS), (GAP + column * (SIDE + GAP), top + label)
            )
    top = 2 * (SIDE + label + GAP) + GAP
    for column, row in enumerate(rows):
        draw.multiline_text(
            (GAP + column * (SIDE + GAP), top), _wrapped(row["text"], draw, tiny), INK, tiny, spacing=3
        )
    return sheet


def _wrapped(text: str, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font) <= SIDE:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
