"""The mean of many pictures, kept as sums so that none of them has to stay in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fsynth.data.scan import SMALL

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


def _zeros(*more: int) -> NDArray[np.uint32]:
    return np.zeros((SMALL, SMALL, *more), np.uint32)  # 255 times 16 million pictures fit


@dataclass
class MeanPicture:
    """The mean of pictures that lie centred on each other, none larger than `SMALL` on a side."""

    pictures: int = 0
    _sum: NDArray[np.uint32] = field(default_factory=lambda: _zeros(3))
    _covered: NDArray[np.uint32] = field(default_factory=_zeros)

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """One more, (H, W, 3)."""
        height, width = pixels.shape[:2]
        top, left = (SMALL - height) // 2, (SMALL - width) // 2
        at = slice(top, top + height), slice(left, left + width)
        self._sum[at] += pixels
        self._covered[at] += 1
        self.pictures += 1

    def __add__(self, other: MeanPicture) -> MeanPicture:
        return MeanPicture(
            self.pictures + other.pictures, self._sum + other._sum, self._covered + other._covered
        )

    def picture(self) -> Image.Image:
        """RGB; where at least half of the pictures have pixels, the mean of those.

        Raises:
            ValueError: there is no picture yet.
        """
        from PIL import Image

        if not self.pictures:
            raise ValueError("the mean of no pictures")
        inside = 2 * self._covered >= self.pictures
        at = np.ix_(inside.any(axis=1), inside.any(axis=0))
        mean = self._sum[at] / np.maximum(1, self._covered[at])[..., None]
        return Image.fromarray(mean.round().astype(np.uint8))


@dataclass
class MeanPictures:
    """The mean of all pictures and of those of each label; watches `fsynth.data.scan.scan`.

    ``label_of``: row -> label; ``found``: label -> mean.
    """

    label_of: Mapping[int, str]
    found: dict[str, MeanPicture] = field(default_factory=dict)

    def __call__(self, row: int, pixels: NDArray[np.uint8]) -> None:
        self.found.setdefault(self.label_of[row], MeanPicture()).add(pixels)

    def whole(self) -> MeanPicture:
        """Of all pictures seen."""
        return sum(self.found.values(), MeanPicture())

    def largest(self, least: int) -> dict[str, MeanPicture]:
        """Of the labels with so many pictures, most pictures first."""
        enough = ((label, mean) for label, mean in self.found.items() if mean.pictures >= least)
        return dict(sorted(enough, key=lambda item: (-item[1].pictures, item[0])))
