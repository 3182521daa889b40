"""Where a run keeps what retrieval looks like, and the words that its page and its sheet have for it.

What is in the records: `fsynth.retrieval_pictures.describe` and `fsynth.similarities.record`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER, CASES, SIMILARITIES = "retrieval", "cases.json", "similarities.json"
HEADINGS = {"text_to_image": "A sentence asks for pictures", "image_to_text": "A picture asks for sentences"}
KINDS = {"best": "among the best", "worst": "among the worst", "random": "drawn by lot"}
RIGHT_IS = {
    "attributes": "of the same gender, sleeve, category and colour",
    "sentence": "of the same sentence",
}
"""What makes an answer right, by `fsynth.caption_groups.By`."""

Record = Mapping[str, Any]


def path_of(folder: Path, row: int) -> Path:
    """The thumbnail of a row, by its number in the data."""
    return folder / FOLDER / f"{row:08d}.webp"


def rows_of(cases: Record) -> list[int]:
    """The rows whose pictures are shown, each once."""
    shown = [case for direction in HEADINGS for case in cases[direction]]
    return list(dict.fromkeys(row for case in shown for row in rows_of_case(case)))


def rows_of_case(case: Record) -> list[int]:
    """The rows of one case: of the picture that asks, or of the answers to its sentence."""
    if "row" in case:
        return [case["row"]]
    return [one["row"] for one in (*case["answers"], case["truth"]) if one is not None]


def among(cases: Record, direction: str) -> str:
    """What the answers are, and how many."""
    if direction == "text_to_image":
        return f"{cases['n_pictures']:,} held-out pictures"
    return f"{cases['n_sentences']:,} distinct sentences"


def right_text(case: Record) -> str:
    """How many answers are right."""
    return f"{case['right']:,} answers are right" if case["right"] > 1 else "only one answer is right"


def ranks_text(case: Record) -> str:
    """Where each model has the first right answer, 33 → 4; 4.5 where answers tie."""
    return " → ".join(map(_rank, case["ranks"].values()))


def last_rank(case: Record) -> str:
    """Where the model whose answers are shown has it."""
    return _rank(list(case["ranks"].values())[-1])


def _rank(rank: float) -> str:
    return f"{rank:,.1f}".removesuffix(".0")
