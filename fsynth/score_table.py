"""Retrieval scores of models side by side, as aligned text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fsynth import retrieval
from fsynth.retrieval import Scores


def table(columns: Mapping[str, Scores], bounds: Scores) -> str:
    """Scores of models side by side, with ceiling and chance, as aligned text.

    Args:
        columns: heading -> scores of one model.
        bounds: of the same rows.
    """
    lines = [["", *columns, "ceiling", "chance"]]
    for protocol, title in _TITLES.items():
        lines.append([title])
        for direction in retrieval.DIRECTIONS:
            lines += _direction(protocol, direction, columns, bounds)
    widths = [max(len(line[place]) for line in lines if len(line) > 1) for place in range(len(lines[0]))]
    return "\n".join(_aligned(line, widths) for line in lines)


_TITLES = {
    "group": "any picture of the caption's group is right",
    "sentence": "any picture of the caption is right",
    "pair": "only the row's own partner is right (captions repeat, hence the ceiling)",
}


def _direction(
    protocol: str, direction: str, columns: Mapping[str, Scores], bounds: Scores
) -> list[list[str]]:
    limits = bounds[protocol][direction]
    arrow = direction.replace("_to_", " -> ")
    lines = []
    for k in retrieval.AT:
        values = [scores[protocol][direction][f"recall@{k}"] for scores in columns.values()]
        values += [limits[f"ceiling@{k}"], limits[f"chance@{k}"]]
        lines.append([f"  {arrow}  recall@{k}", *map(_percent, values)])
    ranks = [f"{scores[protocol][direction]['median_rank']:,.1f}" for scores in columns.values()]
    return [*lines, [f"  {arrow}  median rank", *ranks, "", ""]]


def _percent(share: float) -> str:
    digits = 1 if share >= 0.01 or share == 0 else 2
    return f"{100 * share:.{digits}f} %"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    if len(line) == 1:
        return line[0]
    cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
    return "   ".join(cells).rstrip()
