"""What is where in a drawn picture: the seven labels of the benchmark's segmentation (`b_` in `G2.h5`).

0 background, 1 hair, 2 face and neck, 3 upper clothes, 4 lower clothes and dresses, 5 legs and shoes, 6 arms.
A scene keeps its shapes in heads around the wearer's neck (`Shape.origin`, `Shape.unit`), so what is no
garment is told by its place and whether it has the colour of skin.
"""

from __future__ import annotations

import numpy as np

from fsynth.data.body import SKINS
from fsynth.data.figure import Scene
from fsynth.data.shapes import Shape

BACKGROUND, HAIR, FACE, UPPER, LOWER, LEGS, ARMS = range(7)
_LOWER_GARMENTS = ("dress", "jumpsuit", "romper")
_CHIN, _SHIN = -0.2, 5.0
_HIP = 1.9  # legs begin below it, arms above


def segment(scene: Scene, size: int) -> np.ndarray:
    """Paint a scene's labels: uint8 (size, size), 0..6."""
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (size, size), BACKGROUND)
    brush = ImageDraw.Draw(canvas)
    garments = _garment_labels(scene)
    for shape in scene.shapes:
        label = garments.get(id(shape.outline), None)
        label = _label(shape) if label is None else label
        if label is not None:
            brush.polygon([tuple(point) for point in shape.outline * size], fill=label)
    return np.array(canvas)


def _garment_labels(scene: Scene) -> dict[int, int]:
    """Outline (by identity: the garments' polygons are the shapes' outlines) -> label."""
    found = {}
    for garment in scene.garments:
        low = garment.kind == "lower" or garment.category in _LOWER_GARMENTS
        found |= {id(polygon): LOWER if low else UPPER for polygon in garment.polygons}
    return found


def _label(shape: Shape) -> int | None:
    """The label of a shape that belongs to no garment; None for shadows and light."""
    if shape.fabric.alpha < 1 or shape.blur:
        return None
    if shape.origin == (0.0, 0.0):
        return BACKGROUND  # scenery: it was never placed with a person
    outline = (shape.outline - shape.origin) / shape.unit
    middle = float(outline[:, 1].min() + outline[:, 1].max()) / 2
    bare = shape.fabric.color in SKINS
    if middle < _CHIN:
        return FACE if bare or shape.shade == "none" else HAIR
    if bare:
        return _label_skin(outline)
    return LEGS if middle > _SHIN else UPPER


def _label_skin(outline: np.ndarray) -> int:
    top, left, right = outline[:, 1].min(), outline[:, 0].min(), outline[:, 0].max()
    if top > _HIP:
        return LEGS
    return FACE if left < 0 < right and top < 0 else ARMS
