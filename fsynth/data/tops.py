"""Tee, henley, jersey, sweater, tank, top, blouse: each with the features a designer would name it by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fsynth.data.garments import SLEEVE_ENDS, Builder, Tailor, Wear, contrast, plain, toned
from fsynth.data.shapes import Fabric, Print, Shape, Stroke, curve, ellipse, mirrored, pts
from fsynth.data.trimmings import (
    collar_back,
    hem_band,
    landmarked,
    neck_rib,
    shirt_collar,
)


def tee(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Plain crew neck, straight and simple."""
    neck = t.crew(0.10, 0.12)
    body = t.bodice(neck, ((0.7, 0.05), (1.2, 0.09), (1.5, 0.11), (2.1, 0.06)))
    stitch = Stroke(
        t.bodice(neck, ((0.7, 0.04), (1.2, 0.08), (1.5, 0.1), (2.04, 0.06)))[24:30], 0.012, "seam"
    )
    wear = Wear(
        body=[t.piece(body, strokes=(*t.drag(), stitch), prints=prints)], sleeves=t.sleeves(0.05, 0.07)
    )
    wear.over = [neck_rib(t, neck, 0.06, plain(toned(t.fabric, 0.86), "rib"))]
    return landmarked(t, wear, 2.1, 0.06)


def henley(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """No collar; a short placket with three buttons, contrasting neck and cuffs, a curved hem."""
    neck = t.crew(0.09, 0.10)
    body = t.bodice(neck, ((0.7, 0.0), (1.2, 0.06), (1.5, 0.08), (2.0, 0.04)), drop=0.22)
    shade = Fabric(contrast(t.fabric.color, soft=True))
    placket = pts((-0.1, 0.06), (0.1, 0.06), (0.1, 0.82), (0, 0.88), (-0.1, 0.82))
    band = plain(replace(t.fabric, color=shade.color), "rib")
    wear = Wear(body=[t.piece(body, strokes=t.drag(), prints=prints)])
    wear.sleeves = t.sleeves(0.03, 0.02, band=0.14 if t.sleeve != "short" else 0.1, band_fabric=band)
    wear.over = [
        neck_rib(t, neck, 0.085, band),
        t.piece(placket, shade, "flat", garment=0),
        *t.buttons(0, (0.22, 0.44, 0.66), 0.045, contrast(shade.color)),
    ]
    return landmarked(t, wear, 2.0, 0.04)


def jersey(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Sports shirt: V neck in contrast, a big number, stripes down the sides and around the sleeves."""
    neck = t.vee(0.34, 0.12)
    sides = ((0.7, 0.08), (1.2, 0.13), (1.5, 0.15), (2.25, 0.12))
    accent = Fabric(t.trim.color)
    body = t.piece(
        t.bodice(neck, sides, drop=0.03),
        replace(t.fabric, texture="mesh"),
        strokes=t.drag(count=2),
        prints=prints,
    )
    wear = Wear(body=[body], sleeves=t.sleeves(0.09, 0.12, strokes=1))
    edge = np.concatenate(
        [
            t.body.side((0.72, 0.075), (1.2, 0.125), (1.5, 0.145), (2.24, 0.115)),
            t.body.side((2.24, -0.09), (1.5, -0.03), (1.2, -0.04), (0.72, -0.1)),
        ]
    )
    wear.over = [*t.pair(edge, accent, shade="round", edge=0.5), neck_rib(t, neck, 0.1, accent)]
    if t.sleeved:
        end = SLEEVE_ENDS[t.sleeve]
        for s in (-1, 1):
            wear.sleeves += [
                t._band(s, end - 0.34, end - 0.24, 0.115, accent),
                t._band(s, end - 0.14, end - 0.02, 0.125, accent),
            ]
    return landmarked(t, wear, 2.25, 0.12)


def sweater(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Thick ribbed crew neck, cable knit, ribbed cuffs and hem."""
    neck = t.crew(0.03, 0.17)
    knit = replace(t.fabric, texture="knit")
    sides = ((0.7, 0.14), (1.2, 0.24), (1.5, 0.27), (1.95, 0.16))
    columns = (-0.42, 0.0, 0.42) if not prints else (-0.5, 0.5)
    cables = tuple(s for x in columns for s in _cable(x, 0.16 if x == 0 else 0.24, 1.98))
    body = t.piece(t.bodice(neck, sides), knit, strokes=cables, prints=prints)
    tailor = replace(t, fabric=knit)
    wear = Wear(
        body=[body], sleeves=tailor.sleeves(0.10, 0.07, bulge=0.05, band=0.16, band_fabric=t.ribbed())
    )
    wear.over = [hem_band(t, 1.92, 2.16, 0.16), neck_rib(t, neck, -0.03), neck_rib(t, neck, 0.13)]
    return landmarked(t, wear, 2.15, 0.08)


def _cable(x: float, top: float, bottom: float) -> list[Stroke]:
    y = np.linspace(top, bottom, 25)
    wave = 0.075 * np.sin((y - top) * 13)
    lines = [
        Stroke(np.stack([x + s * wave, y], axis=1), 0.035, "seam" if s > 0 else "light") for s in (-1, 1)
    ]
    rails = [Stroke(pts((x + d, top), (x + d, bottom)), 0.02, "seam") for d in (-0.12, 0.12)]
    return rails + lines


def tank(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Thin straps and a deep scoop; with sleeves, these hang off bare shoulders."""
    strap, sh = t.body.neck + 0.2, t.body.neck + 0.30
    right = np.concatenate(
        [
            curve(pts((0, 0.62), (strap * 0.62, 0.52), (strap - 0.02, 0.2), (strap, -0.02)), steps=4),
            pts((sh, 0.0)),
            curve(
                pts(
                    (sh + 0.01, 0.22), (t.body.half(0.5) - 0.1, 0.55), (float(t.body.half(0.75, 0.02)), 0.78)
                ),
                steps=4,
            ),
            curve(t.body.side((0.85, 0.02), (1.2, 0.03), (1.5, 0.05), (2.05, 0.05)), steps=4),
        ]
    )
    outline = np.concatenate([right, mirrored(right)])
    scoop = curve(pts((0, 0.62), (strap * 0.62, 0.52), (strap - 0.02, 0.2), (strap, -0.02)), steps=4)
    wear = Wear(body=[t.piece(outline, strokes=t.drag(), prints=prints)])
    end = max(SLEEVE_ENDS[t.sleeve], 0.74)
    wear.sleeves = t.sleeves(0.05, 0.05, start=0.22, bulge=0.03, end=end)
    wear.over = [neck_rib(t, scoop, 0.035, plain(toned(t.fabric, 0.8)))]
    landmarked(t, wear, 2.05, 0.05, end=end)
    wear.collar = t.both(strap, -0.02)
    return wear


def top(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """A square or off-shoulder neckline, a cropped bodice and a flared peplum."""
    off = t.rng.random() < 0.4
    y, x = (0.3, t.body.shoulder + 0.06) if off else (0.28, t.body.neck + 0.22)
    flank = t.flank(
        ((0.7, 0.02), (1.1, 0.02), (1.42, 0.02)), tip=x if off else None, top=0.26 if off else 0.05
    )
    neckline = pts((0, y + 0.06), (x, y)) if off else pts((0, y), (x - 0.02, y), (x + 0.02, -0.03))
    right = np.concatenate([neckline, flank, pts((0, 1.47))])
    bodice = t.piece(np.concatenate([right, mirrored(right)[1:-1]]), strokes=_darts(t), prints=prints)
    wear = Wear(
        body=[_peplum(t), bodice], sleeves=t.sleeves(0.03, 0.06, bulge=0.07, start=0.16 if off else 0.0)
    )
    w = float(t.body.half(1.44, 0.025))
    wear.over = [
        t.piece(pts((-w, 1.38), (w, 1.38), (w, 1.5), (-w, 1.5)), plain(toned(t.fabric, 0.72)), garment=0)
    ]
    if off:
        ruffle = curve(
            pts(
                (-x - 0.05, 0.2),
                (0, 0.33),
                (x + 0.05, 0.2),
                (x + 0.08, 0.55),
                (x * 0.5, 0.68),
                (0, 0.7),
                (-x * 0.5, 0.68),
                (-x - 0.08, 0.55),
            ),
            True,
            4,
        )
        wear.over.append(t.piece(ruffle, toned(t.fabric, 1.1), "drape", t.falls(0.3, 0.66, x, x + 0.05, 8)))
    landmarked(t, wear, 2.05, 0.3)
    wear.collar = t.both(x, y)
    return wear


def _darts(t: Tailor) -> tuple[Stroke, ...]:
    seams = tuple(
        Stroke(curve(pts((s * 0.3, 0.4), (s * 0.27, 0.9), (s * 0.2, 1.4)), steps=4), 0.02, "seam")
        for s in (-1, 1)
    )
    return seams + t.drag(count=1)


def _peplum(t: Tailor) -> Shape:
    w, wide = float(t.body.half(1.44, 0.02)), float(t.body.half(2.0, 0.42))
    x = np.linspace(-1, 1, 13)
    hem = np.stack([x * wide, 2.02 + 0.05 * np.cos(x * np.pi * 5) + 0.1 * (1 - x**2)], axis=1)
    outline = np.concatenate(
        [
            pts((-w, 1.44)),
            curve(pts((-w - 0.1, 1.6), (-wide * 0.92, 1.88)), steps=2),
            curve(hem, steps=3),
            pts((wide * 0.92, 1.88), (w + 0.1, 1.6), (w, 1.44)),
        ]
    )
    return t.piece(outline, toned(t.fabric, 0.96), "drape", t.falls(1.46, 2.1, w, wide, 8))


def blouse(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Soft collar tied with a ribbon, buttoned placket, pleats, gathered sleeves with cuffs."""
    neck = t.vee(0.22, 0.08)
    body = t.bodice(neck, ((0.7, 0.06), (1.1, 0.1), (1.5, 0.16), (2.0, 0.14)), drop=0.2)
    pleats = tuple(
        Stroke(
            curve(pts((s * x, 0.34), (s * x * 0.98, 1.1), (s * x * 1.1, 1.9)), steps=3),
            0.028,
            "fold" if i % 2 else "seam",
        )
        for s in (-1, 1)
        for i, x in enumerate((0.17, 0.25, 0.33, 0.42))
    )
    placket = pts((-0.065, 0.2), (0.065, 0.2), (0.065, 2.17), (-0.065, 2.17))
    wear = Wear(
        back=[collar_back(t)],
        body=[t.piece(body, replace(t.fabric, sheen=0.5), strokes=pleats + t.drag(count=2), prints=prints)],
    )
    long = SLEEVE_ENDS[t.sleeve] > 1
    wear.sleeves = t.sleeves(
        0.06,
        0.09,
        bulge=0.14 if long else 0.11,
        band=0.15 if long else 0.12,
        band_fabric=toned(t.fabric, 0.9),
        strokes=4,
    )
    wear.over = [
        t.piece(placket, toned(t.fabric, 1.06), "flat", garment=0),
        *t.buttons(0, (0.45, 0.78, 1.11, 1.44, 1.77), 0.028),
        *shirt_collar(t, 1.25, open_to=0.24),
        *_ribbon(t),
    ]
    return landmarked(t, wear, 2.0, 0.14)


def _ribbon(t: Tailor) -> list[Shape]:
    """A ribbon tied under the collar."""
    fabric = plain(toned(t.fabric, 0.66))
    loop = curve(pts((0.0, 0.24), (0.14, 0.10), (0.31, 0.12), (0.31, 0.33), (0.14, 0.34)), True, 3)
    tail = pts((0.0, 0.26), (0.07, 0.26), (0.19, 0.80), (0.12, 0.77), (0.06, 0.84))
    knot = ellipse((0, 0.24), 0.06, 0.07, count=10)
    pieces = [*t.pair(tail, fabric, shade="flat"), *t.pair(loop, fabric, shade="ball")]
    return [*pieces, t.piece(knot, toned(fabric, 0.85), "ball")]


TOPS: dict[str, Builder] = {
    "tee": tee,
    "henley": henley,
    "jersey": jersey,
    "sweater": sweater,
    "tank": tank,
    "top": top,
    "blouse": blouse,
}
"""Category -> its builder."""
