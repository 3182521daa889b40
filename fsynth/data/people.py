"""A dressed person for a set of labels, in heads: body, hair, garments from back to front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fsynth.data import fabrics, footwear
from fsynth.data.body import (
    SKINS,
    Body,
    arm_skin,
    draw_stance,
    ground_shadow,
    leg_skin,
    torso_skin,
)
from fsynth.data.garments import SLEEVE_ENDS, Tailor, Wear
from fsynth.data.head import draw_head, face, hair_back, hair_front
from fsynth.data.labels import GENDERS, UNKNOWN
from fsynth.data.one_pieces import ONE_PIECES, bottoms
from fsynth.data.outerwear import OUTERWEAR
from fsynth.data.shapes import Fabric, Points, Shape
from fsynth.data.tops import TOPS

FULL_BODY = ("dress", "jumpsuit", "romper", "kimono", "coat", "parka")
"""Categories that cover the whole body: eight landmarks."""
_ONE_PIECE = ("dress", "jumpsuit", "romper")


@dataclass(frozen=True)
class GarmentLabels:
    """What a sentence says of a picture: names from `fsynth.data.labels`, plus canonical terms."""

    gender: str
    sleeve: str
    category: str
    color: str
    terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Person:
    """Shapes from back to front in heads; shapes of garment k carry `garment=k`.

    `names` and `landmarks` (N, 2) list the garments: the labelled one, then what is worn below it.
    """

    labels: GarmentLabels
    fabric: Fabric
    shapes: tuple[Shape, ...]
    names: tuple[str, ...]
    landmarks: tuple[Points, ...]


def dress_person(labels: GarmentLabels, rng: np.random.Generator, lively: float = 1.0) -> Person:
    """Choose a body, a pose and cloth for the labels and sew the garment on."""
    gender = labels.gender if labels.gender != UNKNOWN else str(rng.choice(GENDERS))
    skin = SKINS[rng.integers(len(SKINS))]
    body = Body(gender, draw_stance(rng, gender, lively), skin, float(rng.uniform(0.93, 1.08)))
    head = draw_head(rng, gender, skin)
    fabric = fabrics.choose_fabric(labels.color, labels.terms, rng)
    wear = _sew(labels, body, fabric, rng)
    lower, names, landmarks = _below(labels, body, fabric, rng)
    marks = (
        [wear.collar, wear.cuffs, wear.waist, wear.hem]
        if labels.category in FULL_BODY
        else [wear.collar, wear.cuffs, wear.hem]
    )
    shapes = [
        ground_shadow(body),
        *hair_back(body, head),
        *wear.back,
        *_legs(labels, body, rng),
        torso_skin(body),
        *lower,
        *_dressed_torso(body, wear),
        *face(body, head),
        *hair_front(body, head),
    ]
    return Person(
        labels, fabric, tuple(shapes), (labels.category, *names), (np.concatenate(marks), *landmarks)
    )


def _sew(labels: GarmentLabels, body: Body, fabric: Fabric, rng: np.random.Generator) -> Wear:
    sleeve = labels.sleeve if labels.sleeve in SLEEVE_ENDS else "not stated"
    trim = fabrics.choose_trim(fabric, rng)
    tailor = Tailor(body, fabric, trim, fabrics.inner_color(fabric, rng), sleeve, rng)
    prints = fabrics.choose_print(labels.terms, labels.category, fabric, rng)
    return (TOPS | OUTERWEAR | ONE_PIECES)[labels.category](tailor, prints)


def _below(
    labels: GarmentLabels, body: Body, fabric: Fabric, rng: np.random.Generator
) -> tuple[list[Shape], tuple[str, ...], tuple[Points, ...]]:
    """Bottoms under anything but a one-piece; none under a robe that falls over bare legs."""
    if labels.category in (*_ONE_PIECE, "kimono"):
        return [], (), ()
    choices = ["trousers"] * 3 + ["skirt", "shorts"]
    kind = (
        str(rng.choice(choices))
        if body.gender == "female"
        else str(rng.choice(["trousers", "trousers", "shorts"]))
    )
    kind = "trousers" if labels.category in ("coat", "parka") else kind
    shapes, waist, hem = bottoms(body, kind, fabrics.bottom_fabric(fabric, rng), rng)
    return shapes, (kind,), (np.concatenate([waist, hem]),)


def _legs(labels: GarmentLabels, body: Body, rng: np.random.Generator) -> list[Shape]:
    color = footwear.COLORS[rng.integers(len(footwear.COLORS))]
    kinds = ("heel", "heel", "flat", "boot") if body.gender == "female" else ("flat", "sneaker", "boot")
    kind = "flat" if labels.category == "jumpsuit" else str(rng.choice(kinds))
    legs = [leg_skin(body, s) for s in (-1, 1)]
    return legs + [part for s in (-1, 1) for part in footwear.shoe(body, s, kind, color)]


def _dressed_torso(body: Body, wear: Wear) -> list[Shape]:
    """Arms, garment, sleeves and what lies over them; a hand on the hip comes to the front."""
    arms = [arm_skin(body, s, 0.0) for s in (-1, 1)]
    bent = [s for s in (-1, 1) if body.stance.lower_arms[(s + 1) // 2] < 0]
    elbows = [arm_skin(body, s, 0.95) for s in bent]
    if wear.arms_in_front:
        return [*wear.body, *arms, *wear.over]
    if wear.arms_behind:
        return [*arms, *wear.sleeves, *wear.body, *wear.over]
    return [*arms, *wear.body, *elbows, *wear.sleeves, *wear.over]
