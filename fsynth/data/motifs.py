"""Prints as small vector drawings in a box of side 1 around the origin: letters, hearts, animals, ...

Pure numpy; letters are strokes of our own, so that no font needs to be installed and pictures are the same
on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fsynth.data.shapes import Points, curve, ellipse, pts

_GLYPHS = {
    "A": "0,6 2,0 4,6|1,4 3,4",
    "B": "0,0 0,6 3,6 4,5 4,4 3,3 0,3|0,0 3,0 4,1 4,2 3,3",
    "C": "4,1 3,0 1,0 0,1 0,5 1,6 3,6 4,5",
    "E": "4,0 0,0 0,6 4,6|0,3 3,3",
    "F": "4,0 0,0 0,6|0,3 3,3",
    "H": "0,0 0,6|4,0 4,6|0,3 4,3",
    "K": "0,0 0,6|4,0 0,3 4,6",
    "I": "2,0 2,6",
    "L": "0,0 0,6 4,6",
    "M": "0,6 0,0 2,3 4,0 4,6",
    "N": "0,6 0,0 4,6 4,0",
    "O": "1,0 3,0 4,1 4,5 3,6 1,6 0,5 0,1 1,0",
    "R": "0,6 0,0 3,0 4,1 4,2 3,3 0,3|2,3 4,6",
    "S": "4,1 3,0 1,0 0,1 0,2 1,3 3,3 4,4 4,5 3,6 1,6 0,5",
    "T": "0,0 4,0|2,0 2,6",
    "V": "0,0 2,6 4,0",
    "W": "0,0 1,6 2,3 3,6 4,0",
    "Y": "0,0 2,3 4,0|2,3 2,6",
    "0": "1,0 3,0 4,1 4,5 3,6 1,6 0,5 0,1 1,0",
    "1": "1,1 2,0 2,6|1,6 3,6",
    "2": "0,1 1,0 3,0 4,1 4,2 0,6 4,6",
    "3": "0,0 4,0 2,2 3,2 4,3 4,5 3,6 1,6 0,5",
    "4": "3,6 3,0 0,4 4,4",
    "5": "4,0 0,0 0,3 3,3 4,4 4,5 3,6 0,6",
    "6": "4,0 1,0 0,1 0,5 1,6 3,6 4,5 4,4 3,3 0,3",
    "7": "0,0 4,0 1,6",
    "8": "1,3 0,2 0,1 1,0 3,0 4,1 4,2 3,3 1,3 0,4 0,5 1,6 3,6 4,5 4,4 3,3",
    "9": "4,3 1,3 0,2 0,1 1,0 3,0 4,1 4,5 3,6 0,6",
}
_WORDS = ("LOVE", "NYC", "ROCK", "YES", "WOW", "HELLO", "CHIC", "BOSS", "MARS", "VOTE", "SLOW", "TOKYO")


@dataclass(frozen=True)
class Mark:
    """One filled outline (width 0) or one stroke of a motif; `color` indexes the print's colours."""

    points: Points
    color: int = 0
    width: float = 0.0


def _word(text: str, rows: int = 1) -> list[Mark]:
    marks, n = [], len(text)
    pitch = min(1.25 / n, 0.44)
    scale, height = pitch * 0.68 / 4, min(0.62 / rows, pitch * 1.3) / 6
    for k, letter in enumerate(text):
        for stroke in _GLYPHS[letter].split("|"):
            grid = np.array([[float(v) for v in p.split(",")] for p in stroke.split()])
            at = ((k - (n - 1) / 2) * pitch - 2 * scale, -3 * height)
            marks.append(Mark(grid * (scale, height) + at, 0, min(pitch * 0.2, 0.085)))
    return marks


def _letters(rng: np.random.Generator) -> list[Mark]:
    return _word(str(rng.choice(_WORDS)))


def _numbers(rng: np.random.Generator) -> list[Mark]:
    digits = _word(str(rng.integers(10, 100)))
    return [Mark(m.points * (1.05, 1.35), 0, 0.12) for m in digits]


def _heart(center: tuple[float, float], size: float) -> Points:
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y], axis=1) / 34 * size + center


def _star(center: tuple[float, float], size: float) -> Points:
    angle = -np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2, 0.21, 0.5) * size
    return np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=1) + center


def _hearts(rng: np.random.Generator) -> list[Mark]:
    return [Mark(_heart((0, 0), 0.8), 1), Mark(_heart((-0.06, -0.08), 0.3), 2)]


def _stars(rng: np.random.Generator) -> list[Mark]:
    return [
        Mark(_star((0, 0.0), 0.75), 1),
        Mark(_star((-0.4, -0.3), 0.3), 2),
        Mark(_star((0.4, 0.28), 0.3), 0),
    ]


def _cross(rng: np.random.Generator) -> list[Mark]:
    return [Mark(pts((0, -0.45), (0, 0.45)), 0, 0.16), Mark(pts((-0.28, -0.14), (0.28, -0.14)), 0, 0.16)]


def _cat(rng: np.random.Generator) -> list[Mark]:
    head = curve(
        pts(
            (-0.36, -0.42),
            (-0.2, -0.27),
            (0.2, -0.27),
            (0.36, -0.42),
            (0.4, 0.05),
            (0.22, 0.32),
            (-0.22, 0.32),
            (-0.4, 0.05),
        ),
        True,
        3,
    )
    whiskers = [
        Mark(pts((s * 0.12, 0.12), (s * 0.5, 0.12 + d)), 1, 0.03) for s in (-1, 1) for d in (-0.08, 0.06)
    ]
    return [
        Mark(head, 0),
        Mark(ellipse((-0.15, -0.02), 0.07, 0.09, count=10), 1),
        Mark(ellipse((0.15, -0.02), 0.07, 0.09, count=10), 1),
        Mark(pts((-0.05, 0.1), (0.05, 0.1), (0, 0.16)), 2),
        *whiskers,
    ]


def _elephant(rng: np.random.Generator) -> list[Mark]:
    body = ellipse((0.12, -0.02), 0.34, 0.26)
    head = ellipse((-0.24, -0.12), 0.19, 0.2)
    legs = [Mark(pts((x, 0.1), (x, 0.42)), 0, 0.14) for x in (-0.1, 0.34)]
    trunk = Mark(curve(pts((-0.36, -0.1), (-0.44, 0.12), (-0.4, 0.34), (-0.5, 0.36))), 0, 0.1)
    return [
        *legs,
        trunk,
        Mark(body, 0),
        Mark(head, 0),
        Mark(ellipse((-0.14, -0.12), 0.1, 0.14), 1),
        Mark(ellipse((-0.33, -0.17), 0.03, 0.03, count=8), 3),
    ]


def _butterfly(rng: np.random.Generator) -> list[Mark]:
    wings = [
        Mark(ellipse((s * 0.25, y), rx, ry, s * a), c)
        for s in (-1, 1)
        for y, rx, ry, a, c in ((-0.15, 0.26, 0.2, -0.5, 1), (0.2, 0.18, 0.16, 0.6, 2))
    ]
    return [*wings, Mark(pts((0, -0.32), (0, 0.34)), 0, 0.07)]


def _fish(rng: np.random.Generator) -> list[Mark]:
    tail = pts((0.25, 0), (0.5, -0.2), (0.44, 0), (0.5, 0.2))
    return [
        Mark(ellipse((-0.08, 0), 0.38, 0.22), 1),
        Mark(tail, 1),
        Mark(ellipse((-0.3, -0.05), 0.04, 0.04, count=8), 0),
        Mark(pts((-0.16, -0.13), (-0.12, 0), (-0.16, 0.13)), 0, 0.03),
    ]


def _animals(rng: np.random.Generator) -> list[Mark]:
    return (_cat, _elephant, _butterfly, _fish)[int(rng.integers(4))](rng)


def _cartoon(rng: np.random.Generator) -> list[Mark]:
    ears = [Mark(ellipse((s * 0.32, -0.3), 0.19, 0.19), 0) for s in (-1, 1)]
    return [
        *ears,
        Mark(ellipse((0, 0.06), 0.34, 0.34), 0),
        Mark(ellipse((-0.11, 0.0), 0.06, 0.1, count=10), 1),
        Mark(ellipse((0.11, 0.0), 0.06, 0.1, count=10), 1),
        Mark(curve(pts((-0.16, 0.2), (0, 0.28), (0.16, 0.2))), 1, 0.04),
    ]


def _faces(rng: np.random.Generator) -> list[Mark]:
    eyes = [
        Mark(curve(pts((s * 0.3, -0.12), (s * 0.18, -0.18), (s * 0.08, -0.12))), 0, 0.05) for s in (-1, 1)
    ]
    lips = Mark(
        curve(pts((-0.2, 0.18), (-0.07, 0.1), (0, 0.13), (0.07, 0.1), (0.2, 0.18), (0, 0.3)), True, 3), 1
    )
    return [
        Mark(np.concatenate([ellipse((0, 0), 0.38, 0.48), ellipse((0, 0), 0.38, 0.48)[:1]]), 0, 0.05),
        *eyes,
        lips,
    ]


def _figures(rng: np.random.Generator) -> list[Mark]:
    skirt = pts((-0.06, -0.1), (0.06, -0.1), (0.26, 0.26), (-0.26, 0.26))
    limbs = [
        ((-0.05, -0.05), (-0.34, -0.24)),
        ((0.05, -0.05), (0.34, -0.24)),
        ((-0.09, 0.26), (-0.12, 0.48)),
        ((0.09, 0.26), (0.12, 0.48)),
    ]
    return [
        Mark(ellipse((0, -0.3), 0.13, 0.14), 0),
        Mark(skirt, 1),
        *[Mark(pts(*limb), 0, 0.07) for limb in limbs],
    ]


def _skulls(rng: np.random.Generator) -> list[Mark]:
    holes = [Mark(ellipse((s * 0.15, -0.08), 0.1, 0.11, count=10), 1) for s in (-1, 1)]
    teeth = [Mark(pts((x, 0.26), (x, 0.4)), 1, 0.03) for x in (-0.09, 0.0, 0.09)]
    return [
        Mark(ellipse((0, -0.1), 0.36, 0.34), 0),
        Mark(pts((-0.18, 0.1), (0.18, 0.1), (0.16, 0.42), (-0.16, 0.42)), 0),
        *holes,
        *teeth,
    ]


def _plants(rng: np.random.Generator) -> list[Mark]:
    fronds = [
        Mark(
            curve(
                pts(
                    (0, -0.15),
                    (np.cos(a) * 0.28, -0.3 + np.sin(a) * 0.18),
                    (np.cos(a) * 0.46, -0.05 + np.sin(a) * 0.1),
                )
            ),
            1,
            0.09,
        )
        for a in (-2.9, -2.2, -1.57, -0.9, -0.2)
    ]
    return [Mark(curve(pts((0.02, -0.15), (0.05, 0.15), (-0.03, 0.48))), 0, 0.07), *fronds]


def _fruit(rng: np.random.Generator) -> list[Mark]:
    leaves = [Mark(pts((0, -0.16), (x - 0.07, -0.48), (x + 0.05, -0.46)), 2) for x in (-0.18, 0.0, 0.18)]
    lines = [Mark(pts((-0.2, y), (0.2, y + 0.14)), 0, 0.025) for y in (-0.05, 0.1, 0.22)]
    return [*leaves, Mark(ellipse((0, 0.16), 0.24, 0.32), 1), *lines]


def _flag(rng: np.random.Generator) -> list[Mark]:
    bars = [
        Mark(pts((-0.48, y), (0.48, y)), c, 0.1)
        for y, c in ((-0.25, 1), (-0.15, 0), (-0.05, 1), (0.05, 0), (0.15, 1), (0.25, 0))
    ]
    return [
        *bars,
        Mark(pts((-0.5, -0.3), (-0.02, -0.3), (-0.02, 0.0), (-0.5, 0.0)), 2),
        Mark(_star((-0.26, -0.15), 0.22), 0),
    ]


def _vehicles(rng: np.random.Generator) -> list[Mark]:
    cabin = curve(pts((-0.28, -0.02), (-0.2, -0.24), (0.14, -0.24), (0.26, -0.02)), steps=3)
    hull = pts((-0.5, -0.04), (0.5, -0.04), (0.5, 0.16), (-0.5, 0.16))
    return [Mark(cabin, 1), Mark(hull, 1), *[Mark(ellipse((x, 0.18), 0.12, 0.12), 0) for x in (-0.28, 0.28)]]


def _places(rng: np.random.Generator) -> list[Mark]:
    legs = [
        Mark(curve(pts((0, -0.46), (s * 0.05, -0.1), (s * 0.14, 0.2), (s * 0.3, 0.48))), 0, 0.07)
        for s in (-1, 1)
    ]
    return [
        *legs,
        Mark(pts((-0.12, 0.1), (0.12, 0.1)), 0, 0.06),
        Mark(pts((-0.06, -0.14), (0.06, -0.14)), 0, 0.05),
    ]


def _objects(rng: np.random.Generator) -> list[Mark]:
    lens = [Mark(ellipse((s * 0.26, 0), 0.2, 0.18), 0) for s in (-1, 1)]
    glint = [Mark(ellipse((s * 0.26 - 0.06, -0.05), 0.06, 0.05, count=8), 2) for s in (-1, 1)]
    return [*lens, *glint, Mark(curve(pts((-0.08, -0.05), (0, -0.1), (0.08, -0.05))), 0, 0.06)]


_MOTIFS: dict[str, Callable[[np.random.Generator], list[Mark]]] = {
    "letters": _letters,
    "numbers": _numbers,
    "hearts": _hearts,
    "stars": _stars,
    "shapes": _cross,
    "animals": _animals,
    "cartoon": _cartoon,
    "faces": _faces,
    "figures": _figures,
    "skulls": _skulls,
    "plants": _plants,
    "fruit": _fruit,
    "flag": _flag,
    "vehicles": _vehicles,
    "places": _places,
    "objects": _objects,
}
NAMES = tuple(_MOTIFS)


def marks(motif: str, seed: int) -> list[Mark]:
    """The drawing of a motif from `NAMES`; the seed picks among words, animals, numbers."""
    return _MOTIFS[motif](np.random.default_rng(seed))
