"""Garment labels -> the geometry of a picture: figures, garments, boxes, polygons, landmarks. Pure numpy.

`pose` decides everything that is random and returns a `Scene`; `fsynth.data.drawing.draw` only paints it.
Coordinates are fractions of the frame (0 left/top, 1 right/bottom). Landmarks follow DeepFashion's Category
and Attribute benchmark: collar, sleeve, waistline, hem, each left (in the picture) then right; upper-body
garments have 6, lower-body ones 4, full-body ones 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fsynth.data import fabrics, scenery
from fsynth.data.body import SOLE
from fsynth.data.labels import CATEGORIES, COLORS, GENDERS, SLEEVES, UNKNOWN
from fsynth.data.people import FULL_BODY, GarmentLabels, Person, dress_person
from fsynth.data.shapes import Color, Points, Shape, box_of, inside

__all__ = ["DRAWING_VERSION", "LOOKS", "Garment", "GarmentLabels", "Scene", "pose"]

DRAWING_VERSION = 6
"""Raised whenever the same seed gives another picture: part of the key of every cached archive."""
LOOKS = ("catalogue", "street", "runway")
_LOWEST = {"dress": 5.2, "jumpsuit": 6.4, "romper": 4.6, "kimono": 5.6, "coat": 4.9, "parka": 4.3}
"""How far down, in heads below the neck, a catalogue picture must show a garment."""


@dataclass(frozen=True)
class Garment:
    """One garment in a picture.

    `kind` is "upper", "lower" or "full"; `box` is (x1, y1, x2, y2), clipped to the frame and, for bottoms,
    to what shows below the garment worn over them; `polygons` are
    closed outlines (N, 2) that together cover it, not clipped; `landmarks` is (6, 4 or 8, 3): visibility
    (0 visible, 1 occluded, 2 outside the frame), x, y. `labels` is None for bottoms under a labelled garment.
    """

    category: str
    kind: str
    labels: GarmentLabels | None
    box: tuple[float, float, float, float]
    polygons: tuple[Points, ...]
    landmarks: Points


@dataclass(frozen=True)
class Scene:
    """A picture before it is painted: shapes from back to front on a backdrop."""

    look: str
    labels: GarmentLabels
    garments: tuple[Garment, ...]
    shapes: tuple[Shape, ...]
    backdrop: Color
    seed: int


def pose(labels: GarmentLabels, rng: np.random.Generator, look: str = "catalogue") -> Scene:
    """Compute a picture's geometry.

    Args:
        labels: what must be visible; `UNKNOWN` gender and colour are chosen, an unknown sleeve ends below the
            elbow.
        rng: the only source of chance; the same state gives the same scene.
        look: "catalogue" (one figure, light backdrop), "street" (several figures, clutter, occlusion) or
            "runway" (dark stage, flat colour and ink).

    Raises:
        ValueError: for a label or look that does not exist.
    """
    _check(labels, look)
    build = {"catalogue": _catalogue, "street": _street, "runway": _runway}[look]
    return build(labels, rng)


def _check(labels: GarmentLabels, look: str) -> None:
    tables = {"gender": GENDERS, "sleeve": SLEEVES, "category": CATEGORIES, "color": COLORS}
    for name, allowed in tables.items():
        value = getattr(labels, name)
        if value not in allowed and (value != UNKNOWN or name == "category"):
            raise ValueError(f"{name} {value!r} cannot be drawn; choose one of {', '.join(allowed)}")
    if look not in LOOKS:
        raise ValueError(f"look {look!r} does not exist; choose one of {', '.join(LOOKS)}")


@dataclass(frozen=True)
class _Placed:
    person: Person
    scale: float
    offset: Points

    def shapes(self) -> list[Shape]:
        return [s.placed(self.scale, self.offset) for s in self.person.shapes]


def _frame(labels: GarmentLabels, rng: np.random.Generator) -> tuple[float, Points]:
    """Scale and offset that fill the frame with the part of the figure that shows the garment."""
    lowest = _LOWEST.get(labels.category, 3.1) * rng.uniform(0.96, 1.08)
    scale = 1.0 / (1.62 + rng.uniform(0.02, 0.2) + lowest)
    return scale, np.array([0.5 + rng.normal(0, 0.018), (1.56 + rng.uniform(0.02, 0.13)) * scale])


def _catalogue(labels: GarmentLabels, rng: np.random.Generator) -> Scene:
    placed = _Placed(dress_person(labels, rng), *_frame(labels, rng))
    backdrop = fabrics.background_tone(placed.person.fabric, rng)
    return _scene("catalogue", labels, [placed], [], backdrop, rng)


def _runway(labels: GarmentLabels, rng: np.random.Generator) -> Scene:
    person = dress_person(labels, rng, lively=1.4)
    scale = 1.0 / (1.75 + SOLE + rng.uniform(0.1, 0.5))
    placed = _Placed(person, scale, np.array([0.5 + rng.normal(0, 0.03), 1.6 * scale]))
    backdrop = scenery.stage_tone(rng)
    return _scene("runway", labels, [placed], scenery.stage(placed.offset[0], backdrop, rng), backdrop, rng)


def _street(labels: GarmentLabels, rng: np.random.Generator) -> Scene:
    main = _walker(labels, rng, scale=float(rng.uniform(0.055, 0.115)), x=float(rng.uniform(0.37, 0.63)))
    others = [
        _walker(_stranger(rng), rng, float(rng.uniform(0.05, 0.1)), float(rng.uniform(0.02, 0.98)))
        for _ in range(rng.integers(1, 4))
    ]
    walkers = sorted([*others, main], key=lambda w: w.scale)
    backdrop = scenery.sky_tone(rng)
    return _scene(
        "street",
        labels,
        walkers,
        scenery.street(rng),
        backdrop,
        rng,
        scenery.in_front(rng, main.offset, main.scale),
    )


def _walker(labels: GarmentLabels, rng: np.random.Generator, scale: float, x: float) -> _Placed:
    """A person standing on the pavement: the larger, the nearer and the lower in the frame."""
    feet = 0.70 + 4.2 * (scale - 0.055)
    return _Placed(
        dress_person(labels, rng, 1.3), scale, np.array([x, feet + rng.uniform(-0.03, 0.03) - SOLE * scale])
    )


def _stranger(rng: np.random.Generator) -> GarmentLabels:
    return GarmentLabels(*(str(rng.choice(table)) for table in (GENDERS, SLEEVES[:3], CATEGORIES, COLORS)))


def _scene(
    look: str,
    labels: GarmentLabels,
    walkers: Sequence[_Placed],
    behind: Sequence[Shape],
    backdrop: Color,
    rng: np.random.Generator,
    in_front: Sequence[Shape] = (),
) -> Scene:
    layers = [(k, s) for k, w in enumerate(walkers) for s in w.shapes()]
    layers += [(-1, s) for s in in_front]
    garments = [g for k, w in enumerate(walkers) for g in _garments(k, w, layers)]
    garments.sort(key=lambda g: g.labels is not labels)
    shapes = (*behind, *(s for _, s in layers))
    return Scene(look, labels, tuple(garments), shapes, backdrop, int(rng.integers(2**31)))


def _garments(index: int, walker: _Placed, layers: list[tuple[int, Shape]]) -> list[Garment]:
    found = []
    for k, name in enumerate(walker.person.names):
        own = [s.outline for owner, s in layers if owner == index and s.garment == k]
        box = tuple(float(np.clip(v, 0, 1)) for v in box_of(own))
        if found:
            box = (box[0], max(box[1], _hem(found[0]) - 0.01), *box[2:])
        if min(box[2] - box[0], box[3] - box[1]) <= 0.02:
            continue
        points = walker.person.landmarks[k] * walker.scale + walker.offset
        later = _covering(index, k, layers)
        seen = np.array([_visibility(p, later) for p in points], dtype=np.float64)
        kind = "lower" if k else "full" if name in FULL_BODY else "upper"
        labels = None if k else walker.person.labels
        found.append(Garment(name, kind, labels, box, tuple(own), np.column_stack([seen, points])))
    return found


def _hem(garment: Garment) -> float:
    """The height of a garment's hem: what is worn below it shows from there on."""
    return float(garment.landmarks[-2:, 2].mean())


def _covering(index: int, garment: int, layers: list[tuple[int, Shape]]) -> list[Points]:
    """Outlines in front of a garment: other people and things, and what its wearer has over it."""
    last = max(i for i, (owner, s) in enumerate(layers) if owner == index and s.garment == garment)
    return [
        s.outline for owner, s in layers[last + 1 :] if s.blur == 0 and (owner != index or s.garment >= 0)
    ]


def _visibility(point: Points, later: list[Points]) -> int:
    if not (0 <= point[0] <= 1 and 0 <= point[1] <= 1):
        return 2
    return int(any(inside(point, outline) for outline in later))
