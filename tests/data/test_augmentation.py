"""What augmentation does to a picture: the same for the same (seed, epoch, row), and nothing by default."""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fsynth.data import augmentation
from fsynth.data.augmentation import Augmentation, cut, may_mirror, mirrored, recolored
from fsynth.errors import ConfigError
from tests.data.make_flaws import texture

EVERYTHING = {"flip": 0.5, "rotation": 20.0, "scale": 0.5, "color": 0.3}
DRESS = "the lady wore a red dress."
SIZES = st.tuples(st.integers(2, 60), st.integers(2, 60))


def _pixels(picture):
    return np.asarray(picture).astype(int)


def _changed(which):
    """A plain function of few numbers, for other processes."""
    change = Augmentation(7, **EVERYTHING)
    return [change(texture(row), epoch, row, DRESS).tobytes() for epoch, row in which]


# ------------------------------------------------------------------------------------------ as a whole


def test_the_default_is_the_picture_itself():
    picture = texture(0)
    assert not Augmentation(3) and Augmentation(3)(picture, 0, 0, DRESS) is picture
    assert Augmentation(3).describe([DRESS]) == []


@settings(deadline=None, max_examples=50)
@given(SIZES, st.integers(0, 9), st.integers(0, 9), st.integers(0, 99))
def test_size_and_mode_stay_and_a_draw_is_repeated(size, seed, epoch, row):
    picture, change = texture(row, size), Augmentation(seed, **EVERYTHING)
    first = change(picture, epoch, row, DRESS)
    assert first.size == size and first.mode == "RGB"
    assert first.tobytes() == change(picture, epoch, row, DRESS).tobytes()


def test_rows_epochs_and_seeds_draw_apart_in_any_order_and_process():
    which = [(epoch, row) for epoch in range(3) for row in range(4)]
    here = dict(zip(which, _changed(which), strict=True))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        there = process.submit(_changed, which[::-1]).result()
    assert list(here.values()) == there[::-1]
    pictures = [
        Augmentation(seed, rotation=9.0)(texture(0), *key, DRESS).tobytes()
        for seed in (0, 1)
        for key in which
    ]
    assert len(set(pictures)) == len(pictures)


def test_one_change_does_not_move_the_draws_of_another():
    flips = [Augmentation(0, flip=0.5)(texture(1), 0, row, DRESS) for row in range(20)]
    both = [Augmentation(0, flip=0.5, color=0.001)(texture(1), 0, row, DRESS) for row in range(20)]
    for alone, together in zip(flips, both, strict=True):
        assert np.abs(_pixels(alone) - _pixels(together)).max() < 9  # mirrored or not, alike
    assert 4 < sum(picture.tobytes() == mirrored(texture(1)).tobytes() for picture in flips) < 16


def test_chances_are_the_shares_of_many_rows():
    """Mirrored share, and means of the drawn angle and crop, over 2,000 rows."""
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "cut", lambda picture, *how: (drawn.append(how), picture)[1])
        change = Augmentation(0, flip=0.3, rotation=10.0, scale=0.6)
        picture = Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8))
        flipped = sum(_pixels(change(picture, 0, row, DRESS))[0, 0, 0] == 255 for row in range(2000))
    angles, shares, places = (np.array(part) for part in zip(*drawn, strict=True))
    assert 0.27 < flipped / 2000 < 0.33
    assert (
        abs(angles).max() <= 10 and abs(angles.mean()) < 0.5 and abs(angles.std() - 10 / math.sqrt(3)) < 0.3
    )
    assert shares.min() >= 0.6 and shares.max() <= 1 and abs(shares.mean() - 0.8) < 0.01
    assert abs(places).max() <= 1 and np.abs(places.mean(0)).max() < 0.05


# ------------------------------------------------------------------------------------------ its parts


def test_mirroring_twice_is_nothing_and_once_is_the_mirror():
    picture = texture(2, (31, 17))
    assert mirrored(mirrored(picture)).tobytes() == picture.tobytes()
    assert np.array_equal(_pixels(mirrored(picture)), _pixels(picture)[:, ::-1])


@settings(deadline=None, max_examples=200)
@given(SIZES, st.floats(-45, 45), st.floats(0.1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_nothing_from_outside_the_picture_is_shown(size, angle, share, across, down):
    """A white picture stays white to the last corner: what lies outside is black."""
    white = Image.new("RGB", size, "white")
    assert _pixels(cut(white, angle, share, (across, down))).min() == 255


def test_cutting_nothing_is_nothing():
    picture = texture(3, (40, 30))
    assert cut(picture, 0.0, 1.0, (0.7, -0.2)).tobytes() == picture.tobytes()


def test_a_crop_shows_its_part_enlarged():
    """Against Pillow's own resizing of the box."""
    picture = texture(4, (64, 48))
    for place, corner in (((-1.0, -1.0), (0, 0)), ((1.0, 1.0), (32, 24)), ((0.0, 0.0), (16, 12))):
        box = (*corner, corner[0] + 32, corner[1] + 24)
        expected = picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)
        for where, near in ((place, True), ((-place[0], 1.0), False)):
            difference = np.abs(_pixels(cut(picture, 0.0, 0.5, where)) - _pixels(expected))
            assert (difference[3:-3, 3:-3].mean() < 4) == near  # at its edges Pillow looks into the box only


def test_a_turn_goes_counter_clockwise_like_pillows():
    picture = texture(5, (65, 65))
    turned = cut(picture, 20.0, 0.5, (0.0, 0.0))
    whole = picture.rotate(20, Image.Resampling.BICUBIC)
    reach = (
        65 / (math.cos(math.radians(20)) + math.sin(math.radians(20))) / 2
    )  # sides of the rectangle, halved
    start = (65 - reach) / 2
    expected = whole.resize(
        (65, 65), Image.Resampling.BICUBIC, box=(start, start, start + reach, start + reach)
    )
    assert np.abs(_pixels(turned) - _pixels(expected)).mean() < 4
    assert np.abs(_pixels(cut(picture, -20.0, 0.5, (0.0, 0.0))) - _pixels(expected)).mean() > 15


def test_colours_change_by_what_is_drawn_and_not_without():
    picture = texture(6)
    assert recolored(picture, 0, 0, 0, 0).tobytes() == picture.tobytes()
    assert np.abs(_pixels(recolored(picture, -0.5, 0, 0, 0)) - _pixels(picture) / 2).max() <= 1
    grey = _pixels(recolored(picture, 0, 0, -1, 0))
    assert np.abs(grey - grey.mean(axis=2, keepdims=True)).max() <= 1
    assert _pixels(recolored(picture, 0, -1, 0, 0)).std() < 1
    red = Image.new("RGB", (2, 2), (255, 0, 0))
    assert _pixels(recolored(red, 0, 0, 0, 1.0))[0, 0, 1] > 120  # a tenth of the circle: orange
    assert tuple(_pixels(recolored(red, 0, 0, 0, 0.001))[0, 0]) == (255, 0, 0)


# ------------------------------------------------------------------------------------------ sentences


@pytest.mark.parametrize(
    "sentence",
    [
        "the lady is wearing a white short-sleeved tee printed with letters.",
        "the man wore a letter printed gray tee.",
        "the man wore a tee with lettres printed on it.",
        "the lady is wearing a white short-sleeved english name printed tee.",
        "the lady is wearing a black sleeveless tank printed with love.",
        "the man is wearing a tee with numbers.",
        "A dress with a pocket on the left side",
        "a right-handed glove",
        "a hoodie with the words GO HOME",
        "a numbered jersey",
        "a tee with a digit print",
        "initials on the pocket",
        "a monogram bag",
        "a typography tee",
        "a white tee with 'PARIS' print",
        'a white tee with a "Go home" print',
        "a white tee with a \u201cbonjour\u201d print",
        "a signature print",
        "a jacket full of graffiti",
        "a cap with lettering",
        "a logo tee",
        "a handwritten note on a tee",
    ],
)
def test_sided_sentences_are_never_mirrored(sentence):
    assert not may_mirror(sentence)
    picture = texture(8)
    change = Augmentation(0, flip=1.0)
    assert change(picture, 0, 0, sentence).tobytes() == picture.tobytes()
    assert change(picture, 0, 0, DRESS).tobytes() == mirrored(picture).tobytes()


UNQUOTED = [
    "the woman's dress and a man's shirt",
    "a ladies' tee, not the men's",
    'a 12" heel',
    "a textured tee",
]


@pytest.mark.parametrize(
    "sentence", [DRESS, "a leather jacket.", "a bright tee with a leftover", "swordfish top", *UNQUOTED]
)
def test_other_sentences_may_be(sentence):
    assert may_mirror(sentence)


def test_the_lines_say_how_many_rows_and_what():
    change = Augmentation(0, flip=0.5, rotation=5.0, scale=0.9, color=0.2)
    assert change.describe([DRESS, "a tee with letters.", DRESS]) == [
        "augmentation, anew in every epoch: mirrored with chance 0.5 (1 of 3 rows never: their sentences "
        "speak of letters, numbers or sides), turned by up to 5 degrees, cropped to 90 to 100 % of the "
        "sides, colours changed by up to 20 %",
        "note: sentences name colours; augment.color shows others under the same name",
    ]


def test_mirroring_that_no_row_allows_is_refused():
    with pytest.raises(ConfigError) as error:
        Augmentation(0, flip=0.5).check(["a tee with letters.", "the left one"])
    assert str(error.value) == (
        "augment.flip 0.5: all 2 sentences speak of letters, numbers or sides, first 'a tee with letters.', "
        "and such pictures are never mirrored; leave it out"
    )
    Augmentation(0, flip=0.5).check(["a tee with letters.", DRESS])
    Augmentation(0, rotation=5.0).check(["a tee with letters."])
