"""Cases of retrieval as one picture: each query with its first answers, the right ones framed and ticked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from fsynth.contact_sheet import CARD, EDGE, FAINT, GAP, INK, PAPER, RADIUS, wrapped
from fsynth.report.retrieval_files import HEADINGS, KINDS, RIGHT_IS, among, last_rank, ranks_text, right_text

RIGHT = "#2f7d4f"
PICTURE, BETWEEN, APART = 128, 10, 36  # pixels: a thumbnail's side, between two, before the one set apart
QUERY = 300  # width of the words about a case
TITLE, HEADING, TEXT, SMALL = 24, 18, 15, 13  # sizes of type
LINE = 21
FIRST = 5
WIDTH = 4 * GAP + QUERY + FIRST * (PICTURE + BETWEEN) + APART + PICTURE


def draw(cases: Mapping[str, Any], thumbnails: Mapping[int, Path]) -> Image.Image:
    """The sheet of a record of `fsynth.retrieval_pictures.describe`.

    Args:
        thumbnails: row -> file of its picture, for all rows of the record.
    """
    pictures = {row: _opened(path) for row, path in thumbnails.items()}
    heights = {way: [_height(case) for case in cases[way]] for way in HEADINGS}
    head = 2 * GAP + TITLE + TEXT + 14
    body = sum(HEADING + 2 * GAP + sum(height + GAP for height in found) for found in heights.values())
    sheet = Image.new("RGB", (WIDTH, head + body), PAPER)
    pen = ImageDraw.Draw(sheet)
    models = " → ".join(cases["models"])
    _write(pen, (GAP, GAP), _line(f"What retrieval finds: {models}", TITLE, WIDTH - 2 * GAP), TITLE)
    _write(pen, (GAP, GAP + TITLE + 10), _explained(cases), TEXT, FAINT)
    top = head
    for way, heading in HEADINGS.items():
        _write(pen, (GAP, top + GAP // 2), heading, HEADING)
        top += HEADING + 2 * GAP
        for case, height in zip(cases[way], heights[way], strict=True):
            _draw_case(sheet, (GAP, top), height, case, pictures)
            top += height + GAP
    return sheet


def _explained(cases: Mapping[str, Any]) -> str:
    return (
        f"Ticked and green: right answers, those {RIGHT_IS[cases['right']]}. "
        f"Among {among(cases, 'text_to_image')} and {among(cases, 'image_to_text')}."
    )


def _height(case: Mapping[str, Any]) -> int:
    lines = 4 + len(_query_lines(case))
    if "row" in case:
        lines = max(lines, len(case["answers"]) + (case["truth"] is not None))
    return max(PICTURE + LINE, LINE * lines) + 2 * BETWEEN


def _query_lines(case: Mapping[str, Any]) -> list[str]:
    room = QUERY - (PICTURE + BETWEEN if "row" in case else 0)
    return wrapped(case["text"], _font(TEXT), room, 5)


def _draw_case(
    sheet: Image.Image,
    corner: tuple[int, int],
    height: int,
    case: Mapping[str, Any],
    pictures: Mapping[int, Image.Image],
) -> None:
    pen, (x, y) = ImageDraw.Draw(sheet), corner
    pen.rounded_rectangle((x, y, WIDTH - GAP, y + height), RADIUS, fill=CARD, outline=EDGE)
    left, top = x + BETWEEN, y + BETWEEN
    if "row" in case:
        _paste(sheet, (left, top), pictures[case["row"]])
        left += PICTURE + BETWEEN
    _draw_words(pen, (left, top), case)
    answers = (x + QUERY + GAP + BETWEEN, top)
    if "row" in case:
        _draw_sentences(pen, answers, case)
    else:
        _draw_pictures(sheet, answers, case, pictures)


def _draw_words(pen: ImageDraw.ImageDraw, corner: tuple[int, int], case: Mapping[str, Any]) -> None:
    x, y = corner
    lines = [
        (KINDS[case["kind"]], SMALL, FAINT),
        *((line, TEXT, INK) for line in _query_lines(case)),
        ("", SMALL, FAINT),
        (f"first right one at rank {ranks_text(case)}", SMALL, INK),
        (right_text(case), SMALL, FAINT),
    ]
    for number, (line, size, color) in enumerate(lines):
        _write(pen, (x, y + number * LINE), line, size, color)


def _draw_pictures(
    sheet: Image.Image,
    corner: tuple[int, int],
    case: Mapping[str, Any],
    pictures: Mapping[int, Image.Image],
) -> None:
    x, y = corner
    for number, answer in enumerate(case["answers"], 1):
        _draw_answer(sheet, (x, y), pictures[answer["row"]], answer, str(number))
        x += PICTURE + BETWEEN
    if case["truth"] is not None:
        place = (corner[0] + FIRST * (PICTURE + BETWEEN) + APART - BETWEEN, y)
        _draw_answer(sheet, place, pictures[case["truth"]["row"]], case["truth"], last_rank(case))


def _draw_answer(
    sheet: Image.Image,
    corner: tuple[int, int],
    picture: Image.Image,
    answer: Mapping[str, Any],
    rank: str,
) -> None:
    pen, (x, y) = ImageDraw.Draw(sheet), corner
    _paste(sheet, corner, picture)
    if answer["right"]:
        pen.rectangle((x - 3, y - 3, x + PICTURE + 2, y + PICTURE + 2), outline=RIGHT, width=4)
        _draw_tick(pen, (x + PICTURE - 20, y + 4))
    text = f"{rank}.  similarity {answer['similarity']:.2f}"
    _write(pen, (x, y + PICTURE + 5), text, SMALL, RIGHT if answer["right"] else FAINT)


def _draw_sentences(pen: ImageDraw.ImageDraw, corner: tuple[int, int], case: Mapping[str, Any]) -> None:
    x, y = corner
    lines = [(str(number), answer) for number, answer in enumerate(case["answers"], 1)]
    lines += [(last_rank(case), case["truth"])] if case["truth"] is not None else []
    for rank, answer in lines:
        color = RIGHT if answer["right"] else FAINT
        if answer["right"]:
            _draw_tick(pen, (x, y))
        _write(pen, (x + 68, y), f"{rank}.", TEXT, color, "ra")
        text = _line(answer["text"], TEXT, WIDTH - x - 84 - 60 - 2 * GAP)
        _write(pen, (x + 84, y), text, TEXT, INK if answer["right"] else FAINT)
        _write(pen, (WIDTH - 2 * GAP, y), f"{answer['similarity']:.2f}", SMALL, color, "ra")
        y += LINE


def _draw_tick(pen: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
    x, y = corner
    pen.ellipse((x, y, x + 16, y + 16), fill=RIGHT)
    pen.line((x + 4, y + 8, x + 7, y + 12, x + 12, y + 5), fill="white", width=2)


def _paste(sheet: Image.Image, corner: tuple[int, int], picture: Image.Image) -> None:
    x, y = corner
    sheet.paste(picture, (x + (PICTURE - picture.width) // 2, y + (PICTURE - picture.height) // 2))


def _opened(path: Path) -> Image.Image:
    """The thumbnail, as large as its place."""
    with Image.open(path) as picture:
        scale = PICTURE / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _write(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    size: int,
    color: str = INK,
    anchor: str = "la",
) -> None:
    # the font that Pillow brings has no arrow
    pen.text(corner, text.replace("→", "->"), color, _font(size), anchor=anchor)


def _line(text: str, size: int, width: int) -> str:
    lines: Sequence[str] = wrapped(text, _font(size), width, 1)
    return lines[0]


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
