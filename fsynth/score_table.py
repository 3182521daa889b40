"""Retrieval scores of models side by side, as aligned text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fsynth import retrieval, wise_ft, zero_shot
from fsynth.retrieval import Scores
from fsynth.wise_ft import Blend
from fsynth.zero_shot import Hits, Task


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
    return _aligned(lines)


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


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of as many cells each; a line of one cell is a title and takes no part in the widths."""
    widths = [max(len(line[place]) for line in lines if len(line) > 1) for place in range(len(lines[0]))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(line: Sequence[str], widths: Sequence[int]) -> str:
    if len(line) == 1:
        return line[0]
    cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
    return "   ".join(cells).rstrip()


# --------------------------------------------------------------------------------------------------
# what models can tell


def told(tasks: Sequence[Task], models: Mapping[str, Hits]) -> str:
    """Zero-shot accuracies of models side by side, with chance and majority, as aligned text.

    Args:
        models: heading -> hits. Of each further one, ``+`` and ``-`` say that the pictures show it to be
            better or worse than the first.
    """
    verdicts = {(one.model, one.task): one.verdict for one in zero_shot.changes(tasks, models)}
    lines = [["", *models, "chance", "majority", "N"]]
    for task in tasks:
        scores = {name: zero_shot.score(task, hits[task.name]) for name, hits in models.items()}
        signs = [_SIGNS[verdicts.get((name, task.name), "unclear")] for name in models]
        cells = [f"{_between(one)} {sign}" for one, sign in zip(scores.values(), signs, strict=True)]
        ends = [_percent(task.chance), _percent(task.majority), f"{len(task.truth):,}"]
        lines.append([f"  {task.name}, {len(task.classes)} classes", *cells, *ends])
        balanced = [f"{_percent(one.balanced)}{_ROOM}" for one in scores.values()]
        lines.append(["    each class counting as much", *balanced, _percent(task.chance), "", ""])
    left = ", ".join(f"{task.name} {task.left_out:,}" for task in tasks if task.left_out)
    notes = [f"  left out, their label not being stated: {left}"] if left else []
    return "\n".join([_TOLD, _aligned(lines), *notes])


_TOLD = "told by sentences about the classes (zero-shot; 95 % interval)"
_SIGNS = {"better": "+", "worse": "-", "unclear": " "}
_ROOM = " " * len(" (99.9 to 99.9)  ")


def _between(score: zero_shot.Score) -> str:
    return f"{_percent(score.accuracy)} ({f'{100 * score.low:.1f} to {100 * score.high:.1f})':<13}"


def blends(found: Sequence[Blend], retention: str) -> str:
    """Blends of WiSE-FT, a line each, the chosen one marked, as aligned text.

    Args:
        retention: what that number is of.
    """
    chosen = wise_ft.choose(found)
    others = [name for name in found[0].told if name != retention]
    lines = [["  a", "recall@1", "mean group recall", retention, *others]]
    for one in found:
        mark = "*" if one is chosen else " "
        kept = "" if one.retention is None else _percent(one.retention)
        cells = [_percent(one.recall_at_1), _percent(one.recall), kept]
        lines.append([f"{mark} {one.share:g}", *cells, *(_percent(one.told[name]) for name in others)])
    return _aligned(lines)
