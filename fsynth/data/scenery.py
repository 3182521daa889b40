"""What stands around figures: a street with its clutter, and a stage. Shapes in the frame's unit square."""

from __future__ import annotations

import numpy as np

from fsynth.data.shapes import Color, Fabric, Points, Shape, Stroke, curve, ellipse, pts

_WALLS: tuple[Color, ...] = (
    (188, 160, 138),
    (166, 172, 180),
    (206, 194, 172),
    (150, 126, 118),
    (176, 184, 170),
    (120, 132, 150),
)
_BAGS: tuple[Color, ...] = ((120, 70, 44), (40, 40, 46), (196, 160, 110), (150, 40, 50), (60, 90, 110))


def sky_tone(rng: np.random.Generator) -> Color:
    """A pale sky."""
    warm = rng.uniform(-12, 14)
    return int(206 + warm), int(218 + warm * 0.4), int(230 - warm * 0.5)


def stage_tone(rng: np.random.Generator) -> Color:
    """A dark stage with a hint of a hue."""
    tints = ((30, 28, 44), (40, 26, 36), (22, 34, 44), (34, 32, 34))
    return tints[int(rng.integers(len(tints)))]


def _box(x1: float, y1: float, x2: float, y2: float) -> Points:
    return pts((x1, y1), (x2, y1), (x2, y2), (x1, y2))


def _thing(
    outline: Points,
    color: Color,
    shade: str = "flat",
    strokes: tuple[Stroke, ...] = (),
    edge: float = 0.8,
    **more: float,
) -> Shape:
    return Shape(outline, Fabric(color), shade, strokes, edge=edge, unit=0.12, **more)


def street(rng: np.random.Generator) -> list[Shape]:
    """Houses with windows and shops, trees, road and pavement."""
    ground = float(rng.uniform(0.60, 0.66))
    shapes, x = [], -0.05
    while x < 1.0:
        width = float(rng.uniform(0.18, 0.4))
        shapes += _house(x, x + width, float(rng.uniform(-0.1, 0.25)), ground, rng)
        x += width
    shapes.append(_thing(_box(-0.1, ground, 1.1, 1.1), (168, 166, 164), "drape", edge=0.5))
    shapes.append(_thing(_box(-0.1, ground, 1.1, ground + 0.03), (142, 140, 140), edge=0.4))
    joints = [
        Stroke(pts((0.5 + k * 0.09, ground + 0.03), (0.5 + k * 0.34, 1.1)), 0.003, (130, 128, 128))
        for k in range(-7, 8)
    ]
    shapes.append(
        _thing(_box(-0.1, ground + 0.03, 1.1, 1.1), (176, 173, 170), "drape", tuple(joints), edge=0)
    )
    for _ in range(rng.integers(1, 3)):
        shapes += _tree(float(rng.uniform(0, 1)), ground + 0.02, float(rng.uniform(0.12, 0.2)), rng)
    return shapes


def _house(x1: float, x2: float, top: float, ground: float, rng: np.random.Generator) -> list[Shape]:
    wall = _WALLS[rng.integers(len(_WALLS))]
    shapes = [_thing(_box(x1, top, x2, ground), wall, "drape")]
    columns, glass = int(rng.integers(2, 4)), (int(rng.integers(96, 150)), 132, 148)
    step = (x2 - x1) / columns
    for y in np.arange(top + 0.04, ground - 0.28, 0.15):
        for c in range(columns):
            a = x1 + (c + 0.25) * step
            shapes.append(_thing(_box(a, y, a + step * 0.5, y + 0.09), glass, "drape", edge=1.0))
    shop = _thing(_box(x1 + 0.02, ground - 0.17, x2 - 0.02, ground), (70, 78, 88), "drape")
    colors = ((176, 60, 60), (60, 110, 96), (206, 170, 84), (84, 92, 140))
    y = ground - 0.19
    awning = _thing(
        pts((x1 + 0.01, y), (x2 - 0.01, y), (x2 + 0.01, y + 0.05), (x1 - 0.01, y + 0.05)),
        colors[rng.integers(4)],
        "drape",
    )
    return [*shapes, shop, awning]


def _tree(x: float, ground: float, size: float, rng: np.random.Generator) -> list[Shape]:
    trunk = _thing(_box(x - 0.012, ground - 2.1 * size, x + 0.012, ground), (98, 76, 60), "round")
    angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    radius = size * (0.85 + 0.12 * (np.arange(18) % 2)) * rng.uniform(0.9, 1.08, 18)
    crown = np.stack([x + radius * np.cos(angle), ground - 2.3 * size + radius * np.sin(angle)], axis=1)
    green = (int(rng.integers(70, 110)), int(rng.integers(120, 150)), 76)
    return [trunk, _thing(curve(crown, True, 4), green, "ball")]


def in_front(rng: np.random.Generator, main: Points, scale: float) -> list[Shape]:
    """Things that may stand before the figures: a bag in hand, a lamp post, a bollard, a planter."""
    shapes: list[Shape] = []
    if rng.random() < 0.5:
        shapes += _bag(
            float(main[0] + rng.choice([-1.0, 1.0]) * scale * rng.uniform(0.8, 1.3)),
            float(main[1] + 2.6 * scale),
            scale,
            rng,
        )
    if rng.random() < 0.45:
        shapes += _lamp_post(float(main[0] + rng.choice([-1.0, 1.0]) * rng.uniform(0.02, 0.3)))
    if rng.random() < 0.4:
        shapes += _planter(float(rng.uniform(0.05, 0.95)), rng)
    return shapes


def _bag(x: float, y: float, s: float, rng: np.random.Generator) -> list[Shape]:
    color = _BAGS[rng.integers(len(_BAGS))]
    w, h = s * rng.uniform(0.5, 0.8), s * rng.uniform(0.7, 1.0)
    body = curve(
        pts((x - w * 0.9, y), (x + w * 0.9, y), (x + w, y + h), (x, y + h * 1.05), (x - w, y + h)), True, 4
    )
    ring = ellipse((x, y), w * 0.5, h * 0.7)
    handle = Stroke(ring, s * 0.09, color, closed=True)
    hoop = Shape(_box(x - w, y - h, x + w, y), Fabric(color, alpha=0.0), "none", (handle,), edge=0, unit=s)
    flap = Stroke(
        pts((x - w * 0.9, y + h * 0.35), (x, y + h * 0.5), (x + w * 0.9, y + h * 0.35)), s * 0.05, "seam"
    )
    return [hoop, Shape(body, Fabric(color, sheen=0.6), "round", (flap,), unit=s)]


def _lamp_post(x: float) -> list[Shape]:
    pole = _thing(_box(x - 0.011, 0.06, x + 0.011, 0.97), (52, 56, 62), "round")
    foot = _thing(
        pts((x - 0.022, 0.86), (x + 0.022, 0.86), (x + 0.03, 0.98), (x - 0.03, 0.98)), (46, 50, 56), "round"
    )
    lamp = _thing(
        pts((x - 0.03, 0.02), (x + 0.03, 0.02), (x + 0.02, 0.09), (x - 0.02, 0.09)), (246, 232, 190), "round"
    )
    return [pole, foot, lamp]


def _planter(x: float, rng: np.random.Generator) -> list[Shape]:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    leaves = np.stack(
        [x + 0.085 * np.cos(angle) * rng.uniform(0.7, 1.1, 12), 0.84 + 0.08 * np.sin(angle)], axis=1
    )
    pot = pts((x - 0.07, 0.87), (x + 0.07, 0.87), (x + 0.055, 1.02), (x - 0.055, 1.02))
    return [_thing(curve(leaves, True, 4), (74, 122, 72), "ball"), _thing(pot, (150, 92, 70), "round")]


def stage(x: float, dark: Color, rng: np.random.Generator) -> list[Shape]:
    """A catwalk in perspective, a cone of light, the audience's heads."""
    lit = tuple(min(c + 62, 255) for c in dark)
    walk = _thing(
        pts((x - 0.13, 0.6), (x + 0.13, 0.6), (x + 0.42, 1.05), (x - 0.42, 1.05)), lit, "drape", edge=0
    )
    cone = Shape(
        pts((x - 0.05, -0.1), (x + 0.05, -0.1), (x + 0.36, 1.0), (x - 0.36, 1.0)),
        Fabric((255, 244, 214), alpha=0.20),
        "none",
        edge=0,
        blur=0.03,
    )
    pool = Shape(ellipse((x, 0.93), 0.3, 0.06), Fabric((255, 240, 205), alpha=0.5), "none", edge=0, blur=0.02)
    shade = tuple(int(c * 0.6) for c in dark)
    heads = [
        _thing(ellipse((at + rng.uniform(-0.02, 0.02), 0.92 + abs(at - x) * 0.1), 0.045, 0.06), shade, edge=0)
        for at in np.arange(0.04, 1.0, 0.1)
        if abs(at - x) > 0.33
    ]
    return [walk, cone, pool, *heads]
