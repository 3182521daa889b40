"""Aspect buckets: sizes, the nearest one, crops and what is said of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fsynth import sd_buckets

sides = st.integers(16, 4000)
pictures = st.tuples(sides, sides)


@given(st.sampled_from([(512, 64), (768, 64), (1024, 64), (256, 32), (128, 16)]), st.floats(1, 4))
def test_buckets_are_about_as_large_as_the_square_and_never_larger(settings, max_ratio):
    resolution, step = settings
    found = sd_buckets.sizes(resolution, step, max_ratio)
    assert (resolution, resolution) in found
    for width, height in found:
        assert width % step == height % step == 0 and (height, width) in found
        assert 0.8 * resolution**2 <= width * height <= resolution**2
        assert max(width, height) <= max_ratio * min(width, height)


def test_the_buckets_of_stable_diffusion_are_those_of_512_pixels():
    assert sd_buckets.sizes(512, 64, 2.0) == [
        (384, 640), (448, 576), (512, 512), (576, 448), (640, 384)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("resolution", "factor", "step"), [(512, 8, 64), (1024, 8, 64), (256, 8, 32), (32, 8, 8), (100, 4, 12)]
)
def test_the_usual_step_is_64_from_512_pixels_on_and_a_multiple_of_the_factor(resolution, factor, step):
    assert sd_buckets.usual_step(resolution, factor) == step


@given(pictures)
def test_the_nearest_bucket_cuts_least_and_a_picture_of_its_shape_loses_nothing(size):
    buckets = sd_buckets.sizes(512, 64, 2.0)
    bucket = sd_buckets.nearest(size, buckets)
    assert (
        sd_buckets.cut_off(size, bucket) <= min(sd_buckets.cut_off(size, other) for other in buckets) + 1e-9
    )
    for width, height in buckets:
        assert sd_buckets.nearest((3 * width, 3 * height), buckets) == (width, height)
        assert sd_buckets.cut_off((3 * width, 3 * height), (width, height)) == pytest.approx(0)


@given(pictures, st.sampled_from(sd_buckets.sizes(512, 64, 2.0)))
def test_a_crop_lies_in_the_middle_has_the_shape_of_the_bucket_and_loses_what_is_said(size, bucket):
    left, upper, right, lower = sd_buckets.crop_box(size, bucket)
    assert 0 <= left < right <= size[0] and 0 <= upper < lower <= size[1]
    assert abs(left - (size[0] - right)) <= 1 and abs(upper - (size[1] - lower)) <= 1
    assert right - left == size[0] or lower - upper == size[1]  # no more is cut than must be
    kept = (right - left) * (lower - upper) / (size[0] * size[1])
    assert kept == pytest.approx(1 - sd_buckets.cut_off(size, bucket), abs=1 / min(size))


def test_a_frame_says_where_the_crop_lies_in_the_resized_picture():
    # 300x600 covers 512x512 as 512x1024, of which 256 rows are cut off above
    assert torch.equal(
        sd_buckets.frame((300, 600), (512, 512)), torch.tensor([600.0, 300.0, 256.0, 0.0, 512.0, 512.0])
    )
    assert sd_buckets.frame((600, 300), (512, 512))[2:4].tolist() == [0.0, 256.0]
    assert sd_buckets.frame((640, 480), (640, 480)).dtype == torch.float32


def test_the_report_counts_pictures_cuts_and_enlargements():
    originals, targets = [(500, 500), (400, 640), (1000, 2000)], [(512, 512), (384, 640), (384, 640)]
    assert sd_buckets.count(targets) == "buckets: 384x640 (2), 512x512 (1)"
    assert sd_buckets.count([(9, 8), (8, 9)]) == "buckets: 8x9 (1), 9x8 (1)"
    said = sd_buckets.describe_crops(originals, targets, ["a", "b", "c"])
    assert said == (
        "cropped: 6.9% of the pixels on average (squares: 29.2%), at most 16.7% (c); enlarged: 1 of 3 "
        "pictures"
    )
    plain = sd_buckets.describe_crops([(20, 10)], [(10, 10)], ["a"])
    assert plain == "cropped: 50.0% of the pixels on average, at most 50.0% (a); enlarged: 0 of 1 picture"
