"""What makes a garment recognisable: collars, ribs, hoods, lapels, fur, flaps. All take the tailor first."""

from __future__ import annotations

import numpy as np

from fsynth.data.body import WAIST
from fsynth.data.garments import Tailor, Wear, contrast, plain, toned
from fsynth.data.shapes import Color, Fabric, Points, Shape, Stroke, curve, ellipse, mirrored, pts

FUR: Color = (206, 184, 152)


def landmarked(
    t: Tailor, wear: Wear, hem: float, ease: float, neck: float = 0.1, end: float | None = None
) -> Wear:
    """Fill in the landmarks of a garment that ends at height `hem`."""
    n = t.body.neck + neck
    wear.collar = t.both(n, -0.1)
    wear.cuffs = t.cuff_points(end)
    wear.waist = t.both(float(t.body.half(WAIST, ease)), WAIST)
    wear.hem = t.both(float(t.body.half(hem, ease)), hem)
    return wear


def shirt_collar(
    t: Tailor, size: float = 1.0, fabric: Fabric | None = None, open_to: float = 0.1
) -> list[Shape]:
    """Two pointed collar wings and the stand behind the neck."""
    n = t.body.neck
    wing = pts(
        (n - 0.01, -0.24),
        (n + 0.13, -0.13),
        (n + 0.2 * size, 0.12 * size),
        (n * 0.55 + 0.13 * size, 0.30 * size),
        (0.015, open_to),
    )
    fabric = fabric or toned(t.fabric, 1.12)
    return t.pair(wing, fabric, (Stroke(wing[1:4] * 0.97, 0.014, "seam"),), shade="flat", edge=1.3)


def collar_back(t: Tailor, fabric: Fabric | None = None, high: float = 0.26) -> Shape:
    """The inside of a collar behind the neck."""
    n = t.body.neck + 0.06
    outline = curve(
        pts((-n - 0.05, -0.06), (-n, -high), (0, -high - 0.06), (n, -high), (n + 0.05, -0.06), (0, 0.1)),
        True,
        3,
    )
    return t.piece(outline, fabric or toned(t.fabric, 0.62), "flat")


def neck_rib(t: Tailor, neckline: Points, width: float, fabric: Fabric | None = None) -> Shape:
    """A band that follows a neckline (from the middle to the neck point)."""
    line = np.concatenate([mirrored(neckline)[:-1], neckline])
    middle = (0.0, float(neckline[0, 1]) - 0.5)
    inner = middle + (line - middle) * (1 - width / 0.5)
    return t.piece(np.concatenate([line, inner[::-1]]), fabric or t.ribbed(), "flat")


def hem_band(t: Tailor, top: float, bottom: float, ease: float, fabric: Fabric | None = None) -> Shape:
    """A ribbed band around the hem."""
    a, b = float(t.body.half(top, ease)), float(t.body.half(bottom, ease * 0.4))
    outline = np.concatenate(
        [
            pts((-a, top), (0, top + 0.05), (a, top)),
            curve(
                pts(
                    (b + 0.01, (top + bottom) / 2),
                    (b, bottom),
                    (b * 0.5, bottom + 0.05),
                    (0, bottom + 0.06),
                    (-b * 0.5, bottom + 0.05),
                    (-b, bottom),
                    (-b - 0.01, (top + bottom) / 2),
                ),
                steps=3,
            ),
        ]
    )
    return t.piece(outline, fabric or t.ribbed())


def pocket_flap(x: float, y: float, w: float, h: float, drop: float = 0.05) -> Points:
    return pts((x - w, y), (x + w, y), (x + w, y + h), (x, y + h + drop), (x - w, y + h))


def stitching(t: Tailor, *xy: tuple[float, float], width: float = 0.02) -> Stroke:
    return Stroke(pts(*xy), width, contrast(t.fabric.color, soft=True))


def lapels(t: Tailor, button: float, wide: float, shift: float = 0.03) -> list[Shape]:
    """Notched lapels that roll down to the first button."""
    n = t.body.neck
    collar = pts(
        (n - 0.01, -0.24), (n + 0.12, -0.12), (wide * 0.98, 0.2), (wide * 0.66, 0.36), (n + 0.02, 0.12)
    )
    lapel = np.concatenate(
        [
            pts((n + 0.02, 0.1), (wide * 0.66, 0.36), (wide * 1.1, 0.40)),
            curve(pts((wide * 1.1, 0.40), (wide * 0.75, 0.9), (shift, button)), steps=4),
        ]
    )
    fabric = toned(plain(t.fabric, t.fabric.texture), 0.84)
    return [
        *t.pair(lapel, fabric, shade="flat", edge=1.5),
        *t.pair(collar, toned(fabric, 0.85), shade="flat", edge=1.5),
    ]


def hood_back(t: Tailor, wide: float = 0.16) -> list[Shape]:
    """The hood behind the head, its inside dark."""
    n = t.body.neck + 0.34 + wide * 0.5
    outer = curve(
        pts(
            (-n, 0.0),
            (-n - 0.02, -0.3),
            (-n * 0.7, -0.62),
            (0, -0.72),
            (n * 0.7, -0.62),
            (n + 0.02, -0.3),
            (n, 0.0),
            (0, 0.2),
        ),
        True,
        4,
    )
    return [
        t.piece(outer, toned(t.fabric, 0.9), "ball"),
        t.piece(outer * (0.8, 0.8), toned(t.fabric, 0.5), "flat", garment=-1),
    ]


def hood_rolls(t: Tailor, fabric: Fabric | None = None, wide: float = 0.17) -> list[Shape]:
    """The hood's two edges meeting in front."""
    n = t.body.neck
    spine = curve(pts((n + 0.18, -0.42), (n + 0.17, -0.18), (n + 0.06, 0.08), (0.02, 0.34)), steps=4)
    widths = np.interp(np.linspace(0, 1, len(spine)), [0, 0.4, 1], [wide * 0.7, wide, wide * 0.35])
    d = np.gradient(spine, axis=0)
    normal = np.stack([-d[:, 1], d[:, 0]], axis=1) / (np.hypot(*d.T)[:, None] + 1e-9)
    roll = np.concatenate([spine + normal * widths[:, None] * 0.5, (spine - normal * widths[:, None])[::-1]])
    return t.pair(
        roll, fabric or toned(t.fabric, 0.97), (Stroke(spine, 0.03, "fold"),), shade="ball", edge=1.5
    )


def drawstrings(t: Tailor) -> list[Shape]:
    color = (246, 244, 238) if sum(t.fabric.color) < 560 else (70, 70, 78)
    shapes = []
    for s, length in ((-1, 0.95), (1, 1.02)):
        cord = pts(
            (s * 0.09 - 0.022, 0.28),
            (s * 0.09 + 0.022, 0.28),
            (s * 0.13 + 0.022, length),
            (s * 0.13 - 0.022, length),
        )
        tip = pts(
            (s * 0.13 - 0.034, length),
            (s * 0.13 + 0.034, length),
            (s * 0.13 + 0.03, length + 0.1),
            (s * 0.13 - 0.03, length + 0.1),
        )
        shapes += [
            t.piece(cord, Fabric(color), "none", edge=0.8, garment=-1),
            t.piece(tip, Fabric((150, 150, 155)), "none", edge=0.8, garment=-1),
        ]
    return shapes


def _fuzz(outline: Points, rng: np.random.Generator, depth: float) -> Points:
    middle = outline.mean(axis=0)
    step = np.where(np.arange(len(outline)) % 2, 1.0, -1.0) * rng.uniform(0.4, 1.0, len(outline))
    out = outline - middle
    return middle + out * (1 + depth * step[:, None] / (np.hypot(*out.T)[:, None] + 0.1))


def fur(t: Tailor) -> list[Shape]:
    n = t.body.neck
    spine = curve(pts((n + 0.36, -0.46), (n + 0.36, -0.14), (n + 0.2, 0.14), (0.06, 0.36)), steps=6)
    right = np.concatenate([spine + pts((0.13, 0.06)), (spine - pts((0.13, 0.06)))[::-1]])
    fluffy = _fuzz(right, t.rng, 0.05)
    return t.pair(fluffy, Fabric(FUR, texture="fur", sheen=0.2), shade="ball", edge=0.8)


def fur_halo(t: Tailor) -> Shape:
    n = t.body.neck + 0.5
    ring = ellipse((0, -0.3), n + 0.02, 0.55, count=44)
    return t.piece(
        _fuzz(ring, t.rng, 0.05), Fabric(tuple(int(c * 0.9) for c in FUR), texture="fur"), "flat", edge=0.8
    )


def belt(t: Tailor, fabric: Fabric, top: float = 1.42, bottom: float = 1.58, ease: float = 0.03) -> Shape:
    w = float(t.body.half(1.5, ease))
    return t.piece(
        pts(
            (-w, top), (0, top + 0.03), (w, top), (w + 0.01, bottom), (0, bottom + 0.03), (-w - 0.01, bottom)
        ),
        fabric,
    )
