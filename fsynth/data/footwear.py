"""Shoes seen from the front: heels, flats, sneakers, boots."""

from __future__ import annotations

import numpy as np

from fsynth.data.body import Body
from fsynth.data.shapes import Color, Fabric, Points, Shape, curve, pts

KINDS = ("heel", "flat", "sneaker", "boot")
COLORS: tuple[Color, ...] = ((38, 34, 36), (92, 60, 44), (222, 216, 208), (150, 60, 60))
_HEEL = pts(
    (-0.09, -0.05), (-0.06, 0.2), (-0.02, 0.37), (0.1, 0.37), (0.15, 0.2), (0.09, -0.05), (0.02, 0.16)
)
_INSTEP = pts((-0.085, -0.1), (0.085, -0.1), (0.12, 0.2), (-0.03, 0.2))
_TOE = pts((-0.13, 0.0), (-0.12, 0.2), (-0.1, 0.34), (0.05, 0.375), (0.2, 0.34), (0.22, 0.2), (0.13, 0.0))
_SOLE = pts((-0.125, 0.28), (0.235, 0.28), (0.225, 0.385), (-0.11, 0.385))


def shoe(body: Body, side: int, kind: str, color: Color) -> list[Shape]:
    """One shoe of a kind in `KINDS`, posed; side -1 is left in the picture, 1 right."""
    ankle, leather = body.leg(side)[-1], Fabric(color, sheen=0.6)

    def placed(outline: Points) -> Points:
        return body.warp(outline * (side, 1) + ankle)

    if kind == "heel":
        instep = Shape(placed(curve(_INSTEP, True, 3)), body.cloth, edge=0.4)
        return [instep, Shape(placed(curve(_HEEL, True, 4)), leather, "ball")]
    top, wide = (-0.75, 0.155) if kind == "boot" else (-0.1, 0.11)
    upper = pts((wide, top), (-wide, top))
    shapes = [Shape(placed(np.concatenate([upper, curve(_TOE, steps=4)])), leather, "ball")]
    if kind == "sneaker":
        shapes.append(Shape(placed(_SOLE), Fabric((245, 244, 240)), "flat", edge=0.6))
    return shapes
