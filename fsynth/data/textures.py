"""Patterns and reliefs of cloth as repeating tiles, painted with skia.

A tile covers a square of `SIDE` heads and repeats without a seam: whatever crosses its border is drawn again
on the other side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fsynth.data.shapes import Color, Fabric

if TYPE_CHECKING:
    import skia

SIDE = 1.44


def _paint(color: Color, alpha: int = 255, width: float = 0.0) -> skia.Paint:
    import skia

    paint = skia.Paint(AntiAlias=True, Color=skia.Color(*color, alpha))
    if width:
        paint.setStyle(skia.Paint.kStroke_Style)
        paint.setStrokeWidth(width)
    return paint


def _around(x: float, y: float, reach: float) -> list[tuple[float, float]]:
    """The places where something at (x, y) shows in a tile that repeats."""
    xs = [x] + ([x - SIDE] if x + reach > SIDE else []) + ([x + SIDE] if x - reach < 0 else [])
    ys = [y] + ([y - SIDE] if y + reach > SIDE else []) + ([y + SIDE] if y - reach < 0 else [])
    return [(a, b) for a in xs for b in ys]


def _stripes(canvas: skia.Canvas, colors: tuple[Color, ...], rng: np.random.Generator, sparse: bool) -> None:
    count = 14 if sparse else 9
    step = SIDE / count
    for k in range(0, count, 2) if sparse else range(count):
        color = colors[1] if sparse else colors[k % len(colors)]
        canvas.drawRect((0, k * step, SIDE, k * step + (step * 0.55 if sparse else step)), _paint(color))


def _blocks(canvas: skia.Canvas, colors: tuple[Color, ...], rng: np.random.Generator, sparse: bool) -> None:
    cut = SIDE * rng.uniform(0.42, 0.58)
    for k, rect in enumerate(
        ((0, 0, cut, cut), (cut, 0, SIDE, cut), (0, cut, cut, SIDE), (cut, cut, SIDE, SIDE))
    ):
        canvas.drawRect(rect, _paint(colors[(k + 1) % len(colors)]))


def _plaid(canvas: skia.Canvas, colors: tuple[Color, ...], rng: np.random.Generator, sparse: bool) -> None:
    wide, thin = SIDE / 8, SIDE / 40
    for k in range(4):
        color = colors[1] if sparse else colors[1 + k % (len(colors) - 1)]
        at = k * SIDE / 4
        canvas.drawRect((0, at, SIDE, at + wide), _paint(color, 105 if sparse else 150))
        canvas.drawRect((at, 0, at + wide, SIDE), _paint(color, 105 if sparse else 150))
        line = colors[-1] if not sparse else colors[1]
        canvas.drawRect((0, at + 1.5 * wide, SIDE, at + 1.5 * wide + thin), _paint(line, 170))
        canvas.drawRect((at + 1.5 * wide, 0, at + 1.5 * wide + thin, SIDE), _paint(line, 170))


def _dots(canvas: skia.Canvas, colors: tuple[Color, ...], rng: np.random.Generator, sparse: bool) -> None:
    step = SIDE / 6
    for row in range(6):
        for column in range(6):
            x, y = (column + 0.5 * (row % 2)) * step + 0.05, (row + 0.5) * step
            color = colors[1] if sparse else colors[1 + (row + 2 * column) % (len(colors) - 1)]
            for a, b in _around(x, y, 0.1):
                canvas.drawCircle(a, b, 0.055 if sparse else 0.085, _paint(color))


def _floral(canvas: skia.Canvas, colors: tuple[Color, ...], rng: np.random.Generator, sparse: bool) -> None:
    for k, (cx, cy) in enumerate(_scatter(rng, 7 if sparse else 13)):
        petal = colors[1 + k % (len(colors) - 1)]
        size = rng.uniform(0.085, 0.12) if sparse else rng.uniform(0.1, 0.17)
        turn = rng.uniform(0, 6)
        for x, y in _around(cx, cy, 0.3):
            canvas.drawCircle(
                x + size * 1.5 * np.cos(turn),
                y + size * 1.5 * np.sin(turn),
                size * 0.5,
                _paint((62, 122, 72)),
            )
            for p in range(5):
                a = turn + p * 2 * np.pi / 5
                canvas.drawCircle(
                    x + size * 0.75 * np.cos(a), y + size * 0.75 * np.sin(a), size * 0.6, _paint(petal)
                )
            canvas.drawCircle(x, y, size * 0.42, _paint((250, 206, 70)))


def _scatter(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    """Places spread over the tile, by best candidate (Mitchell, 1991)."""
    found = [rng.uniform(0, SIDE, 2)]
    while len(found) < count:
        tries = rng.uniform(0, SIDE, (8, 2))
        gap = np.abs(tries[:, None] - np.array(found)[None])
        gap = np.minimum(gap, SIDE - gap)
        found.append(tries[np.argmax(np.hypot(gap[..., 0], gap[..., 1]).min(axis=1))])
    return [(float(x), float(y)) for x, y in found]


def _tie_dye(canvas: skia.Canvas, colors: tuple[Color, ...], rng: np.random.Generator, sparse: bool) -> None:
    import skia

    for k, (cx, cy) in enumerate(_scatter(rng, 6)):
        for ring, radius in enumerate((0.36, 0.26, 0.16, 0.08)):
            paint = _paint(colors[1 + (k + ring) % (len(colors) - 1)], 150)
            paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, 0.035))
            for x, y in _around(cx, cy, 0.45):
                canvas.drawCircle(x, y, radius, paint)


def _zigzag(canvas: skia.Canvas, colors: tuple[Color, ...], rng: np.random.Generator, sparse: bool) -> None:
    import skia

    rows, teeth = 6, 8
    for row in range(-1, rows + 1):
        path = skia.Path()
        path.moveTo(-SIDE / teeth, row * SIDE / rows)
        for k in range(teeth * 2 + 3):
            path.lineTo(k * SIDE / teeth / 2, (row + 0.45 * (k % 2)) * SIDE / rows)
        color = colors[1] if sparse else colors[1 + row % (len(colors) - 1)]
        canvas.drawPath(path, _paint(color, 255, 0.07 if sparse else 0.13))


def _patches(canvas: skia.Canvas, colors: tuple[Color, ...], rng: np.random.Generator, sparse: bool) -> None:
    for k, (cx, cy) in enumerate(_scatter(rng, 10)):
        rx, ry = rng.uniform(0.14, 0.26, 2)
        for x, y in _around(cx, cy, 0.35):
            canvas.drawOval((x - rx, y - ry, x + rx, y + ry), _paint(colors[1 + k % (len(colors) - 1)]))


def _leopard(canvas: skia.Canvas, colors: tuple[Color, ...], rng: np.random.Generator, sparse: bool) -> None:
    for cx, cy in _scatter(rng, 26):
        size = rng.uniform(0.05, 0.085)
        for x, y in _around(cx, cy, 0.2):
            canvas.drawCircle(x, y, size, _paint(colors[1], 255, size * 0.7))


_PATTERNS: dict[str, Callable[[skia.Canvas, tuple[Color, ...], np.random.Generator, bool], None]] = {
    "stripes": _stripes,
    "blocks": _blocks,
    "plaid": _plaid,
    "dots": _dots,
    "floral": _floral,
    "tie-dye": _tie_dye,
    "zigzag": _zigzag,
    "patches": _patches,
    "leopard": _leopard,
}


def _lines(
    canvas: skia.Canvas, pitch: int, alpha: int, dark: Color, slant: float = 0.0, width: float = 0.35
) -> None:
    step = SIDE / pitch
    paint = _paint(dark, alpha, step * width)
    for k in range(-pitch if slant else 0, pitch + 1):
        canvas.drawLine((k + 0.5) * step, 0, (k + 0.5) * step + slant * SIDE, SIDE, paint)


def _relief(canvas: skia.Canvas, texture: str, ink: Color, rng: np.random.Generator) -> None:
    if texture == "rib":
        _lines(canvas, 18, 105, ink)
    elif texture == "knit":
        _stitches(canvas, ink)
    elif texture == "denim":
        _lines(canvas, 30, 30, (255, 255, 255), slant=0.5)
    elif texture == "lace":
        canvas.drawPath(_grid_of_dots(10, 0.045), _paint(ink, 110, 0.03))
    elif texture == "mesh":
        canvas.drawPath(_grid_of_dots(16, 0.02), _paint(ink, 40))
    elif texture == "fur":
        canvas.drawPath(_hairs(rng), _paint(ink, 70, 0.02))


def _grid_of_dots(count: int, radius: float) -> skia.Path:
    import skia

    path, step = skia.Path(), SIDE / count
    for row in range(count):
        for column in range(count):
            path.addCircle((column + 0.5 * (row % 2) + 0.25) * step, (row + 0.5) * step, radius)
    return path


def _hairs(rng: np.random.Generator) -> skia.Path:
    import skia

    path = skia.Path()
    for x, y, lean in rng.uniform((0, 0, -0.05), (SIDE, SIDE, 0.05), (90, 3)).tolist():
        path.moveTo(x, y)
        path.lineTo(x + lean, y + 0.09)
    return path


def _stitches(canvas: skia.Canvas, ink: Color, columns: int = 12, rows: int = 18) -> None:
    """Columns of small v shapes."""
    import skia

    path, w, h = skia.Path(), SIDE / columns, SIDE / rows
    for column in range(columns):
        for row in range(rows):
            x, y = (column + 0.5) * w, row * h
            path.moveTo(x - 0.42 * w, y)
            path.lineTo(x, y + 0.8 * h)
            path.lineTo(x + 0.42 * w, y)
    canvas.drawPath(path, _paint(ink, 60, 0.022))


_SMOOTH = ("", "leather", "velvet", "chiffon", "fleece")


def tile(fabric: Fabric, pixels: float) -> skia.Image | None:
    """A tile of a fabric, or None when it is one even colour.

    Args:
        fabric: ground colour, pattern, relief.
        pixels: pixels in the picture for one head; the tile is painted at that density.
    """
    import skia

    name, _, sparse = fabric.pattern.partition(", ")
    if name not in _PATTERNS and fabric.texture in _SMOOTH:
        return None
    side = max(8, round(SIDE * pixels))
    surface = skia.Surface(side, side)
    canvas = surface.getCanvas()
    canvas.clear(skia.Color(*fabric.color))
    canvas.scale(side / SIDE, side / SIDE)
    rng = np.random.default_rng(fabric.seed)
    if name in _PATTERNS:
        _PATTERNS[name](canvas, fabric.palette, rng, bool(sparse))
    dark = max(fabric.color) < 90
    _relief(
        canvas, fabric.texture, (225, 225, 232) if dark else tuple(int(c * 0.35) for c in fabric.color), rng
    )
    return surface.makeImageSnapshot()
