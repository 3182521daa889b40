"""Heads: faces in a few strokes and hair with a shape, both telling women from men.

Built upright around the pit of the neck, then tilted about the chin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fsynth.data.body import Body
from fsynth.data.shapes import Color, Fabric, Points, Shape, Stroke, curve, ellipse, mirrored, pts, turned

HAIR_COLORS: tuple[Color, ...] = (
    (34, 27, 27),
    (58, 40, 32),
    (92, 60, 40),
    (128, 72, 44),
    (196, 152, 96),
    (222, 188, 132),
)
WOMEN_STYLES = ("long", "waves", "bob", "bun", "ponytail", "curls")
MEN_STYLES = ("crop", "quiff", "side", "buzz", "short curls")


@dataclass(frozen=True)
class Head:
    """What a head looks like."""

    style: str
    hair: Color
    lips: Color
    beard: float
    part: float


def draw_head(rng: np.random.Generator, gender: str, skin: Color) -> Head:
    """Hair style, hair colour, lips and beard at random; dark skin takes dark hair."""
    dark = sum(skin) < 420
    colors = HAIR_COLORS[: 3 if dark else len(HAIR_COLORS)]
    hair = colors[rng.integers(len(colors))]
    styles = WOMEN_STYLES if gender == "female" else MEN_STYLES
    rouge = np.array([186, 44, 62]) * rng.uniform(0.85, 1.05)
    red = 0.72 * rouge + 0.28 * np.array(skin) if gender == "female" else np.array(skin) * 0.74
    return Head(
        style=str(styles[rng.integers(len(styles))]),
        hair=hair,
        lips=(int(red[0]), int(red[1]), int(red[2])),
        beard=float(rng.uniform(0.25, 0.8)) if gender == "male" and rng.random() < 0.55 else 0.0,
        part=float(rng.uniform(-1, 1)),
    )


def _tilt_all(body: Body, shapes: list[Shape]) -> list[Shape]:
    """Upright heads -> tilted about the chin and posed."""
    parts = [p for s in shapes for p in (s.outline, *(k.points for k in s.strokes))]
    posed = body.warp(turned(np.concatenate(parts), body.stance.head_tilt, _CHIN))
    pieces = iter(np.split(posed, np.cumsum([len(p) for p in parts])[:-1]))
    return [
        replace(
            s,
            outline=next(pieces),
            strokes=tuple(Stroke(next(pieces), k.width, k.ink, k.closed) for k in s.strokes),
        )
        for s in shapes
    ]


_CHIN = (0.0, -0.35)


def _half_face(gender: str) -> Points:
    if gender == "female":
        return pts(
            (0, -1.27),
            (0.24, -1.2),
            (0.355, -0.95),
            (0.34, -0.70),
            (0.25, -0.46),
            (0.10, -0.305),
            (0, -0.285),
        )
    return pts(
        (0, -1.27), (0.26, -1.2), (0.375, -0.95), (0.37, -0.68), (0.315, -0.43), (0.16, -0.285), (0, -0.265)
    )


def _face_outline(gender: str) -> Points:
    right = _half_face(gender)
    return curve(np.concatenate([right, mirrored(right)[1:-1]]), closed=True, steps=3)


def face(body: Body, head: Head) -> list[Shape]:
    """Ears, face and features, posed."""
    turn = 0.05 * body.stance.head_turn
    outline = _face_outline(body.gender)
    ears = [Shape(ellipse((s * 0.365, -0.74), 0.05, 0.1), body.cloth, "flat", edge=0.6) for s in (-1, 1)]
    blush = tuple(
        Stroke(pts((s * 0.2 + turn, -0.6), (s * 0.22 + turn, -0.59)), 0.13, "blush") for s in (-1, 1)
    )
    strokes = (blush if body.gender == "female" else ()) + _beard(head) + _nose(turn)
    skull = Shape(outline, body.cloth, "ball", strokes, edge=0.6)
    return _tilt_all(body, [*ears, skull, *_eyes(body, turn), *_mouth(body, head, turn)])


def _nose(turn: float) -> tuple[Stroke, ...]:
    x = turn * 1.4
    return (
        Stroke(pts((x + 0.035, -0.78), (x + 0.05, -0.66), (x + 0.055, -0.62)), 0.022, "seam"),
        Stroke(pts((x - 0.045, -0.605), (x, -0.59), (x + 0.05, -0.605)), 0.026, "seam"),
    )


def _beard(head: Head) -> tuple[Stroke, ...]:
    if not head.beard:
        return ()
    jaw = curve(
        pts(
            (-0.36, -0.72),
            (-0.32, -0.46),
            (-0.16, -0.31),
            (0, -0.29),
            (0.16, -0.31),
            (0.32, -0.46),
            (0.36, -0.72),
        ),
        steps=4,
    )
    lip = curve(pts((-0.13, -0.48), (-0.08, -0.555), (0, -0.56), (0.08, -0.555), (0.13, -0.48)), steps=4)
    ink = (*(int(c * 0.8) for c in head.hair), round(225 * head.beard))
    return (Stroke(jaw, 0.17, ink), Stroke(lip, 0.05, ink))


def _eyes(body: Body, turn: float) -> list[Shape]:
    brow_color, shapes = (52, 38, 34), []
    female = body.gender == "female"
    for s in (-1, 1):
        x = s * 0.155 + turn
        lid = curve(pts((x - s * 0.075, -0.785), (x, -0.835), (x + s * 0.085, -0.80)), steps=4)
        under = pts((x + s * 0.03, -0.765), (x - s * 0.03, -0.765))
        white = Shape(np.concatenate([lid, under]), Fabric((250, 248, 245)), "none", edge=0)
        iris = Shape(
            ellipse((x + turn * 0.3, -0.797), 0.037, 0.04, count=10), Fabric((48, 34, 30)), "none", edge=0
        )
        lash = Shape(_ribbon(lid, 0.024 if female else 0.014), Fabric((32, 24, 26)), "none", edge=0)
        rise = 0.03 if female else 0.012
        arch = pts((x - s * 0.085, -0.905), (x + s * 0.02, -0.915 - rise), (x + s * 0.115, -0.895))
        brow = Shape(
            _ribbon(curve(arch, steps=3), 0.014 if female else 0.028), Fabric(brow_color), "none", edge=0
        )
        shapes += [white, iris, lash, brow]
    return shapes


def _ribbon(line: Points, half: float) -> Points:
    taper = half * np.sin(np.linspace(0.25, np.pi - 0.25, len(line)))[:, None]
    return np.concatenate([line - taper * (0, 1), (line + taper * (0, 1))[::-1]])


def _mouth(body: Body, head: Head, turn: float) -> list[Shape]:
    w, h = (0.105, 0.042) if body.gender == "female" else (0.11, 0.026)
    x, y = turn * 1.2, -0.475
    upper = curve(
        pts((x - w, y), (x - w * 0.35, y - h), (x, y - h * 0.6), (x + w * 0.35, y - h), (x + w, y)), steps=3
    )
    lower = curve(pts((x + w, y), (x, y + h * 1.25), (x - w, y)), steps=4)
    line = Stroke(pts((x - w * 0.9, y), (x + w * 0.9, y)), 0.012, (90, 30, 36))
    return [Shape(np.concatenate([upper, lower]), Fabric(head.lips), "none", (line,), edge=0)]


def _strands(side: Points, wave: float) -> tuple[Stroke, ...]:
    """Shine and shadow that follow the hair's side line towards the middle."""
    strokes = []
    for k, share in enumerate((0.9, 0.78, 0.66, 0.52, 0.36)):
        line = curve(side, steps=4)
        bend = wave * np.sin(line[:, 1] * 9 + 2 * k)
        for s in (-1, 1):
            points = np.stack([s * (line[:, 0] * share + bend), line[:, 1]], axis=1)
            strokes.append(Stroke(points, 0.035, "light" if k % 2 else "fold"))
    return tuple(strokes)


_BACK_SIDES = {
    "long": ((0.43, -0.95), (0.45, -0.5), (0.43, 0.0), (0.44, 0.4), (0.36, 0.66), (0.2, 0.7)),
    "waves": (
        (0.46, -0.95),
        (0.53, -0.55),
        (0.50, -0.2),
        (0.60, 0.1),
        (0.52, 0.42),
        (0.34, 0.62),
        (0.2, 0.6),
    ),
    "bob": ((0.45, -0.95), (0.49, -0.55), (0.47, -0.26), (0.36, -0.15), (0.2, -0.18)),
    "bun": ((0.37, -0.95), (0.36, -0.7), (0.25, -0.5)),
    "ponytail": ((0.38, -0.95), (0.37, -0.7), (0.25, -0.5)),
}


def _cloud(rx: float, ry: float, first: float, last: float, bumps: int) -> Points:
    """Part of a ring with round bumps, from angle `first` to `last` (radians, 0 to the right, clockwise)."""
    angle = np.linspace(first, last, bumps * 6 + 1)
    swell = 1 + 0.07 * np.abs(np.sin((angle - first) / (last - first) * np.pi * bumps))
    return np.stack([rx * swell * np.cos(angle), -0.82 + ry * swell * np.sin(angle)], axis=1)


def hair_back(body: Body, head: Head) -> list[Shape]:
    """Hair behind the neck and shoulders, posed."""
    fabric = Fabric(tuple(int(c * 0.78) for c in head.hair), sheen=0.3)
    if head.style == "curls":
        mane = _cloud(0.60, 0.60, np.pi * 0.78, np.pi * 2.22, 15)
        return _tilt_all(body, [Shape(mane, fabric, "ball", edge=0.8)])
    if head.style not in _BACK_SIDES:
        return []
    side = np.array(_BACK_SIDES[head.style])
    right = np.concatenate([pts((0, -1.4), (0.27, -1.32)), side])
    outline = curve(np.concatenate([right, mirrored(right)[:-1]]), closed=True, steps=4)
    wave = 0.03 if head.style == "waves" else 0.0
    return _tilt_all(
        body, [Shape(outline, fabric, "drape", _strands(side[:-1], wave), edge=0.8), *_tied(head, fabric)]
    )


def _tied(head: Head, fabric: Fabric) -> list[Shape]:
    if head.style == "bun":
        swirl = Stroke(
            curve(pts((-0.08, -1.38), (0.02, -1.5), (0.16, -1.42), (0.08, -1.34)), steps=4), 0.03, "light"
        )
        return [Shape(ellipse((0.04, -1.40), 0.21, 0.17), fabric, "ball", (swirl,))]
    if head.style != "ponytail":
        return []
    s = 1 if head.part > 0 else -1
    tail = pts(
        (0.2, -1.2),
        (0.5, -1.05),
        (0.62, -0.6),
        (0.58, -0.1),
        (0.66, 0.3),
        (0.5, 0.1),
        (0.42, -0.4),
        (0.3, -0.8),
    )
    shine = Stroke(curve(pts((0.4, -0.98), (0.53, -0.55), (0.54, -0.05)) * (s, 1), steps=4), 0.04, "light")
    return [Shape(curve(tail * (s, 1), True, 4), fabric, "drape", (shine,))]


def hair_front(body: Body, head: Head) -> list[Shape]:
    """Hair over the forehead and temples, posed."""
    if body.gender == "male":
        return _tilt_all(body, _short_hair(head))
    return _tilt_all(body, _curly_fringe(head) if head.style == "curls" else _framing_hair(head))


def _curly_fringe(head: Head) -> list[Shape]:
    outer = _cloud(0.52, 0.56, np.pi * 0.98, np.pi * 2.02, 10)
    inner = pts(
        (0.36, -0.62),
        (0.33, -0.92),
        (0.2, -1.08),
        (0.0, -1.12),
        (-0.2, -1.08),
        (-0.33, -0.92),
        (-0.36, -0.62),
    )
    curls = tuple(
        Stroke(
            curve(pts((x - 0.07, y), (x, y - 0.06), (x + 0.07, y), (x + 0.02, y + 0.05)), steps=3),
            0.03,
            "light",
        )
        for x, y in ((-0.3, -1.15), (-0.1, -1.27), (0.12, -1.25), (0.32, -1.13), (-0.42, -0.9), (0.43, -0.9))
    )
    return [
        Shape(
            np.concatenate([outer, curve(inner, steps=3)]),
            Fabric(head.hair, sheen=0.4),
            "ball",
            curls,
            edge=0.6,
        )
    ]


def _framing_hair(head: Head) -> list[Shape]:
    """Two curtains from a parting, down to where the style ends in front."""
    fabric, p = Fabric(head.hair, sheen=0.5), 0.16 * head.part
    low = {"long": 0.12, "waves": 0.0, "bob": -0.3}.get(head.style, -0.76)
    wide = {"waves": 0.07, "bob": 0.06, "long": 0.02}.get(head.style, 0.0)
    shapes = []
    for s in (-1, 1):
        outer = pts(
            (p, -1.37),
            (s * 0.25, -1.34),
            (s * (0.40 + wide * 0.7), -1.08),
            (s * (0.43 + wide), -0.7),
            (s * (0.42 + wide), low),
        )
        inner = pts(
            (s * (0.40 + wide), low - 0.02),
            (s * 0.345, min(low, -0.6) - 0.1),
            (s * 0.335, -0.86),
            (s * 0.28, -1.0),
            (p + s * 0.1, -1.13),
            (p, -1.2),
        )
        shine = Stroke(
            curve(pts((p + s * 0.05, -1.24), (s * 0.27, -1.19), (s * 0.38, -0.92)), steps=4), 0.05, "light"
        )
        lock = Stroke(curve(pts((s * 0.36, -1.0), (s * 0.4, -0.6), (s * 0.385, low)), steps=4), 0.022, "fold")
        outline = np.concatenate([curve(outer, steps=4), curve(inner, steps=4)])
        shapes.append(Shape(outline, fabric, "flat", (shine, lock), edge=0.6))
    return shapes


def _short_hair(head: Head) -> list[Shape]:
    fabric = Fabric(head.hair, sheen=0.5)
    lift = {"quiff": 0.17, "side": 0.08, "crop": 0.05, "buzz": 0.015, "short curls": 0.13}[head.style]
    s = 1 if head.part > 0 else -1
    outer = pts(
        (-0.39, -0.78),
        (-0.41, -1.02),
        (-0.3, -1.27 - lift * 0.6),
        (s * 0.05, -1.32 - lift),
        (0.3, -1.27 - lift * 0.7),
        (0.41, -1.02),
        (0.39, -0.78),
    )
    if head.style == "short curls":
        outer = _cloud(0.405, 0.50, np.pi * 0.99, np.pi * 2.01, 9)
    front = {"quiff": -1.16, "side": -1.12, "crop": -1.10, "buzz": -1.14, "short curls": -1.08}[head.style]
    inner = pts(
        (0.35, -0.80),
        (0.335, -0.98),
        (0.22, front + 0.02),
        (-s * 0.1, front - 0.03),
        (-0.22, front + 0.02),
        (-0.335, -0.98),
        (-0.35, -0.80),
    )
    shine = Stroke(
        curve(pts((-0.28, -1.2), (s * 0.04, -1.26 - lift * 0.5), (0.28, -1.2)), steps=4), 0.06, "light"
    )
    outline = np.concatenate([curve(outer, steps=3), curve(inner, steps=3)])
    return [Shape(outline, fabric, "flat", (shine,), edge=0.7)]
