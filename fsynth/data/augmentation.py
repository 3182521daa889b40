"""Training pictures, a little different in every epoch: mirrored, turned, cropped, of other colours.

Pure: what happens to a picture is a function of (seed, epoch, row), so a resumed run, other workers and more
processes change nothing. A turned picture is cropped to what it shows, never filled: mirrored edges or black
corners would be learnt as content. Turning by 10 degrees so enlarges a square by 16 %.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fsynth.data import attributes
from fsynth.errors import ConfigError
from fsynth.keyed import seed_of

if TYPE_CHECKING:
    from PIL import Image

SIDED_TERMS = {"letters", "numbers"}
"""Terms of `attributes.parse` for what a mirror makes wrong."""
SIDED_WORDS = re.compile(
    r"\b(left|right|leftward|rightward|words?|wording|english|chinese|japanese|korean|arabic|hebrew|russian"
    r"|names?|brand(ed|s)?|quotes?|phrases?|slogans?|says|saying|reads|reading|spells|love|letter(ed|ing)"
    r"|number(ed|ing)|digits?|numerals?|initials?|alphabets?|monogram(s|med)?|logos?|texts?|captions?"
    r"|typograph(y|ic|ical)|calligraph(y|ic)|signatures?|autograph(s|ed)?|graffiti|writings?|written"
    r"|handwritten|handwriting|inscriptions?|inscribed|lyrics?|newspapers?|newsprint)(?![a-z])",
    re.IGNORECASE,
)
"""Sides, and words that stand for letters on a garment: the benchmark's "english name printed tee",
"printed with love". A list: what it lacks is mirrored."""
QUOTED = re.compile(r""""[^"]*\w[^"]*"|[“„«]|(?<!\w)['‘`][^'’]*\w[^'’]*['’](?!\w)""")
"""Words in quotation marks stand on the garment; an apostrophe quotes nothing."""
HUE = 0.1
"""Share of the strength of `color` by which the hue moves, of the whole circle."""


def may_mirror(sentence: str) -> bool:
    """Whether a mirrored picture fits its sentence: not where that speaks of sides or letters, or quotes."""
    if SIDED_WORDS.search(sentence) or QUOTED.search(sentence):
        return False
    return not SIDED_TERMS.intersection(attributes.parse(sentence).terms)


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training picture; the default is nothing.

    Attributes:
        seed: the run's.
        flip: chance that a picture is mirrored, where `may_mirror` allows it.
        rotation: largest angle in degrees, either way; evenly drawn.
        scale: smallest share of the sides that a crop keeps, evenly drawn up to all; 1 crops nothing.
        color: most by which brightness, contrast and saturation change, as a share; the hue by a tenth of it
            of the circle.
    """

    seed: int
    flip: float = 0.0
    rotation: float = 0.0
    scale: float = 1.0
    color: float = 0.0

    def __bool__(self) -> bool:
        return self.flip > 0 or self.rotation > 0 or self.scale < 1 or self.color > 0

    def __call__(self, picture: Image.Image, epoch: int, row: int, sentence: str) -> Image.Image:
        """The picture as it is shown in an epoch, RGB and of the same size; itself where nothing is drawn.

        Args:
            epoch: from 0.
            row: number of the row in its data set.
        """
        if not self:
            return picture
        draw = self._draw(epoch, row)
        picture = picture.convert("RGB")
        if self.mirrors(epoch, row, sentence):
            picture = mirrored(picture)
        angle, share = self.rotation * (2 * draw[1] - 1), 1 - (1 - self.scale) * draw[2]
        if angle or share < 1:
            picture = cut(picture, angle, share, (2 * draw[3] - 1, 2 * draw[4] - 1))
        return recolored(picture, *self.color * (2 * draw[5:] - 1)) if self.color else picture

    def mirrors(self, epoch: int, row: int, sentence: str) -> bool:
        """Whether the picture is mirrored in an epoch; arguments as when called."""
        return bool(self.flip) and self._draw(epoch, row)[0] < self.flip and may_mirror(sentence)

    @property
    def only_mirrors(self) -> bool:
        """Whether a picture is shown in at most two ways."""
        return not (self.rotation > 0 or self.scale < 1 or self.color > 0)

    def _draw(self, epoch: int, row: int) -> np.ndarray:
        return np.random.default_rng(seed_of(self.seed, "augment", epoch, row)).random(9)

    def describe(self, sentences: Sequence[str]) -> list[str]:
        """Lines that say what happens to the pictures of these training rows; empty for nothing."""
        parts = []
        if self.flip:
            never = sum(not may_mirror(sentence) for sentence in sentences)
            parts.append(
                f"mirrored with chance {self.flip:g} ({never:,} of {len(sentences):,} rows never: their "
                "sentences speak of letters, numbers or sides)"
            )
        parts += [f"turned by up to {self.rotation:g} degrees"] * (self.rotation > 0)
        parts += [f"cropped to {100 * self.scale:.3g} to 100 % of the sides"] * (self.scale < 1)
        parts += [f"colours changed by up to {100 * self.color:.3g} %"] * (self.color > 0)
        lines = [f"augmentation, anew in every epoch: {', '.join(parts)}"] if parts else []
        if self.color:
            lines.append("note: sentences name colours; augment.color shows others under the same name")
        return lines

    def check(self, sentences: Sequence[str]) -> None:
        """Refuse to mirror where no row may be.

        Raises:
            ConfigError: with the first sentence.
        """
        if self.flip and not any(map(may_mirror, sentences)):
            raise ConfigError(
                f"augment.flip {self.flip:g}: all {len(sentences):,} sentences speak of letters, numbers "
                f"or sides, first {sentences[0]!r}, and such pictures are never mirrored; leave it out"
            )


def mirrored(picture: Image.Image) -> Image.Image:
    """Left and right exchanged, pixel for pixel."""
    from PIL import Image

    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def cut(picture: Image.Image, angle: float, share: float, place: tuple[float, float]) -> Image.Image:
    """A turned rectangle inside the picture, enlarged to its size; shows nothing from outside the picture.

    Args:
        angle: degrees, counter-clockwise.
        share: of the largest rectangle of this shape and angle in the picture's middle; in (0, 1].
        place: where it lies in the room that ``share`` leaves, -1 to 1 across and down; 0, 0 is the middle.
    """
    from PIL import Image

    width, height = picture.size
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    across, down = width * abs(cos) + height * abs(sin), width * abs(sin) + height * abs(cos)
    largest = min(width / across, height / down)
    room = largest * (1 - share) / 2
    x, y = width / 2 + place[0] * room * across, height / 2 + place[1] * room * down
    size = largest * share
    # pixel (u, v) of the result shows (a u + b v + c, d u + e v + f) of the picture
    a, b, d, e = size * cos, -size * sin, size * sin, size * cos
    matrix = (a, b, x - (a * width + b * height) / 2, d, e, y - (d * width + e * height) / 2)
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def recolored(
    picture: Image.Image, brightness: float, contrast: float, saturation: float, hue: float
) -> Image.Image:
    """Other colours: each change as a share, -1 to 1; 0 for all four is the same picture."""
    from PIL import Image, ImageEnhance

    for enhance, change in (
        (ImageEnhance.Brightness, brightness),
        (ImageEnhance.Contrast, contrast),
        (ImageEnhance.Color, saturation),
    ):
        picture = enhance(picture).enhance(1 + change)
    turn = round(256 * HUE * hue)
    if not turn:
        return picture
    circle, *others = picture.convert("HSV").split()
    return Image.merge("HSV", (circle.point(lambda value: (value + turn) % 256), *others)).convert("RGB")
