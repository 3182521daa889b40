"""The mean of pictures that come one by one."""

from __future__ import annotations

import numpy as np
import pytest

from fsynth.data.mean_picture import MeanPicture, MeanPictures
from fsynth.data.scan import SMALL


def _pictures(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_pictures_of_one_size_have_the_mean_of_their_pixels():
    pictures = _pictures(300, 64, SMALL)
    mean = MeanPicture()
    for picture in pictures:
        mean.add(picture)
    assert mean.pictures == 300
    assert np.array_equal(np.asarray(mean.picture()), pictures.mean(axis=0).round().astype(np.uint8))


def test_pictures_of_other_shapes_lie_on_the_same_centre():
    wide, high = np.full((64, 128, 3), 100, np.uint8), np.full((128, 64, 3), 200, np.uint8)
    mean = MeanPicture()
    for picture in (wide, wide, high):
        mean.add(picture)
    found = np.asarray(mean.picture()).astype(int)
    assert found.shape == (64, 128, 3)  # where most of them have pixels
    assert found[32, 64, 0] == 133 and found[32, 2, 0] == 100


def test_the_mean_of_none_is_refused():
    with pytest.raises(ValueError, match="no pictures"):
        MeanPicture().picture()


def test_labels_have_means_of_their_own_that_add_up():
    pictures = _pictures(9, 32, 32)
    means = MeanPictures({row: "tee" if row < 6 else "dress" for row in range(9)})
    for row, picture in enumerate(pictures):
        means(row, picture)
    assert list(means.largest(least=3)) == ["tee", "dress"] and list(means.largest(least=4)) == ["tee"]
    whole = means.whole()
    assert whole.pictures == 9
    assert np.array_equal(np.asarray(whole.picture()), pictures.mean(axis=0).round().astype(np.uint8))
