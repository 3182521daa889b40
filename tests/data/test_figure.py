from __future__ import annotations

import sys

import numpy as np
import pytest

from fsynth.data.figure import FULL_BODY, LOOKS, GarmentLabels, Scene, pose
from fsynth.data.labels import CATEGORIES, COLORS, GENDERS, SLEEVES, UNKNOWN


def scene(
    category: str = "tee",
    sleeve: str = "long",
    gender: str = "female",
    color: str = "red",
    seed: int = 0,
    look: str = "catalogue",
    terms: tuple[str, ...] = (),
) -> Scene:
    labels = GarmentLabels(gender, sleeve, category, color, terms)
    return pose(labels, np.random.default_rng(seed), look)


def streets(count: int) -> list[Scene]:
    rng = np.random.default_rng(7)
    return [pose(GarmentLabels("female", "long", "jacket", "blue"), rng, "street") for _ in range(count)]


def test_the_same_seed_gives_the_same_geometry() -> None:
    one, two, other = scene(seed=3), scene(seed=3), scene(seed=4)
    assert all(np.array_equal(a.outline, b.outline) for a, b in zip(one.shapes, two.shapes, strict=True))
    assert np.array_equal(one.garments[0].landmarks, two.garments[0].landmarks)
    assert not np.array_equal(one.garments[0].landmarks, other.garments[0].landmarks)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_sleeve_and_gender_has_a_box_landmarks_and_polygons(category: str) -> None:
    for gender in GENDERS:
        for sleeve in SLEEVES:
            garment = scene(category, sleeve, gender).garments[0]
            x1, y1, x2, y2 = garment.box
            assert garment.category == category
            assert garment.kind == ("full" if category in FULL_BODY else "upper")
            assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1
            assert (x2 - x1) * (y2 - y1) > 0.06
            assert garment.landmarks.shape == ((8 if garment.kind == "full" else 6), 3)
            assert all(np.isfinite(p).all() and len(p) > 3 for p in garment.polygons)


@pytest.mark.parametrize("category", CATEGORIES)
def test_landmarks_lie_on_the_garment_left_before_right_and_collar_above_hem(category: str) -> None:
    for seed in range(4):
        garment = scene(category, "long", seed=seed).garments[0]
        stacked = np.concatenate(garment.polygons)
        low, high = stacked.min(axis=0) - 0.03, stacked.max(axis=0) + 0.03
        points = garment.landmarks[:, 1:]
        assert ((points >= low) & (points <= high)).all()
        assert (points[0::2, 0] < points[1::2, 0]).all()
        assert points[:2, 1].max() < points[-2:, 1].min()


@pytest.mark.parametrize("category", [c for c in CATEGORIES if c != "poncho"])
def test_sleeves_end_lower_the_longer_they_are(category: str) -> None:
    def hanging(sleeve: str) -> float:
        return float(
            np.median([scene(category, sleeve, seed=s).garments[0].landmarks[2:4, 2].max() for s in range(7)])
        )

    assert hanging("sleeveless") < hanging("short") < hanging("not stated") < hanging("long")


def test_a_catalogue_figure_fills_the_frame() -> None:
    heights = []
    for seed in range(12):
        shapes = scene(seed=seed).shapes
        top = min(s.outline[:, 1].min() for s in shapes)
        bottom = max(s.outline[:, 1].max() for s in shapes)
        assert top < 0.12
        heights.append(min(bottom, 1.0) - max(top, 0.0))
    assert min(heights) > 0.85


def test_streets_vary_in_scale_and_place_and_show_bottoms_groups_and_occlusion() -> None:
    scenes = streets(30)
    boxes = np.array([s.garments[0].box for s in scenes])
    heights, middles = boxes[:, 3] - boxes[:, 1], (boxes[:, 0] + boxes[:, 2]) / 2
    assert np.percentile(heights, 95) > 1.6 * np.percentile(heights, 5)
    assert np.ptp(middles) >= 0.2
    garments = [g for s in scenes for g in s.garments]
    assert {"trousers", "skirt", "shorts"} <= {g.category for g in garments if g.kind == "lower"}
    assert all(len(g.landmarks) == 4 for g in garments if g.kind == "lower")
    assert {0, 1, 2} == {int(v) for g in garments for v in g.landmarks[:, 0]}
    assert all(sum(g.labels is not None for g in s.garments) >= 1 for s in scenes)
    assert np.mean([sum(g.labels is not None for g in s.garments) > 1 for s in scenes]) > 0.7


def test_the_box_of_bottoms_starts_where_the_garment_above_ends() -> None:
    for seed in range(8):
        upper, lower = scene("sweater", "long", seed=seed).garments
        assert lower.kind == "lower" and lower.labels is None
        assert lower.box[1] >= upper.landmarks[-2:, 2].mean() - 0.011
        assert lower.box[1] < upper.box[3]


def test_the_labelled_garment_comes_first_in_every_look() -> None:
    for look in LOOKS:
        drawn = scene("coat", "long", "male", "green", look=look)
        assert drawn.garments[0].category == "coat"
        assert drawn.garments[0].labels == drawn.labels
        assert drawn.look == look


def test_what_a_sentence_does_not_say_can_be_drawn() -> None:
    for seed in range(5):
        drawn = scene("dress", UNKNOWN, UNKNOWN, UNKNOWN, seed)
        assert drawn.garments[0].kind == "full"


def test_labels_and_looks_that_do_not_exist_are_named() -> None:
    with pytest.raises(ValueError, match="category 'trousers' cannot be drawn"):
        scene("trousers")
    with pytest.raises(ValueError, match="color 'mauve' cannot be drawn"):
        scene(color="mauve")
    with pytest.raises(ValueError, match="look 'moon' does not exist"):
        scene(look="moon")


def test_geometry_needs_no_painter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skia", None)
    assert scene(color=COLORS[-1], terms=("letters",)).shapes
