"""Tailoring: the parts that garments are sewn from (bodices, sleeves, collars, hoods, skirts, legs).

Outlines are designed in heads on the neutral body, right-hand half first, and bent to the pose when they
become a `Shape`. Sleeves follow the posed arms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from fsynth.data.body import Body, arm_outline, bend
from fsynth.data.shapes import (
    Color,
    Fabric,
    Points,
    Print,
    Shape,
    Stroke,
    curve,
    ellipse,
    mirrored,
    pts,
    tube,
)

SLEEVE_ENDS = {"long": 1.96, "short": 0.56, "sleeveless": 0.0, "not stated": 1.22}
"""Where a sleeve ends along the arm: 0 shoulder, 1 elbow, 2 wrist. Not stated: just below the elbow."""


def toned(fabric: Fabric, factor: float) -> Fabric:
    """The same fabric, darker (below 1) or lighter (above 1); very dark ones become lighter instead."""
    if max(fabric.color) < 70:
        factor = 2.0 - factor
    lift = 255 * max(factor - 1.0, 0.0) * 0.35
    color = tuple(int(np.clip(c * min(factor, 1.0) + lift, 0, 255)) for c in fabric.color)
    return replace(fabric, color=color)


def plain(fabric: Fabric, texture: str = "") -> Fabric:
    """The fabric's ground colour without its pattern."""
    return replace(fabric, pattern="plain", texture=texture)


@dataclass
class Wear:
    """A garment on a body: shapes from back to front, and where DeepFashion's landmarks are."""

    back: list[Shape] = field(default_factory=list)
    body: list[Shape] = field(default_factory=list)
    sleeves: list[Shape] = field(default_factory=list)
    over: list[Shape] = field(default_factory=list)
    arms_in_front: bool = False
    arms_behind: bool = False
    collar: Points | None = None
    cuffs: Points | None = None
    waist: Points | None = None
    hem: Points | None = None


@dataclass(frozen=True)
class Tailor:
    """Sews for one person: the body, the cloth, a contrasting trim, the sleeve label and chance."""

    body: Body
    fabric: Fabric
    trim: Fabric
    inner: Color
    sleeve: str
    rng: np.random.Generator

    # --- pieces -------------------------------------------------------------------------------------------

    def piece(
        self,
        outline: Points,
        fabric: Fabric | None = None,
        shade: str = "round",
        strokes: tuple[Stroke, ...] = (),
        prints: tuple[Print, ...] = (),
        edge: float = 1.0,
        garment: int = 0,
    ) -> Shape:
        """A neutral outline, bent to the pose."""
        bent, strokes = bend(self.body, outline, strokes)
        moved = tuple(replace(p, center=tuple(self.body.warp(pts(p.center))[0])) for p in prints)
        return Shape(bent, fabric or self.fabric, shade, strokes, moved, edge, garment=garment)

    def pair(
        self, right: Points, fabric: Fabric | None = None, strokes: tuple[Stroke, ...] = (), **kwargs: object
    ) -> list[Shape]:
        """A right-hand piece and its mirror image."""
        flipped = tuple(replace(s, points=s.points * (-1, 1)) for s in strokes)
        return [
            self.piece(right * (-1, 1), fabric, strokes=flipped, **kwargs),
            self.piece(right, fabric, strokes=strokes, **kwargs),
        ]

    @property
    def sleeved(self) -> bool:
        """Has the garment sleeves at all?"""
        return self.sleeve != "sleeveless"

    @property
    def tip(self) -> float:
        """Distance of the shoulder point from the middle."""
        return self.body.shoulder + (0.085 if self.sleeved else -0.05)

    # --- bodices ------------------------------------------------------------------------------------------

    def flank(
        self, sides: tuple[tuple[float, float], ...], tip: float | None = None, top: float = 0.05
    ) -> Points:
        """Shoulder point, armhole and side seam down to the hem: the right edge of a bodice."""
        tip = self.tip if tip is None else tip
        under = (float(self.body.half(0.66, sides[0][1])), 0.66)
        dip = 0.03 if self.sleeved else -0.07
        armhole = curve(pts((tip, top), (min(tip, under[0] + 0.1) + dip, 0.38), under), steps=4)
        return np.concatenate([armhole, curve(self.body.side(*sides), steps=4)])

    def bodice(
        self,
        neckline: Points,
        sides: tuple[tuple[float, float], ...],
        drop: float = 0.06,
        tip: float | None = None,
    ) -> Points:
        """A front: `neckline` from the middle to the neck point, `sides` as (y, ease), `drop` of the hem."""
        flank = self.flank(sides, tip)
        right = np.concatenate([neckline, flank])
        bottom = flank[-1]
        hem = curve(
            pts(tuple(bottom), (bottom[0] * 0.5, bottom[1] + drop * 0.8), (0, bottom[1] + drop)), steps=3
        )[1:]
        right = np.concatenate([right, hem])
        return np.concatenate([right, mirrored(right)[1:-1]])

    def front(
        self, neckline: Points, sides: tuple[tuple[float, float], ...], edge: Points, tip: float | None = None
    ) -> Points:
        """The right-hand front of an open garment: `edge` runs from the hem up to the neckline's start."""
        return np.concatenate([neckline, self.flank(sides, tip), edge])

    def crew(self, depth: float = 0.08, wide: float = 0.09) -> Points:
        """A round neckline: from the middle front to the neck point."""
        n = self.body.neck + wide
        return curve(pts((0, depth), (n * 0.62, depth - 0.35 * (depth + 0.1)), (n, -0.1)), steps=4)

    def vee(self, depth: float, wide: float = 0.1, x: float = 0.0) -> Points:
        """A V neckline."""
        n = self.body.neck + wide
        return curve(pts((x, depth), (x + (n - x) * 0.6, depth * 0.35), (n, -0.1)), steps=3)

    # --- sleeves ------------------------------------------------------------------------------------------

    def sleeves(
        self,
        ease: float = 0.05,
        cuff: float = 0.03,
        bulge: float = 0.0,
        start: float = 0.0,
        band: float = 0.0,
        band_fabric: Fabric | None = None,
        end: float | None = None,
        strokes: int = 3,
    ) -> list[Shape]:
        """Both sleeves: ease at shoulder and cuff, fullness in between, ribbed bands of a length."""
        end = SLEEVE_ENDS[self.sleeve] if end is None else end
        if not self.sleeved:
            return []
        shapes: list[Shape] = []
        for side in (-1, 1):
            stop = end - band * (1 if end > 1 else 0.6)
            shapes.append(self._sleeve(side, start, stop, ease, cuff, bulge, strokes))
            if band:
                shapes.append(self._band(side, stop - 0.02, end + 0.02, cuff * 0.35 + 0.015, band_fabric))
        return shapes

    def _sleeve(
        self, side: int, start: float, end: float, ease: float, cuff: float, bulge: float, strokes: int
    ) -> Shape:
        t, s = np.linspace(start, end, 13), np.linspace(0, 1, 13)
        half = self.body.arm_half(t) + ease * (1 - s) + cuff * s + bulge * np.sin(np.pi * s**1.4)
        outline = np.concatenate(
            arm_outline(self.body, side, start, end, half, self.tip + ease * 0.35, bulge * 0.6)
        )
        spine = self.body.arm(side, start, end, 13)
        folds = self._sleeve_folds(side, spine, half, end, strokes)
        angle = float(np.arctan2(*(spine[-1] - spine[-3])[::-1]) - np.pi / 2)
        return Shape(outline, self.fabric, "limb", folds, angle=angle, origin=tuple(spine[1]), garment=0)

    def _sleeve_folds(
        self, side: int, spine: Points, half: Points, end: float, count: int
    ) -> tuple[Stroke, ...]:
        """Folds that wrap part of the sleeve, gathering at the elbow."""
        places = ([0.9, 1.06] if end > 1.1 else []) + list(
            self.rng.uniform(0.25, max(end - 0.15, 0.3), count - 1)
        )
        folds = []
        for at in places:
            k = int(np.clip(at / max(end, 0.1) * (len(spine) - 1), 1, len(spine) - 2))
            c, h, lean = spine[k], half[k], self.rng.uniform(0.04, 0.16)
            reach = self.rng.uniform(0.1, 0.7)
            line = pts(
                (c[0] - side * h, c[1] - lean),
                (c[0] - side * h * 0.3, c[1]),
                (c[0] + side * h * reach, c[1] - 0.02),
            )
            folds.append(Stroke(curve(line, steps=3), 0.05, "fold"))
        return tuple(folds)

    def _band(self, side: int, start: float, end: float, ease: float, fabric: Fabric | None) -> Shape:
        spine = self.body.arm(side, start, end, 4)
        half = self.body.arm_half(np.linspace(start, end, 4)) + ease
        angle = float(np.arctan2(*(spine[-1] - spine[0])[::-1]) - np.pi / 2)
        return Shape(
            tube(spine, half), fabric or self.trim, "round", angle=angle, origin=tuple(spine[0]), garment=0
        )

    def cuff_points(self, end: float | None = None) -> Points:
        """Landmarks (2, 2) at the ends of the sleeves, or at the armholes when there are none."""
        end = SLEEVE_ENDS[self.sleeve] if end is None else end
        if not self.sleeved:
            return self.body.warp(pts((-self.tip, 0.1), (self.tip, 0.1)))
        return np.stack([self.body.arm(s, max(end - 0.1, 0), end, 2)[-1] for s in (-1, 1)])

    def both(self, x: float, y: float) -> Points:
        """Two mirrored landmarks, left first, posed."""
        return self.body.warp(pts((-x, y), (x, y)))

    # --- surface ------------------------------------------------------------------------------------------

    def drag(self, waist: float = 1.35, count: int = 3) -> tuple[Stroke, ...]:
        """Soft folds on a bodice: under the bust or chest, and pulled into the waist."""
        strokes = []
        for s in (-1, 1):
            reach = self.rng.uniform(0.16, 0.26)
            arc = curve(pts((s * 0.60, 0.60), (s * 0.47, 0.86), (s * reach, 0.97)), steps=4)
            strokes.append(Stroke(arc, 0.06, "fold"))
            for k in range(count - 1):
                y = waist + 0.2 * k + self.rng.uniform(-0.1, 0.1)
                x = float(self.body.half(y, 0.05))
                line = pts(
                    (s * x, y - 0.1),
                    (s * x * 0.72, y + 0.06),
                    (s * x * self.rng.uniform(0.25, 0.5), y + 0.14),
                )
                strokes.append(Stroke(curve(line, steps=4), 0.05, "fold"))
        return tuple(strokes)

    def falls(
        self, top: float, bottom: float, narrow: float, wide: float, count: int = 6
    ) -> tuple[Stroke, ...]:
        """Folds falling from a waist to a hem, fanning out from half width `narrow` to `wide`."""
        places = np.linspace(-0.85, 0.85, count) + self.rng.uniform(-0.08, 0.08, count)
        strokes = []
        for i, p in enumerate(places):
            start = top + self.rng.uniform(0.0, 0.25) * (bottom - top)
            share = (start - top) / (bottom - top)
            x0 = p * (narrow + (wide - narrow) * share)
            line = curve(
                pts((x0, start), ((x0 + p * wide) / 2 * 0.98, (start + bottom) / 2), (p * wide, bottom)),
                steps=4,
            )
            strokes.append(Stroke(line, 0.055, "fold" if i % 2 else "light"))
        return tuple(strokes)

    def buttons(
        self, x: float, ys: tuple[float, ...], size: float = 0.035, color: Color | None = None
    ) -> list[Shape]:
        """Round buttons in a column."""
        color = color or contrast(self.fabric.color)
        return [
            self.piece(
                ellipse((x, y), size, size, count=10), Fabric(color, sheen=0.6), "flat", edge=0.7, garment=-1
            )
            for y in ys
        ]

    def zip(self, top: float, bottom: float, color: Color = (205, 205, 210)) -> list[Shape]:
        """A zip down the middle with its pull."""
        dark = (45, 45, 50) if sum(self.fabric.color) > 200 else (130, 130, 135)
        line = self.piece(
            pts((-0.028, top), (0.028, top), (0.028, bottom), (-0.028, bottom)),
            Fabric(color, sheen=0.8),
            "none",
            edge=1.0,
            strokes=(Stroke(pts((0, top), (0, bottom)), 0.016, dark),),
            garment=-1,
        )
        pull = self.piece(
            ellipse((0, top + 0.14), 0.026, 0.065, count=10),
            Fabric((235, 235, 240), sheen=0.9),
            "flat",
            garment=-1,
        )
        return [line, pull]

    def under(self, depth: float = 0.1, bottom: float = 2.0) -> Shape:
        """The plain shirt inside an open garment."""
        outline = self.bodice(
            self.crew(depth, 0.08),
            ((0.7, -0.02), (1.2, -0.02), (1.5, 0), (bottom, 0.0)),
            tip=self.body.shoulder,
        )
        return self.piece(outline, Fabric(self.inner), strokes=self.drag(), garment=-1)

    def ribbed(self) -> Fabric:
        """Ribbing in the garment's own colour, a tone apart."""
        return plain(toned(self.fabric, 0.82), "rib")


Builder = Callable[[Tailor, tuple[Print, ...]], Wear]
"""Sews a category; the prints go on its chest."""


def contrast(color: Color, soft: bool = False) -> Color:
    """A button or seam colour that shows on `color`."""
    light = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] > 130
    if soft:
        return (
            tuple(int(c * 0.55) for c in color) if light else tuple(int(c + (255 - c) * 0.5) for c in color)
        )
    return (58, 46, 44) if light else (236, 230, 218)
