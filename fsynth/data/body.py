"""A standing person in heads: proportions by gender, a pose, limbs and skin.

Everything on the torso is designed facing front and symmetrical ("neutral") and then sent through
`Body.warp`, which bends it to the stance (contrapposto: hips one way, shoulders the other).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fsynth.data.shapes import (
    Color,
    Fabric,
    Points,
    Shape,
    Stroke,
    curve,
    ellipse,
    mirrored,
    normals,
    pts,
    tube,
)

SKINS: tuple[Color, ...] = (
    (243, 205, 179),
    (238, 192, 160),
    (226, 176, 140),
    (205, 152, 115),
    (165, 112, 79),
    (122, 79, 56),
    (88, 58, 44),
)
WAIST, HIP, KNEE, ANKLE, SOLE = 1.5, 2.3, 4.3, 6.05, 6.42
_LEVELS = np.array([0.3, 0.55, 0.85, 1.2, 1.5, 1.9, 2.3, 3.0, 4.3, 5.2, 6.1])
_HALF_WIDTHS = {
    "female": np.array([0.58, 0.555, 0.585, 0.48, 0.435, 0.56, 0.65, 0.60, 0.45, 0.40, 0.32]),
    "male": np.array([0.72, 0.70, 0.70, 0.63, 0.575, 0.575, 0.60, 0.56, 0.46, 0.42, 0.34]),
}
_SHOULDER = {"female": 0.655, "male": 0.83}
_ARM_WIDTHS = {
    "female": np.array([0.155, 0.15, 0.105, 0.10, 0.07]),
    "male": np.array([0.20, 0.195, 0.145, 0.135, 0.09]),
}
_ARM_PLACES = np.array([0.0, 0.4, 1.0, 1.35, 2.0])
_SWAY = np.array([[-0.2, 2.2, 3.2, 6.1], [0.0, 1.0, 0.9, 0.1]])
_TILT = np.array([[-1.0, -0.3, 0.2, 1.5, 2.4, 4.0, 6.0], [0.0, 0.5, 1.0, 0.2, -0.8, -0.3, 0.0]])
"""How far the sway of the hips and the tilt of the shoulders reach: heights, shares."""
_NECK = {"female": 0.145, "male": 0.205}


@dataclass(frozen=True)
class Stance:
    """How a body stands. Lengths in heads, angles in radians from straight down, outwards positive."""

    sway: float
    tilt: float
    upper_arms: tuple[float, float]
    lower_arms: tuple[float, float]
    stride: float
    head_tilt: float
    head_turn: float


def draw_stance(rng: np.random.Generator, gender: str, lively: float = 1.0) -> Stance:
    """A relaxed standing pose; `lively` scales the variation."""
    side = rng.choice([-1.0, 1.0])
    sway = side * rng.uniform(0.0, 0.16 if gender == "female" else 0.08) * lively
    upper, lower = rng.uniform(0.20, 0.42, 2), rng.uniform(0.05, 0.28, 2)
    if rng.random() < 0.3:
        hand_on_hip = int(rng.integers(2))
        upper[hand_on_hip], lower[hand_on_hip] = rng.uniform(0.72, 0.85), rng.uniform(-1.0, -0.8)
    return Stance(
        sway=float(sway),
        tilt=float(-0.55 * sway + rng.normal(0, 0.015)),
        upper_arms=(float(upper[0]), float(upper[1])),
        lower_arms=(float(lower[0]), float(lower[1])),
        stride=float(rng.uniform(0.0, 0.16)),
        head_tilt=float(np.clip(rng.normal(0, 0.06), -0.14, 0.14) * lively),
        head_turn=float(rng.uniform(-1, 1)),
    )


@dataclass(frozen=True)
class Body:
    """A posed person. `breadth` scales widths, `skin` is the base tone."""

    gender: str
    stance: Stance
    skin: Color
    breadth: float = 1.0

    def half(self, y: float | Points, ease: float | Points = 0.0) -> Points:
        """Half width of the neutral torso and hips at height y, plus ease."""
        return np.interp(y, _LEVELS, _HALF_WIDTHS[self.gender]) * self.breadth + ease

    def side(self, *levels: tuple[float, float]) -> Points:
        """Points down the right-hand side of the picture: pairs of (y, ease)."""
        y, ease = np.array(levels).T
        return np.stack([self.half(y, ease), y], axis=1)

    @property
    def shoulder(self) -> float:
        """Distance of the shoulder joint from the middle."""
        return _SHOULDER[self.gender] * self.breadth

    @property
    def neck(self) -> float:
        """Half width of the neck."""
        return _NECK[self.gender] * self.breadth

    def warp(self, points: Points) -> Points:
        """Neutral -> posed, (N, 2) heads."""
        x, y = points[:, 0], points[:, 1]
        ramp = np.interp(y, *_SWAY)
        tip = np.interp(y, *_TILT)
        bent = np.empty_like(points)
        bent[:, 0] = x + self.stance.sway * ramp
        bent[:, 1] = y + self.stance.tilt * tip * x
        return bent

    def joint(self, side: int) -> Points:
        """The shoulder joint (2,), posed; side -1 is left in the picture, 1 right."""
        return self.warp(pts((side * self.shoulder, 0.24)))[0]

    def arm(self, side: int, start: float = 0.0, end: float = 2.0, count: int = 9) -> Points:
        """The arm's middle line from `start` to `end`; 0 is the shoulder, 1 the elbow, 2 the wrist."""
        line = _arm_line(self, side)
        index_at = np.linspace(start, end, count) * 8
        points = np.empty((count, 2))
        points[:, 0] = np.interp(index_at, _ARM_GRID, line[:, 0])
        points[:, 1] = np.interp(index_at, _ARM_GRID, line[:, 1])
        return points

    def arm_half(self, t: float | Points) -> Points:
        """Half width of the bare arm at t in [0, 2]."""
        return np.interp(t, _ARM_PLACES, _ARM_WIDTHS[self.gender]) * self.breadth

    def leg(self, side: int) -> Points:
        """The leg's middle line (7, 2) from hip to ankle, neutral."""
        out = self.stance.stride * 0.5
        spine = pts(
            (0.315, 2.2),
            (0.31 + out * 0.3, 3.2),
            (0.255 + out * 0.7, KNEE),
            (0.25 + out, 5.0),
            (0.2 + out, ANKLE),
        )
        return spine * (side * self.breadth, 1.0)

    def leg_half(self, y: float | Points) -> Points:
        """Half width of the bare leg at height y."""
        male = 1.06 if self.gender == "male" else 1.0
        widths = [0.275, 0.285, 0.175, 0.155, 0.175, 0.085]
        return np.interp(y, [2.2, 3.0, 4.2, 4.45, 4.95, ANKLE], widths) * self.breadth * male

    @property
    def cloth(self) -> Fabric:
        """The skin as something to fill outlines with."""
        return Fabric(self.skin, sheen=0.1)


def bend(body: Body, outline: Points, strokes: tuple[Stroke, ...]) -> tuple[Points, tuple[Stroke, ...]]:
    """Neutral outline and strokes -> posed, in one go."""
    parts = body.warp(np.concatenate([outline, *(s.points for s in strokes)]))
    cuts = np.cumsum([len(outline), *(len(s.points) for s in strokes)]).tolist()
    moved = tuple(
        Stroke(parts[a:b], s.width, s.ink, s.closed) for a, b, s in zip(cuts, cuts[1:], strokes, strict=False)
    )
    return parts[: cuts[0]], moved


_ARM_GRID = np.arange(17.0)


@lru_cache(maxsize=8)
def _arm_line(body: Body, side: int) -> Points:
    """An arm's middle line (17, 2): eight steps from the shoulder to the elbow, eight to the wrist."""
    index = (side + 1) // 2
    upper, lower = body.stance.upper_arms[index], body.stance.lower_arms[index]
    joint = body.joint(side)
    elbow = joint + 1.22 * np.array([side * np.sin(upper), np.cos(upper)])
    wrist = elbow + 1.08 * np.array([side * np.sin(lower), np.cos(lower)])
    return curve(np.stack([joint, elbow, wrist]), steps=8)


def torso_skin(body: Body) -> Shape:
    """Neck, shoulders and trunk."""
    neck, tip = body.neck, body.shoulder + 0.09
    right = np.concatenate(
        [
            curve(
                pts((neck, -0.5), (neck, -0.2), (neck + 0.12, -0.06), (tip - 0.12, 0.05), (tip, 0.2)), steps=4
            ),
            curve(pts((tip, 0.3), (body.half(0.6), 0.62)), steps=1),
            body.side((0.85, 0), (1.2, 0), (1.5, 0), (1.9, 0), (2.3, 0)),
        ]
    )
    outline = np.concatenate([right, mirrored(right)])
    shadow = Stroke(body.warp(pts((-neck * 0.9, -0.33), (0, -0.22), (neck * 0.9, -0.33))), 0.16, "fold")
    bones = tuple(
        Stroke(body.warp(pts((s * 0.08, 0.06), (s * 0.25, 0.03), (s * 0.45, 0.06))), 0.025, "seam")
        for s in (-1, 1)
    )
    return Shape(body.warp(outline), body.cloth, strokes=(shadow, *bones), edge=0.6)


def arm_outline(
    body: Body, side: int, start: float, end: float, half: Points, tip: float, lift: float = 0.0
) -> tuple[Points, Points]:
    """The outer edge of an arm and the inner edge on the way back, with half widths (N,).

    From the shoulder (start 0) it grows out of the shoulder line at `tip` heads from the middle, `lift` above
    it, and closes along the armhole.
    """
    spine = body.arm(side, start, end, len(half))
    across = normals(spine) * half[:, None] * side
    outer, inner = spine + across, (spine - across)[::-1]
    if start > 0:
        return outer, inner
    cap = pts(
        (tip - 0.17, 0.0), (tip - 0.03 + lift * 0.4, 0.055 - lift), (tip + 0.055 + lift, 0.2 - lift * 0.4)
    )
    pit = body.warp(pts((side * (float(body.half(0.66)) - 0.03), 0.70)))
    reach = np.linspace(start, end, len(half))
    outer = np.concatenate([body.warp(cap * (side, 1)), outer[reach > min(0.3, end * 0.5)]])
    return curve(outer, steps=3), np.concatenate([inner[: int((reach > 0.42).sum())], pit])


_HAND = pts(
    (0.0, -0.14),
    (0.3, -0.19),
    (0.65, -0.16),
    (0.98, -0.05),
    (1.0, 0.04),
    (0.72, 0.19),
    (0.62, 0.30),
    (0.5, 0.32),
    (0.26, 0.24),
    (0.0, 0.14),
)
"""A hand from the outer wrist around the fingers and the thumb to the inner wrist: (ahead, inwards)."""


def arm_skin(body: Body, side: int, start: float) -> Shape:
    """The bare arm with its hand, from the shoulder (0) or from further down (1 is the elbow)."""
    half = body.arm_half(np.linspace(start, 2.0, 13))
    outer, inner = arm_outline(body, side, start, 2.0, half, body.shoulder + 0.06)
    ahead = body.arm(side, 1.8, 2.0, 2)
    wrist, ahead = ahead[1], ahead[1] - ahead[0]
    ahead = ahead / np.hypot(*ahead)
    inwards = np.array([-ahead[1], ahead[0]]) * side
    size = 0.47 if body.gender == "male" else 0.42
    palm = wrist + size * (_HAND[:, :1] * ahead + _HAND[:, 1:] * inwards)
    fingers = tuple(
        Stroke(wrist + size * (pts((0.66, k), (0.95, k))[:, :1] * ahead + 0.08 * k * inwards), 0.014, "seam")
        for k in (-1, 0, 1)
    )
    outline = np.concatenate([outer, curve(palm, steps=2), inner])
    return Shape(outline, body.cloth, "limb", fingers, edge=0.6)


def leg_skin(body: Body, side: int) -> Shape:
    """A bare leg from the hip to the ankle and the instep."""
    spine = curve(body.leg(side), steps=4)
    half = body.leg_half(spine[:, 1])
    knee = Stroke(
        body.warp(pts((side * 0.2, KNEE + 0.08), (side * 0.27, KNEE + 0.13), (side * 0.34, KNEE + 0.08))),
        0.03,
        "fold",
    )
    return Shape(body.warp(tube(spine, half)), body.cloth, "limb", strokes=(knee,), edge=0.6)


def ground_shadow(body: Body) -> Shape:
    """A soft shadow under the feet."""
    at = (body.stance.sway * 0.1 + 0.05, SOLE - 0.04)
    return Shape(ellipse(at, 0.85, 0.1), Fabric((30, 30, 45), alpha=0.35), "none", edge=0.0, blur=0.09)
