"""A contact sheet: pictures in a grid, each with its caption under it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

PAPER, CARD, EDGE, INK, FAINT = "#f5f3ef", "#ffffff", "#dedad2", "#2b2926", "#8a857c"
PICTURE, GAP, PADDING, RADIUS = 224, 18, 10, 10  # pixels
TITLE_SIZE, CAPTION_SIZE = 22, 14
LINES, LINE_HEIGHT = 4, 18
MOST_COLUMNS = 6


def draw(
    pictures: Sequence[Image.Image], captions: Sequence[str], title: str, subtitle: str = ""
) -> Image.Image:
    """Lay out at least one picture, left to right and top to bottom.

    Pictures keep their proportions in a square of 224 px; captions are wrapped, and cut with an ellipsis
    after four lines.
    """
    caption_font = ImageFont.load_default(CAPTION_SIZE)
    texts = [wrapped(caption, caption_font, PICTURE, LINES) for caption in captions]
    columns = min(MOST_COLUMNS, max(1, math.ceil(math.sqrt(len(pictures)))))
    card = (PICTURE + 2 * PADDING, PICTURE + 3 * PADDING + LINE_HEIGHT * max(map(len, texts)))
    head = 3 * GAP + TITLE_SIZE + CAPTION_SIZE
    width = max(GAP + columns * (card[0] + GAP), 2 * GAP + _title_width(title, subtitle))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (width, head + rows * (card[1] + GAP)), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP), title, INK, ImageFont.load_default(TITLE_SIZE))
    pen.text((GAP, GAP + TITLE_SIZE + 8), subtitle, FAINT, caption_font)
    for number, (picture, lines) in enumerate(zip(pictures, texts, strict=True)):
        row, column = divmod(number, columns)
        corner = (GAP + column * (card[0] + GAP), head + row * (card[1] + GAP))
        _draw_card(sheet, pen, corner, card, picture, lines)
    return sheet


def _draw_card(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    card: tuple[int, int],
    picture: Image.Image,
    lines: Sequence[str],
) -> None:
    x, y = corner
    pen.rounded_rectangle((x, y, x + card[0], y + card[1]), RADIUS, fill=CARD, outline=EDGE)
    scale = PICTURE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    fitted = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    left = x + PADDING + (PICTURE - size[0]) // 2
    sheet.paste(fitted, (left, y + PADDING + (PICTURE - size[1]) // 2))
    font = ImageFont.load_default(CAPTION_SIZE)
    for number, line in enumerate(lines):
        pen.text((x + PADDING, y + PICTURE + 2 * PADDING + number * LINE_HEIGHT), line, INK, font)


def _title_width(title: str, subtitle: str) -> int:
    widths = (
        ImageFont.load_default(TITLE_SIZE).getlength(title),
        ImageFont.load_default(CAPTION_SIZE).getlength(subtitle),
    )
    return math.ceil(max(widths))


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, most: int) -> list[str]:
    """The text in lines no wider than ``width``; a word that is wider alone is broken."""
    lines, current = [], ""
    for word in text.split():
        if current and font.getlength(f"{current} {word}") > width:
            lines.append(current)
            current = ""
        current = f"{current} {word}".strip()
        while font.getlength(current) > width:
            fits = next(n for n in range(len(current), 0, -1) if font.getlength(current[:n]) <= width)
            lines.append(current[:fits])
            current = current[fits:]
    lines.append(current)
    return lines if len(lines) <= most else [*lines[: most - 1], _shortened(lines[most - 1], font, width)]


def _shortened(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"
