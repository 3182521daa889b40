"""Scores of models side by side, as aligned text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fsynth import wise_ft, zero_shot
from fsynth.console import counted
from fsynth.evaluation import Evaluation
from fsynth.retrieval import Scores
from fsynth.score_names import COMPARED_WITH, DIRECTIONS, IDEALS, limit_name
from fsynth.wise_ft import Blend
from fsynth.zero_shot import Hits, Task

_TITLES = {
    "group": "any picture and any sentence of the same group is right",
    "sentence": "any picture of the sentence is right; sentences of a group differ in wording",
    "pair": "only the row's own partner is right, as in the CLIP papers; sentences repeat",
}
_SHOWN = {
    "group": ("recall@1", "recall@5", "recall@10", "true_recall@10", "mrr", "map", "median_rank"),
    "sentence": ("recall@1", "recall@5", "recall@10", "median_rank"),
    "pair": ("recall@1", "recall@5", "recall@10", "median_rank"),
}
_NOTE = """\
* compare with this one. attributes: a perfect eye for gender, sleeve, category and colour, and nothing else;
  frequencies: one that also names the more frequent sentence first"""
_SIDES = {
    ("sentence", "seen"): "captions that training pairs have, too",
    ("sentence", "unseen"): "captions that no training pair has",
    ("group", "seen"): "captions of groups that training pairs have, too",
    ("group", "unseen"): "captions of groups that no training pair has",
}


def retrieval(found: Mapping[str, Evaluation]) -> str:
    """What models retrieve among the rows of one gallery, and recall@1 of what training had and had not.

    Args:
        found: heading -> what the model scored.
    """
    gallery = next(iter(found.values())).gallery
    columns = {name: one.scores for name, one in found.items()}
    lines = [gallery.describe(), table(columns, gallery.bounds(), gallery.protocols), *_seen(found)]
    return "\n".join(lines)


def table(columns: Mapping[str, Scores], bounds: Scores, protocols: Sequence[str]) -> str:
    """Scores side by side, with ceilings and chance.

    Args:
        columns: heading -> scores of one model.
        bounds: of the same rows: `fsynth.ceilings.bounds`.
    """
    lines = [["", *columns, *IDEALS]]
    for protocol in protocols:
        lines.append([_TITLES[protocol]])
        for way in DIRECTIONS:
            lines += _direction(protocol, way, columns, bounds[protocol][way])
    return f"{_aligned(lines)}\n{_NOTE}"


def _direction(
    protocol: str, way: str, columns: Mapping[str, Scores], limits: Mapping[str, float]
) -> list[list[str]]:
    lines = []
    for score in _SHOWN[protocol]:
        cells = [_number(score, scores[protocol][way][score]) for scores in columns.values()]
        cells += [_limit(ideal, score, limits, COMPARED_WITH[protocol][way]) for ideal in IDEALS]
        lines.append([f"  {_arrow(way)}  {score.replace('_', ' ')}", *cells])
    return lines


def _limit(ideal: str, score: str, limits: Mapping[str, float], compared: str) -> str:
    name = limit_name(ideal, score)
    return f"{_number(score, limits[name])}{'*' if ideal == compared else ' '}" if name in limits else ""


def _seen(found: Mapping[str, Evaluation]) -> list[str]:
    """Recall@1 in the ``group`` protocol of queries that training had and had not, apart."""
    lines = [["recall@1 of the group, apart", *found]]
    for kind, counts in next(iter(found.values())).gallery.seen_counts().items():
        for side, (captions, pictures) in counts.items():
            if captions:
                size = f"{counted(captions, 'caption')}, {counted(pictures, 'picture')}"
                lines.append([f"{_SIDES[kind, side]}: {size}"])
                lines += _apart(found, kind, side)
    return ["", _aligned(lines)] if len(lines) > 1 else []


def _apart(found: Mapping[str, Evaluation], kind: str, side: str) -> list[list[str]]:
    ways = [(way, [one.seen[kind][side]["group"][way] for one in found.values()]) for way in DIRECTIONS]
    return [
        [f"  {_arrow(way)}  recall@1", *(_percent(numbers["recall@1"]) for numbers in cells)]
        for way, cells in ways
    ]


def _arrow(way: str) -> str:
    return way.replace("_to_", " -> ")


def _number(score: str, value: float) -> str:
    if score.endswith("_rank"):
        return f"{value:,.1f}"
    return f"{value:.3f}" if score in ("mrr", "map") else _percent(value)


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
    if len(models) > 1:
        notes.append(f"  + and -: the pictures show it to be better or worse than {next(iter(models))}")
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
