"""Paints a scene with skia on the CPU: fabric, light, folds, prints, edges, shape by shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from fsynth.data import motifs, textures
from fsynth.data.figure import Scene
from fsynth.data.shapes import Color, Fabric, Points, Print, Shape, Stroke, normals
from fsynth.errors import MissingPackage

if TYPE_CHECKING:
    import skia


Ink = str | Color


def _skia() -> ModuleType:
    """skia, or what to install."""
    try:
        import skia
    except ImportError as error:
        hint = "apt-get install libegl1 libgl1" if "lib" in str(error) else "pip install skia-python"
        raise MissingPackage(
            f"drawing needs skia, which does not import ({error}); install it with: {hint}"
        ) from None
    return skia


def draw(scene: Scene, size: int = 128) -> np.ndarray:
    """Paint a scene.

    Args:
        scene: geometry from `fsynth.data.figure.pose`.
        size: side of the square picture in pixels; the same scene can be painted at any size.

    Returns:
        uint8 (size, size, 3) RGB.

    Raises:
        MissingPackage: skia or a system library it needs is absent.
    """
    skia = _skia()
    picture = np.empty((size, size, 4), np.uint8)
    surface = skia.Surface.MakeRasterDirect(
        skia.ImageInfo.Make(size, size, skia.kRGBA_8888_ColorType, skia.kPremul_AlphaType), picture
    )
    painter = _Painter(surface.getCanvas(), size, flat=scene.look == "runway")
    painter.backdrop(scene)
    for shape in scene.shapes:
        painter.shape(shape)
    return np.ascontiguousarray(picture[:, :, :3])


@lru_cache(maxsize=4096)
def _mix(color: Color, other: Color, share: float) -> Color:
    return tuple(round(a + (b - a) * share) for a, b in zip(color, other, strict=True))


def _dark(color: Color) -> bool:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] < 75


def _ink(fabric: Fabric, name: Ink) -> tuple[int, int, int, int]:
    """A tone of a fabric, or a colour, as RGBA."""
    if not isinstance(name, str):
        return (*name, 255) if len(name) == 3 else name
    if name == "blush":
        return (232, 104, 96, 46)
    if name == "light":
        return (255, 255, 255, int(40 + 60 * fabric.sheen) if not _dark(fabric.color) else 40)
    if _dark(fabric.color):
        return (*_mix(fabric.color, (205, 208, 222), 0.5), {"fold": 80, "seam": 150}[name])
    return (*_mix(fabric.color, (22, 14, 40), 0.55), {"fold": 74, "seam": 150}[name])


@lru_cache(maxsize=64)
def _swell(count: int) -> Points:
    """How a fold (count, 1) widens and thins along its way."""
    return np.sin(np.linspace(0.12, np.pi - 0.12, count))[:, None] ** 0.8


def _with_middle(ends: Points) -> Points:
    return np.stack([ends[0], (ends[0] + ends[1]) / 2, ends[1]])


def _by_ink(strokes: tuple[Stroke, ...], size: int) -> dict[tuple[Ink, float], list[Stroke]]:
    """Strokes painted together: folds by ink alone, lines by ink and width; hairlines left out."""
    groups: dict[tuple[Ink, float], list[Stroke]] = {}
    for stroke in strokes:
        if stroke.width * size > 0.3:
            width = 0.0 if stroke.ink in ("fold", "light") else stroke.width
            groups.setdefault((stroke.ink, width), []).append(stroke)
    return groups


@dataclass
class _Painter:
    """The canvas and what is kept between shapes of one picture."""

    canvas: skia.Canvas
    size: int
    flat: bool
    tiles: dict[Fabric, skia.Image | None] = field(default_factory=dict)

    def backdrop(self, scene: Scene) -> None:
        """A soft vertical gradient; a vignette on a stage."""
        import skia

        low = _mix(scene.backdrop, (0, 0, 0), 0.25 if self.flat else 0.07)
        top = _mix(scene.backdrop, (255, 255, 255), 0.03 if self.flat else 0.1)
        shader = skia.GradientShader.MakeLinear(
            [skia.Point(0, 0), skia.Point(0, self.size)], [skia.Color(*top), skia.Color(*low)]
        )
        self.canvas.drawPaint(skia.Paint(Shader=shader, Dither=True))

    def path(self, outline: Points, closed: bool = True) -> skia.Path:
        """Points in the frame -> a path in pixels."""
        import skia

        path = skia.Path()
        self.trace(path, outline, closed)
        return path

    def trace(self, path: skia.Path, outline: Points, closed: bool) -> None:
        """Add points in the frame to a path in pixels."""
        first, *rest = (outline * self.size).tolist()
        path.moveTo(*first)
        line = path.lineTo
        for x, y in rest:
            line(x, y)
        if closed:
            path.close()

    def shape(self, shape: Shape) -> None:
        """Fabric, light, strokes, prints, edge."""
        (left, top), (right, bottom) = shape.outline.min(axis=0), shape.outline.max(axis=0)
        if left > 1.02 or top > 1.02 or right < -0.02 or bottom < -0.02:
            return
        path = self.path(shape.outline)
        if shape.blur:
            self._soft(path, shape)
            return
        if shape.fabric.alpha:
            self.canvas.drawPath(path, self._fill(shape))
        if shape.shade not in ("none",):
            self._light(path, shape)
        if shape.strokes or shape.prints:
            self._inside(path, shape)
        if shape.edge:
            self._edge(path, shape)

    def _soft(self, path: skia.Path, shape: Shape) -> None:
        import skia

        blur = skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, shape.blur * self.size)
        color = skia.Color(*shape.fabric.color, int(255 * shape.fabric.alpha))
        self.canvas.drawPath(path, skia.Paint(AntiAlias=True, Color=color, MaskFilter=blur))

    def _fill(self, shape: Shape) -> skia.Paint:
        import skia

        paint = skia.Paint(
            AntiAlias=True, Color=skia.Color(*shape.fabric.color, int(255 * shape.fabric.alpha))
        )
        pixels = shape.unit * self.size
        if shape.fabric not in self.tiles:
            self.tiles[shape.fabric] = textures.tile(shape.fabric, pixels)
        image = self.tiles[shape.fabric]
        if image is not None:
            x, y = shape.origin[0] * self.size, shape.origin[1] * self.size
            scale = textures.SIDE * pixels / image.width()
            matrix = (
                skia.Matrix()
                .setTranslate(x, y)
                .preRotate(float(np.degrees(shape.angle)))
                .preScale(scale, scale)
            )
            sampling = skia.SamplingOptions(skia.FilterMode.kLinear)
            paint.setShader(image.makeShader(skia.TileMode.kRepeat, skia.TileMode.kRepeat, sampling, matrix))
        return paint

    def _light(self, path: skia.Path, shape: Shape) -> None:
        if self.flat:
            self._hard_shadow(path, shape)
            return
        if shape.shade == "limb":
            self._rim(path, shape)
            return
        for paint in self._lights(path.getBounds(), shape):
            self.canvas.drawPath(path, paint)

    def _lights(self, box: skia.Rect, shape: Shape) -> list[skia.Paint]:
        import skia

        dark, sheen = _dark(shape.fabric.color), shape.fabric.sheen
        shadow = (0, 0, 0) if dark else _mix(shape.fabric.color, (24, 14, 48), 0.75)
        pale = min(shape.fabric.color) > 150
        edge, clear = skia.Color(*shadow, 110 if dark else 52 if pale else 84), skia.Color(*shadow, 0)
        shine = _mix(shape.fabric.color, (255, 255, 255), 0.65)
        glow = skia.Color(*shine, int((60 if dark else 44) + 110 * sheen * sheen))
        blank = skia.Color(*shine, 0)
        if shape.shade == "ball":
            center = skia.Point(box.left() + box.width() * 0.38, box.top() + box.height() * 0.34)
            shader = skia.GradientShader.MakeRadial(
                center, max(box.width(), box.height()) * 0.75 + 0.1, [glow, blank, edge], [0.0, 0.45, 1.0]
            )
            return [skia.Paint(AntiAlias=True, Shader=shader)]
        if shape.shade == "flat":
            ends = [skia.Point(box.left(), box.top()), skia.Point(box.right(), box.bottom())]
            shader = skia.GradientShader.MakeLinear(
                ends, [glow, blank, skia.Color(*shadow, 40)], [0.0, 0.5, 1.0]
            )
            return [skia.Paint(AntiAlias=True, Shader=shader)]
        ends = [skia.Point(box.left(), box.top()), skia.Point(box.right(), box.top() + 0.12 * box.height())]
        across = skia.GradientShader.MakeLinear(
            ends, [edge, clear, glow, clear, edge], [0.0, 0.2, 0.36, 0.55, 1.0]
        )
        paints = [skia.Paint(AntiAlias=True, Shader=across)]
        if shape.shade == "drape":
            down = [skia.Point(0, box.top()), skia.Point(0, box.bottom())]
            shader = skia.GradientShader.MakeLinear(
                down, [clear, clear, skia.Color(*shadow, 60)], [0.0, 0.45, 1.0]
            )
            paints.append(skia.Paint(AntiAlias=True, Shader=shader))
        return paints

    def _rim(self, path: skia.Path, shape: Shape) -> None:
        """Shade towards the outline, more on the side away from the light: roundness that follows a bend."""
        import skia

        dark, unit = _dark(shape.fabric.color), shape.unit * self.size
        shadow = (0, 0, 0) if dark else _mix(shape.fabric.color, (24, 14, 48), 0.75)
        self.canvas.save()
        self.canvas.clipPath(path, skia.ClipOp.kIntersect, True)
        self.canvas.translate(-0.025 * unit, 0.0)
        steps = 3 if unit < 50 else 9
        paint = skia.Paint(AntiAlias=True, Style=skia.Paint.kStroke_Style)
        paint.setColor(skia.Color(*shadow, round((126 if dark else 90) / steps)))
        for width in np.linspace(0.24, 0.06, steps).tolist():
            paint.setStrokeWidth(width * unit)
            self.canvas.drawPath(path, paint)
        self.canvas.restore()

    def _hard_shadow(self, path: skia.Path, shape: Shape) -> None:
        import skia

        self.canvas.save()
        self.canvas.clipPath(path, skia.ClipOp.kIntersect, True)
        moved = skia.Path()
        path.transform(
            skia.Matrix().setTranslate(-0.085 * shape.unit * self.size, -0.03 * shape.unit * self.size), moved
        )
        self.canvas.clipPath(moved, skia.ClipOp.kDifference, True)
        tint = (
            (0, 0, 0, 120)
            if _dark(shape.fabric.color)
            else (*_mix(shape.fabric.color, (30, 12, 60), 0.7), 110)
        )
        self.canvas.drawPaint(skia.Paint(Color=skia.Color(*tint)))
        self.canvas.restore()

    def _inside(self, path: skia.Path, shape: Shape) -> None:
        import skia

        self.canvas.save()
        if shape.fabric.alpha:
            self.canvas.clipPath(path, skia.ClipOp.kIntersect, True)
        for (ink, width), strokes in _by_ink(shape.strokes, self.size).items():
            if ink in ("fold", "light") and not self.flat:
                self._creases(strokes, shape.fabric)
            else:
                self._lines(strokes, ink, width, shape.fabric)
        for item in shape.prints:
            self._print(item)
        self.canvas.restore()

    def _lines(self, strokes: list[Stroke], ink: Ink, width: float, fabric: Fabric) -> None:
        """Seams and drawn lines of one ink and width, in one go."""
        import skia

        paint = skia.Paint(
            AntiAlias=True,
            Style=skia.Paint.kStroke_Style,
            StrokeCap=skia.Paint.kRound_Cap,
            StrokeJoin=skia.Paint.kRound_Join,
        )
        r, g, b, alpha = _ink(fabric, ink)
        path = skia.Path()
        for stroke in strokes:
            self.trace(path, stroke.points, stroke.closed)
        soft = ink == "blush" and not self.flat
        for widen, share in ((1.9, 0.4), (0.8, 0.6)) if soft else ((1.0, 1.0),):
            paint.setColor(skia.Color(r, g, b, int(alpha * share)))
            paint.setStrokeWidth(width * self.size * widen)
            self.canvas.drawPath(path, paint)

    def _creases(self, strokes: list[Stroke], fabric: Fabric) -> None:
        """Folds of cloth of one ink: slivers that swell and taper, on large pictures soft on one side."""
        import skia

        r, g, b, alpha = _ink(fabric, strokes[0].ink)
        fine = strokes[0].width * self.size > 2.5
        for near, far, share in ((0.55, 0.55, 0.7), (1.5, 0.4, 0.45)) if fine else ((1.1, 0.5, 0.9),):
            path = skia.Path()
            for stroke in strokes:
                line = stroke.points if len(stroke.points) > 2 else _with_middle(stroke.points)
                across = normals(line) * _swell(len(line)) * stroke.width
                self.trace(path, np.concatenate([line + across * near, (line - across * far)[::-1]]), True)
            self.canvas.drawPath(
                path, skia.Paint(AntiAlias=True, Color=skia.Color(r, g, b, int(alpha * share)))
            )

    def _print(self, item: Print) -> None:
        import skia

        for mark in motifs.marks(item.motif, item.seed):
            color = skia.Color(*item.colors[mark.color % len(item.colors)])
            paint = skia.Paint(
                AntiAlias=True,
                Color=color,
                StrokeCap=skia.Paint.kRound_Cap,
                StrokeJoin=skia.Paint.kRound_Join,
            )
            if mark.width:
                paint.setStyle(skia.Paint.kStroke_Style)
                paint.setStrokeWidth(mark.width * item.size * self.size)
            self.canvas.drawPath(self.path(mark.points * item.size + item.center, not mark.width), paint)

    def _edge(self, path: skia.Path, shape: Shape) -> None:
        import skia

        fabric = shape.fabric
        if self.flat:
            color, width = (14, 10, 16, 255), 0.045
        elif _dark(fabric.color):
            color, width = (*_mix(fabric.color, (190, 194, 210), 0.38), 170), 0.024
        else:
            color, width = (*_mix(fabric.color, (26, 14, 40), 0.52), 165), 0.026
        paint = skia.Paint(
            AntiAlias=True,
            Style=skia.Paint.kStroke_Style,
            StrokeJoin=skia.Paint.kRound_Join,
            Color=skia.Color(*color),
        )
        paint.setStrokeWidth(width * shape.edge * shape.unit * self.size)
        self.canvas.drawPath(path, paint)
