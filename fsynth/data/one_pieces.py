"""Dress, jumpsuit, romper and kimono, and the bottoms worn under a top."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fsynth.data.body import ANKLE, KNEE, Body
from fsynth.data.garments import SLEEVE_ENDS, Builder, Tailor, Wear, contrast, plain, toned
from fsynth.data.shapes import Fabric, Points, Print, Shape, Stroke, curve, mirrored, pts
from fsynth.data.trimmings import (
    belt,
    collar_back,
    landmarked,
    neck_rib,
)


def _neckline(t: Tailor) -> Points:
    kind = t.rng.integers(3)
    if kind == 0:
        return t.vee(0.55, 0.14)
    return t.crew(0.34, 0.18) if kind == 1 else t.crew(0.12, 0.12)


def _bodice_to_waist(t: Tailor, neck: Points, prints: tuple[Print, ...], ease: float = 0.02) -> Shape:
    sides = ((0.7, ease), (1.1, ease), (1.5, ease))
    return t.piece(t.bodice(neck, sides, drop=0.02), strokes=t.drag(1.15), prints=prints)


def dress(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Fitted to the waist, then a flared skirt in folds to the knee or below."""
    neck = _neckline(t)
    length, flare = t.rng.uniform(3.5, 4.7), t.rng.uniform(0.35, 0.75)
    w, wide = float(t.body.half(1.5, 0.02)), float(t.body.half(2.6, 0.1)) + flare
    x = np.linspace(-1, 1, 15)
    wave = 0.045 * np.cos(x * np.pi * t.rng.integers(4, 7) + t.rng.uniform(0, 6))
    hem = np.stack([x * wide, length + wave + 0.16 * (1 - x**2)], axis=1)
    right = curve(pts((w, 1.5), (w + 0.16, 1.85), (wide * 0.8, 2.7), (wide, length)), steps=5)
    outline = np.concatenate([mirrored(right)[::-1][:-1], curve(hem, steps=3), right[::-1][1:]])
    skirt = t.piece(outline, shade="drape", strokes=t.falls(1.55, length + 0.1, w, wide, 8))
    wear = Wear(body=[skirt, _bodice_to_waist(t, neck, prints)], sleeves=t.sleeves(0.03, 0.04, bulge=0.03))
    wear.over = [belt(t, plain(toned(t.fabric, 0.7))), neck_rib(t, neck, 0.035, plain(toned(t.fabric, 0.8)))]
    landmarked(t, wear, length, 0.0)
    wear.waist, wear.hem = t.both(w, 1.5), t.both(wide, length)
    return wear


def trouser_legs(t: Tailor, bottom: float, widen: float, top: float = 1.5, ease: float = 0.04) -> Points:
    """The outline of trousers or shorts, neutral: `widen` is the ease at the hem."""
    body = t.body
    outer, inner = [], []
    spine = body.leg(1)
    for y in np.linspace(2.75, bottom, 4):
        x = float(np.interp(y, spine[:, 1], spine[:, 0]))
        grow = np.interp(y, [2.75, bottom], [ease, widen])
        half = float(body.leg_half(min(y, 4.9)))
        outer.append((max(x + half + grow, 0.0), y))
        inner.append((max(x - half - grow * 0.8, 0.02), y))
    hip = curve(np.concatenate([body.side((top, ease), (1.9, ease), (2.3, ease)), np.array(outer)]), steps=3)
    inside = curve(np.concatenate([np.array(inner)[::-1], pts((0.0, 2.62))]), steps=3)
    right = np.concatenate([hip, inside])
    return np.concatenate([right, mirrored(right)[1:]])


def _creases(bottom: float) -> tuple[Stroke, ...]:
    crotch = [
        Stroke(pts((s * 0.04, 2.60), (s * 0.16, 2.57), (s * 0.32, 2.50)), 0.03, "fold") for s in (-1, 1)
    ]
    front = [Stroke(pts((s * 0.31, 2.7), (s * 0.28, 2.9), (s * 0.27, bottom)), 0.04, "fold") for s in (-1, 1)]
    return (*crotch, *front, Stroke(pts((0, 1.6), (0, 2.6)), 0.022, "seam"))


def jumpsuit(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """One piece with long, wide trousers, belted."""
    neck = t.vee(0.62, 0.12) if t.rng.random() < 0.6 else t.crew(0.25, 0.15)
    bottom = ANKLE - 0.02
    legs = t.piece(trouser_legs(t, bottom, t.rng.uniform(0.1, 0.2)), strokes=_creases(bottom))
    wear = Wear(body=[legs, _bodice_to_waist(t, neck, prints, 0.05)], sleeves=t.sleeves(0.04, 0.05))
    wear.over = [
        belt(t, plain(toned(t.fabric, 0.6)), ease=0.05),
        neck_rib(t, neck, 0.035, plain(toned(t.fabric, 0.8))),
    ]
    landmarked(t, wear, bottom, 0.05)
    wear.hem = t.both(float(t.body.leg(1)[-1, 0]) + 0.2, bottom)
    return wear


def romper(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """One piece with shorts, a gathered waist with a bow."""
    neck = _neckline(t)
    bottom = t.rng.uniform(2.95, 3.15)
    legs = t.piece(trouser_legs(t, bottom, 0.15, ease=0.07), strokes=_creases(bottom - 0.02))
    wear = Wear(body=[legs, _bodice_to_waist(t, neck, prints, 0.06)], sleeves=t.sleeves(0.04, 0.06))
    gathers = tuple(Stroke(pts((x, 1.44), (x, 1.58)), 0.02, "seam") for x in np.linspace(-0.45, 0.45, 9))
    w = float(t.body.half(1.5, 0.03))
    waist = t.piece(
        pts((-w, 1.43), (w, 1.43), (w, 1.58), (-w, 1.58)), plain(toned(t.fabric, 0.85)), strokes=gathers
    )
    wear.over = [waist, *_bow(t), neck_rib(t, neck, 0.035, plain(toned(t.fabric, 0.8)))]
    landmarked(t, wear, bottom, 0.06)
    wear.hem = t.both(float(t.body.half(bottom, 0.1)), bottom)
    return wear


def _bow(t: Tailor) -> list[Shape]:
    fabric = plain(toned(t.fabric, 0.75))
    loop = curve(pts((0.0, 1.5), (0.16, 1.4), (0.2, 1.5), (0.16, 1.58)), True, 3)
    tail = pts((0.0, 1.5), (0.06, 1.5), (0.14, 1.86), (0.06, 1.88))
    return [*t.pair(tail, fabric, shade="flat"), *t.pair(loop, fabric, shade="flat")]


def kimono(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Wrapped front with a patterned band, wide hanging sleeves, a broad sash."""
    length = t.rng.uniform(3.9, 4.9)
    sides = ((0.72, 0.08), (1.1, 0.1), (1.5, 0.08), (2.3, 0.1), (length, 0.26))
    body = t.bodice(t.vee(0.85, 0.06, 0.04), sides, drop=0.05, tip=t.tip + 0.02)
    edge = Stroke(pts((0.1, 1.6), (0.24, length + 0.1)), 0.035, contrast(t.fabric.color, soft=True))
    shape = t.piece(
        body, strokes=(edge, *t.falls(1.9, length, 0.5, float(t.body.half(length, 0.2)), 4)), prints=prints
    )
    wear = Wear(back=[collar_back(t, t.trim)], body=[shape], sleeves=_wide_sleeves(t))
    n = t.body.neck
    under = pts((n + 0.02, -0.22), (n + 0.16, -0.1), (0.06, 1.02), (-0.16, 1.3), (-0.16, 1.05), (-0.02, 0.8))
    sash = toned(t.trim, 0.8)
    band = replace(t.trim, pattern="dots, sparse", palette=(t.trim.color, t.fabric.color))
    w = float(t.body.half(1.5, 0.11))
    obi = t.piece(
        pts((-w, 1.2), (0, 1.23), (w, 1.2), (w, 1.72), (0, 1.76), (-w, 1.72)),
        sash,
        "round",
        (Stroke(pts((-w, 1.46), (0, 1.49), (w, 1.46)), 0.07, contrast(sash.color)),),
        edge=1.4,
    )
    wear.over = [
        t.piece(under, band, "flat", edge=1.4),
        t.piece(under * (-1, 1), band, "flat", edge=1.4),
        obi,
    ]
    return landmarked(t, wear, length, 0.26)


def _wide_sleeves(t: Tailor) -> list[Shape]:
    """Rectangular bags hanging from the arms, with a contrasting edge."""
    if not t.sleeved:
        return []
    end = SLEEVE_ENDS[t.sleeve] * 0.98
    shapes = []
    for side in (-1, 1):
        line = t.body.arm(side, 0.0, end, 7)
        top = np.concatenate([line[:1] + pts((-side * 0.12, -0.2)), line + pts((side * 0.15, -0.06))])
        reach = 0.5 + 0.55 * min(end / 1.9, 1.0)
        low_out = line[-1] + (side * 0.1, reach * 0.62)
        low_in = np.array(
            [line[-1, 0] - side * (0.3 if end > 1 else 0.18), min(line[-1, 1] + reach * 0.5, 2.75)]
        )
        arm_pit = t.body.warp(pts((side * (float(t.body.half(0.72)) - 0.05), 0.8)))[0]
        outline = np.concatenate([curve(top, steps=2), np.stack([low_out, low_in]), arm_pit[None]])
        edge = Stroke(np.stack([top[-1], low_out]), 0.16, t.trim.color)
        folds = tuple(
            Stroke(np.stack([line[k], line[k] + (-side * 0.06, 0.5)]), 0.045, "fold") for k in (2, 4)
        )
        shapes.append(Shape(outline, t.fabric, "drape", (*folds, edge), edge=1.2, garment=0))
    return shapes


def bottoms(
    body: Body, kind: str, fabric: Fabric, rng: np.random.Generator
) -> tuple[list[Shape], Points, Points]:
    """Trousers, shorts or a skirt under a top: shapes, waist landmarks and hem landmarks (2, 2)."""
    t = Tailor(body, fabric, fabric, (255, 255, 255), "sleeveless", rng)
    waist = t.both(float(body.half(1.55, 0.03)), 1.55)
    band = t.piece(
        pts(*[(s * float(body.half(1.6, 0.03)), y) for s, y in ((-1, 1.5), (1, 1.5), (1, 1.64), (-1, 1.64))]),
        toned(fabric, 0.85),
        garment=1,
    )
    if kind == "skirt":
        low, wide = rng.uniform(3.3, 4.2), float(body.half(2.6, 0.1)) + rng.uniform(-0.08, 0.3)
        right = curve(
            pts((float(body.half(1.5, 0.02)), 1.5), (float(body.half(2.1, 0.05)), 2.1), (wide, low)), steps=4
        )
        outline = np.concatenate(
            [right, curve(pts((wide, low), (0, low + 0.12), (-wide, low)), steps=4)[1:-1], mirrored(right)]
        )
        shape = t.piece(outline, shade="drape", strokes=t.falls(1.6, low + 0.1, 0.5, wide, 6), garment=1)
        return [shape, band], waist, t.both(wide, low)
    bottom = rng.uniform(3.0, 3.5) if kind == "shorts" else ANKLE + 0.02
    shape = t.piece(
        trouser_legs(t, bottom, 0.1 if kind == "shorts" else rng.uniform(0.03, 0.12), ease=0.03),
        strokes=_creases(bottom),
        garment=1,
    )
    x = float(np.interp(min(bottom, KNEE + 1.7), body.leg(1)[:, 1], body.leg(1)[:, 0])) + float(
        body.leg_half(bottom)
    )
    return [shape, band], waist, t.both(x, bottom)


ONE_PIECES: dict[str, Builder] = {
    "dress": dress,
    "jumpsuit": jumpsuit,
    "romper": romper,
    "kimono": kimono,
}
"""Category -> its builder."""
