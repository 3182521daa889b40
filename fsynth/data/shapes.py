"""The vocabulary of a drawing: closed outlines with a fabric, seams and prints, made of curves.

Pure numpy. Points are float64 arrays (N, 2), x to the right and y down. Garments and bodies are built in
*heads* (one head height is 1.0, the pit of the neck is the origin) and then placed in the frame, where the
picture is the unit square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

Color = tuple[int, int, int]
Points = np.ndarray


@dataclass(frozen=True)
class Fabric:
    """What an outline is filled with.

    `pattern` is an all-over design in `palette` (first colour: the ground), `texture` a relief on top of it
    (rib, knit, denim, ...), `sheen` in [0, 1] how strongly light shows.
    """

    color: Color
    pattern: str = "plain"
    palette: tuple[Color, ...] = ()
    texture: str = ""
    sheen: float = 0.3
    seed: int = 0
    alpha: float = 1.0


@dataclass(frozen=True)
class Stroke:
    """A line inside an outline. `ink` is a tone of the fabric ("fold", "light", "seam") or a colour."""

    points: Points
    width: float
    ink: str | Color = "seam"
    closed: bool = False


@dataclass(frozen=True)
class Print:
    """A motif on a garment: its centre, its height in the same unit as the outline, its colours."""

    motif: str
    center: tuple[float, float]
    size: float
    colors: tuple[Color, ...]
    seed: int = 0


@dataclass(frozen=True)
class Shape:
    """One closed outline (N, 2), painted in order: fabric, shading, strokes, prints, edge.

    `shade` says how it is lit: "round" (across), "drape" (across, darker to the hem), "ball" (from the upper
    left), "limb" (along its rim), "flat" (evenly), "none". `unit` is the length of one head and scales line
    widths and patterns; `origin` is where the pattern starts and `angle` (radians) how it is turned. `edge`
    is the weight of the outline. `garment` names the garment that this outline is part of (-1: none).
    """

    outline: Points
    fabric: Fabric
    shade: str = "round"
    strokes: tuple[Stroke, ...] = ()
    prints: tuple[Print, ...] = ()
    edge: float = 1.0
    blur: float = 0.0
    unit: float = 1.0
    origin: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    garment: int = -1

    def placed(self, scale: float, offset: Points) -> Shape:
        """The same shape, scaled about the origin and moved."""
        move = Placement(scale, (float(offset[0]), float(offset[1])))
        strokes = tuple(Stroke(move.points(s.points), s.width * scale, s.ink, s.closed) for s in self.strokes)
        prints = tuple(replace(p, center=move.point(p.center), size=p.size * scale) for p in self.prints)
        return Shape(
            move.points(self.outline),
            self.fabric,
            self.shade,
            strokes,
            prints,
            self.edge,
            self.blur * scale,
            self.unit * scale,
            move.point(self.origin),
            self.angle,
            self.garment,
        )


@dataclass(frozen=True)
class Placement:
    """Heads to frame: scale, then move."""

    scale: float
    offset: tuple[float, float]

    def points(self, points: Points) -> Points:
        """(N, 2) in heads -> (N, 2) in the frame."""
        return points * self.scale + self.offset

    def point(self, point: tuple[float, float]) -> tuple[float, float]:
        """One point in heads -> the frame."""
        return point[0] * self.scale + self.offset[0], point[1] * self.scale + self.offset[1]


def pts(*xy: tuple[float, float]) -> Points:
    """Points from pairs."""
    return np.array(xy, dtype=np.float64)


@lru_cache(maxsize=16)
def _catmull_rom(steps: int) -> Points:
    """Weights (steps, 4) of four neighbouring points along the middle span (Catmull and Rom, 1974)."""
    t = np.arange(steps)[:, None] / steps
    powers = np.concatenate([np.ones_like(t), t, t**2, t**3], axis=1)
    basis = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]], dtype=np.float64)
    return powers @ basis


_WINDOW = np.arange(4)


def curve(points: Points, closed: bool = False, steps: int = 5) -> Points:
    """A smooth line through all points: (N, 2) -> (M, 2), `steps` points a span."""
    n = len(points)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
        spans = n
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
        spans = n - 1
    windows = padded[np.arange(spans)[:, None] + _WINDOW]
    line = (_catmull_rom(steps) @ windows).reshape(-1, 2)
    return line if closed else np.concatenate([line, points[-1:]])


def mirrored(points: Points) -> Points:
    """The other side: x negated and the order reversed, so that outlines close."""
    return points[::-1] * (-1.0, 1.0)


def ellipse(center: tuple[float, float], rx: float, ry: float, angle: float = 0.0, count: int = 20) -> Points:
    """A closed outline around `center`, turned by `angle` radians."""
    outline = _circle(count) * (rx, ry)
    return (turned(outline, angle) if angle else outline) + center


@lru_cache(maxsize=16)
def _circle(count: int) -> Points:
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(t), np.sin(t)], axis=1)


def turned(points: Points, angle: float, about: tuple[float, float] = (0.0, 0.0)) -> Points:
    """Points rotated by `angle` radians (clockwise on screen) about a point."""
    c, s = np.cos(angle), np.sin(angle)
    return (points - about) @ np.array([[c, s], [-s, c]]) + about


def normals(line: Points) -> Points:
    """Unit normals (N, 2) of a line: to the left of its direction when y points down."""
    step = np.empty_like(line)
    step[1:-1] = line[2:] - line[:-2]
    step[0], step[-1] = line[1] - line[0], line[-1] - line[-2]
    out = step[:, ::-1] * (1.0, -1.0)
    return out / (np.sqrt((step**2).sum(axis=1, keepdims=True)) + 1e-9)


def tube(
    spine: Points, left: Sequence[float] | Points, right: Sequence[float] | Points | None = None
) -> Points:
    """A closed outline around a spine (N, 2) with half widths (N,) to the left and to the right."""
    across = normals(spine)
    left = np.asarray(left)[:, None]
    right = left if right is None else np.asarray(right)[:, None]
    return np.concatenate([spine + across * left, (spine - across * right)[::-1]])


def along(line: Points, t: float | Points) -> Points:
    """Points at fractions `t` in [0, 1] of a line's length."""
    step = np.hypot(*np.diff(line, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(step)])
    where = np.asarray(t) * at[-1]
    return np.stack([np.interp(where, at, line[:, 0]), np.interp(where, at, line[:, 1])], axis=-1)


def box_of(outlines: Sequence[Points]) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 around all outlines."""
    stacked = np.concatenate(list(outlines))
    (x1, y1), (x2, y2) = stacked.min(axis=0), stacked.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def inside(point: Points, outline: Points) -> bool:
    """Is a point within a closed outline (even-odd rule)?"""
    x, y = outline[:, 0], outline[:, 1]
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    crosses = (y > point[1]) != (y2 > point[1])
    span = np.where(y2 == y, 1e-12, y2 - y)
    return bool(np.sum(crosses & (point[0] < (x2 - x) * (point[1] - y) / span + x)) % 2)
