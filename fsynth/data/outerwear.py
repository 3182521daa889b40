"""Layers worn on top: bomber, jacket, hoodie, cardigan, poncho, blazer, coat, parka."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fsynth.data.garments import Builder, Tailor, Wear, contrast, plain, toned
from fsynth.data.shapes import Fabric, Points, Print, Shape, Stroke, curve, mirrored, pts
from fsynth.data.trimmings import (
    collar_back,
    drawstrings,
    fur,
    fur_halo,
    hem_band,
    hood_back,
    hood_rolls,
    landmarked,
    lapels,
    pocket_flap,
    shirt_collar,
    stitching,
)


def bomber(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Short and round: ribbed stand, cuffs and hem in a darker tone, a zip, slanted pockets."""
    neck = t.crew(0.12, 0.14)
    dark = plain(toned(t.fabric, 0.55), "rib")
    sides = ((0.72, 0.16), (1.1, 0.30), (1.5, 0.37), (1.78, 0.2))
    body = t.piece(t.bodice(neck, sides), replace(t.fabric, sheen=0.75), strokes=t.drag(1.2), prints=prints)
    wear = Wear(back=[collar_back(t, dark)], body=[body])
    wear.sleeves = t.sleeves(0.12, 0.10, bulge=0.06, band=0.2, band_fabric=dark, strokes=5)
    stand = curve(
        pts(
            (-0.36, -0.2),
            (-0.4, 0.02),
            (-0.1, 0.24),
            (0, 0.26),
            (0.1, 0.24),
            (0.4, 0.02),
            (0.36, -0.2),
            (0.2, 0.0),
            (0, 0.1),
            (-0.2, 0.0),
        ),
        True,
        3,
    )
    scale = (t.body.neck + 0.14) / 0.36
    wear.over = [
        t.piece(stand * (scale, 1), dark, "flat"),
        hem_band(t, 1.74, 2.02, 0.2, dark),
        *t.zip(0.14, 2.04),
    ]
    pocket = Stroke(pts((0.36, 1.3), (0.52, 1.62)), 0.05, contrast(t.fabric.color, soft=True))
    wear.body = [
        replace(
            wear.body[0],
            strokes=wear.body[0].strokes
            + tuple(replace(pocket, points=t.body.warp(pocket.points * (s, 1))) for s in (-1, 1)),
        )
    ]
    return landmarked(t, wear, 2.02, 0.12)


def jacket(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Trucker: pointed collar, front zip, yoke and two buttoned chest pockets, stitched waistband."""
    neck = t.vee(0.2, 0.1)
    sides = ((0.72, 0.1), (1.1, 0.15), (1.5, 0.17), (2.1, 0.08))
    seams = [stitching(t, (s * 0.06, 0.52), (s * 0.8, 0.48)) for s in (-1, 1)]
    seams += [stitching(t, (s * 0.2, 0.86), (s * 0.14, 2.0)) for s in (-1, 1)] + [
        stitching(t, (s * 0.46, 0.86), (s * 0.34, 2.0)) for s in (-1, 1)
    ]
    seams.append(stitching(t, (-0.9, 1.98), (0, 2.02), (0.9, 1.98), width=0.03))
    body = t.piece(t.bodice(neck, sides, drop=0.05), strokes=(*t.drag(count=1), *seams), prints=prints)
    flaps = t.pair(pocket_flap(0.34, 0.55, 0.16, 0.11, 0.08), toned(t.fabric, 0.88), shade="flat", edge=1.8)
    bags = t.pair(
        pts((0.2, 0.6), (0.48, 0.6), (0.47, 0.92), (0.34, 0.98), (0.21, 0.92)),
        t.fabric,
        shade="flat",
        edge=1.3,
    )
    wear = Wear(back=[collar_back(t)], body=[body])
    wear.sleeves = t.sleeves(0.08, 0.06, bulge=0.02, band=0.13, band_fabric=toned(t.fabric, 0.88))
    wear.over = [*bags, *flaps, *t.zip(0.22, 2.14), *shirt_collar(t, 1.35, toned(t.fabric, 0.85), 0.2)]
    for s in (-1, 1):
        wear.over += t.buttons(s * 0.34, (0.67,), 0.03)
    return landmarked(t, wear, 2.1, 0.08)


def hoodie(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """A hood around the neck, two drawstrings, a kangaroo pocket, ribbed cuffs and hem."""
    neck = t.crew(0.26, 0.16)
    sides = ((0.72, 0.13), (1.2, 0.22), (1.5, 0.25), (2.05, 0.14))
    body = t.piece(
        t.bodice(neck, sides), replace(t.fabric, texture="fleece"), strokes=t.drag(), prints=prints
    )
    pocket = pts((-0.27, 1.4), (0.27, 1.4), (0.47, 1.78), (0.45, 2.0), (-0.45, 2.0), (-0.47, 1.78))
    lines = tuple(
        Stroke(pts((s * 0.27, 1.4), (s * 0.47, 1.78)), 0.04, contrast(t.fabric.color, soft=True))
        for s in (-1, 1)
    )
    wear = Wear(
        back=hood_back(t),
        body=[body],
        sleeves=t.sleeves(0.11, 0.08, bulge=0.04, band=0.18, band_fabric=t.ribbed()),
    )
    wear.over = [
        hem_band(t, 2.02, 2.26, 0.14),
        t.piece(pocket, toned(t.fabric, 0.93), "flat", lines, edge=1.8),
        *hood_rolls(t),
        *drawstrings(t),
    ]
    return landmarked(t, wear, 2.25, 0.08)


def cardigan(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Open front over a shirt, knit, ribbed button bands and hem, patch pockets."""
    knit = replace(t.fabric, texture="knit")
    neck = pts((0.17, 0.62), (t.body.neck + 0.05, 0.1), (t.body.neck + 0.07, -0.12))
    sides = ((0.7, 0.09), (1.1, 0.14), (1.5, 0.17), (2.5, 0.12))
    b = float(t.body.half(2.5, 0.12))
    right = t.front(neck, sides, pts((b * 0.6, 2.56), (0.21, 2.58), (0.2, 1.6)))
    band = np.concatenate(
        [
            pts((0.15, 2.6), (0.28, 2.58), (0.27, 1.6), (0.25, 0.66)),
            pts(
                (t.body.neck + 0.15, 0.1),
                (t.body.neck + 0.14, -0.1),
                (t.body.neck + 0.03, -0.2),
                (t.body.neck + 0.02, 0.1),
                (0.13, 0.6),
                (0.14, 1.6),
            ),
        ]
    )
    pocket = pts((0.34, 1.85), (0.6, 1.85), (0.6, 2.2), (0.34, 2.2))
    wear = Wear(
        back=[collar_back(t, t.ribbed(), 0.22)],
        body=[t.under(0.12, 2.3), *t.pair(right, knit, t.drag(), prints=())],
    )
    wear.body[-1] = replace(
        wear.body[-1], prints=tuple(replace(p, center=tuple(t.body.warp(pts(p.center))[0])) for p in prints)
    )
    wear.sleeves = replace(t, fabric=knit).sleeves(0.06, 0.05, bulge=0.02, band=0.15, band_fabric=t.ribbed())
    wear.over = [
        *t.pair(band, t.ribbed(), shade="flat", edge=1.3),
        *t.pair(pocket, t.ribbed(), shade="flat", edge=1.0),
    ]
    wear.over += t.buttons(0.205, (0.8, 1.12, 1.44, 1.76, 2.08, 2.4), 0.042)
    return landmarked(t, wear, 2.5, 0.12)


def poncho(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """A wide triangular cape, fringed, with a standing collar; arms come out below it or through slits."""
    reach = {"long": 1.12, "not stated": 1.02, "short": 0.95, "sleeveless": 0.82}[t.sleeve] * (
        t.body.shoulder / 0.66
    ) ** 0.5
    low = {"long": 2.3, "not stated": 2.2, "short": 1.75, "sleeveless": 2.35}[t.sleeve]
    n, cover = t.body.neck + 0.1, 0.14 if t.sleeved else 0.05
    right = np.concatenate(
        [
            curve(pts((0, 0.12), (n * 0.7, 0.04), (n, -0.14)), steps=3),
            curve(
                pts(
                    (t.tip + 0.02, 0.06),
                    (t.tip + cover, 0.22),
                    (reach * 1.12, 0.85),
                    (reach * 1.3, low - 0.5),
                ),
                steps=3,
            ),
            curve(pts((reach * 1.3, low - 0.5), (reach * 0.7, low - 0.02), (0, low + 0.3)), steps=4)[1:],
        ]
    )
    hem = right[-9:]
    outline = np.concatenate([right, mirrored(right)[1:-1]])
    trim = tuple(
        Stroke(np.concatenate([hem, mirrored(hem)]) * (0.97, 1) - (0, d), 0.05, t.trim.color)
        for d in (0.14, 0.26)
    )
    folds = t.falls(0.4, low, 0.5, reach * 1.1, 7)
    cape = t.piece(outline, replace(t.fabric, texture="knit"), "drape", folds + trim, prints)
    wear = Wear(
        back=[t.under(0.1, 2.2), _fringe(t, hem)],
        body=[cape],
        arms_in_front=not t.sleeved,
        arms_behind=t.sleeved,
    )
    if t.sleeve == "long":
        wear.sleeves = t.sleeves(0.06, 0.07, band=0.15, band_fabric=t.ribbed())
    stand = curve(
        pts(
            (-n - 0.03, -0.26),
            (0, -0.17),
            (n + 0.03, -0.26),
            (n + 0.06, -0.02),
            (0, 0.18),
            (-n - 0.06, -0.02),
        ),
        True,
        3,
    )
    wear.over = [t.piece(stand, t.ribbed(), "flat")]
    landmarked(t, wear, low, 0.3)
    wear.hem = t.both(reach * 1.3, low - 0.5)
    return wear


def _fringe(t: Tailor, hem: Points) -> Shape:
    line = np.concatenate([hem, mirrored(hem)[1:]])
    dense = np.stack(
        [np.interp(np.linspace(0, 1, 57), np.linspace(0, 1, len(line)), line[:, k]) for k in (0, 1)], axis=1
    )
    teeth = dense + np.stack([np.zeros(57), np.where(np.arange(57) % 2, 0.2, 0.06)], axis=1)
    return t.piece(np.concatenate([dense, teeth[::-1]]), plain(toned(t.fabric, 0.82)), "flat", edge=0.8)


def blazer(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Structured shoulders, notched lapels to a single button, cutaway front, flap pockets."""
    tip = t.tip + (0.05 if t.sleeved else 0.06)
    sides = ((0.72, 0.07), (1.1, 0.08), (1.5, 0.08), (2.45, 0.08))
    n, b = t.body.neck, float(t.body.half(2.45, 0.08))
    neck = pts((-0.03, 1.42), (n + 0.04, 0.1), (n + 0.08, -0.12))
    cut = curve(pts((b * 0.7, 2.5), (0.36, 2.5), (0.2, 2.3), (0.02, 1.62), (-0.03, 1.42)), steps=4)
    right = t.front(neck, sides, cut, tip=tip)
    darts = (
        Stroke(curve(pts((0.33, 0.95), (0.28, 1.5), (0.34, 2.0)), steps=3), 0.02, "seam"),
        *t.drag(count=1),
    )
    fronts = t.pair(right, strokes=darts)
    fronts[1] = replace(
        fronts[1], prints=tuple(replace(p, center=tuple(t.body.warp(pts(p.center))[0])) for p in prints)
    )
    welt = t.piece(
        pts((0.3, 0.74), (0.5, 0.70), (0.5, 0.77), (0.3, 0.81)), Fabric(t.inner), "flat", garment=-1
    )
    pockets = t.pair(pocket_flap(0.4, 1.92, 0.17, 0.12, 0.0), toned(t.fabric, 0.86), shade="flat", edge=1.5)
    wear = Wear(
        back=[collar_back(t)], body=[t.under(0.3, 2.2), *fronts], sleeves=t.sleeves(0.085, 0.05, strokes=2)
    )
    wear.over = [*pockets, welt, *lapels(t, 1.44, 0.40), *t.buttons(0.0, (1.5,), 0.06)]
    return landmarked(t, wear, 2.45, 0.08)


def coat(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Long and double-breasted: wide lapels, two columns of buttons, welt pockets, a straight heavy skirt."""
    sides = ((0.72, 0.09), (1.1, 0.13), (1.5, 0.13), (2.3, 0.13), (4.0, 0.36))
    n, b = t.body.neck, float(t.body.half(4.0, 0.36))
    neck = pts((0, 1.0), (n + 0.05, 0.1), (n + 0.08, -0.12))
    body = t.bodice(neck, sides, drop=0.08, tip=t.tip + 0.02)
    closing = Stroke(pts((0.2, 1.05), (0.22, 4.05)), 0.03, contrast(t.fabric.color, soft=True))
    folds = (*t.drag(count=1), *t.falls(1.9, 4.05, 0.6, b, 5), closing)
    welts = t.pair(
        pts((0.42, 1.95), (0.5, 1.92), (0.58, 2.3), (0.5, 2.33)),
        toned(t.fabric, 0.82),
        shade="flat",
        edge=1.4,
    )
    wear = Wear(back=[collar_back(t)], body=[t.under(0.2, 1.6), t.piece(body, strokes=folds, prints=prints)])
    wear.sleeves = t.sleeves(0.10, 0.08, band=0.16, band_fabric=toned(t.fabric, 0.84), strokes=2)
    wear.over = [*welts, *lapels(t, 1.06, 0.52, 0.02)]
    for x in (-0.21, 0.21):
        wear.over += t.buttons(x, (1.22, 1.6, 1.98, 2.36), 0.06)
    return landmarked(t, wear, 4.0, 0.36)


def parka(t: Tailor, prints: tuple[Print, ...]) -> Wear:
    """Long, a hood with a fur edge, a drawstring at the waist, storm flap, big patch pockets."""
    sides = ((0.72, 0.16), (1.1, 0.24), (1.48, 0.17), (1.6, 0.17), (2.2, 0.26), (3.2, 0.26))
    neck = t.vee(0.3, 0.12)
    body = t.bodice(neck, sides, drop=0.06)
    cinch = tuple(
        Stroke(pts((x, 1.36), (x * 0.95, 1.72)), 0.035, "fold") for x in np.linspace(-0.55, 0.55, 9)
    )
    cord = Stroke(curve(pts((-0.8, 1.53), (0, 1.58), (0.8, 1.53)), steps=4), 0.045, contrast(t.fabric.color))
    flap = pts((-0.1, 0.3), (0.1, 0.3), (0.1, 3.24), (-0.1, 3.24))
    pockets = t.pair(
        pts((0.26, 2.1), (0.66, 2.1), (0.66, 2.6), (0.26, 2.6)), toned(t.fabric, 0.94), shade="flat", edge=1.5
    )
    flaps = t.pair(pocket_flap(0.46, 2.06, 0.22, 0.12, 0.05), toned(t.fabric, 0.84), shade="flat", edge=1.5)
    wear = Wear(
        back=hood_back(t, 0.3), body=[t.piece(body, strokes=(*t.drag(1.1), *cinch, cord), prints=prints)]
    )
    wear.sleeves = t.sleeves(0.13, 0.10, bulge=0.03, band=0.12, band_fabric=t.ribbed(), strokes=4)
    tails = [
        t.piece(
            pts((x - 0.02, 1.57), (x + 0.02, 1.57), (x * 1.5 + 0.02, 1.95), (x * 1.5 - 0.02, 1.95)),
            Fabric(contrast(t.fabric.color)),
            "none",
            garment=-1,
        )
        for x in (-0.14, 0.14)
    ]
    wear.over = [
        *pockets,
        *flaps,
        t.piece(flap, toned(t.fabric, 0.95), "flat", edge=1.3),
        *t.buttons(0.0, (0.6, 1.0, 1.3, 1.9, 2.4, 2.9), 0.04),
        *tails,
        *fur(t),
    ]
    wear.back.insert(0, fur_halo(t))
    return landmarked(t, wear, 3.2, 0.26)


OUTERWEAR: dict[str, Builder] = {
    "bomber": bomber,
    "jacket": jacket,
    "hoodie": hoodie,
    "cardigan": cardigan,
    "poncho": poncho,
    "blazer": blazer,
    "coat": coat,
    "parka": parka,
}
"""Category -> its builder."""
