"""Rows of a data set as diffusion training takes them: pixels, token ids and keyed random draws.

Noise, timesteps, posterior draws and caption dropout are functions of (seed, epoch, row), where row is the
number in the benchmark's files: neither batch size nor process count nor a resume changes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fsynth import diffusion
from fsynth.data.augmentation import Augmentation
from fsynth.data.row_pictures import row_of

if TYPE_CHECKING:
    import datasets
    from PIL import Image

    from fsynth.order import Pick
    from fsynth.sd_captions import Captions

FIXED = "validation"
"""In place of a seed: held-out losses compare between epochs, runs and seeds."""


class Pictures:
    """Chosen rows of a data set, each as pixels of one size.

    Args:
        dataset: with the columns image, text, name and row.
        chosen: positions in ``dataset``, from 0.
        resolution: side in pixels.
    """

    def __init__(self, dataset: datasets.Dataset, chosen: Sequence[int], resolution: int) -> None:
        self.dataset, self.chosen, self.resolution = dataset, list(chosen), resolution
        words = dataset.select_columns(["text", "name", "row"])[self.chosen]
        self.texts: list[str] = words["text"]
        self.names: list[str] = words["name"]
        self.rows: list[int] = words["row"]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """pixels float32 (3, resolution, resolution) RGB in [-1, 1], and their frame (6,)."""
        return framed(self.image(index), self.resolution)

    def image(self, index: int) -> Image.Image:
        """The picture as it is in the data set.

        Raises:
            DataError: when it cannot be read or decoded.
        """
        return row_of(self.dataset, self.chosen[index])["image"]


def to_pixels(image: Image.Image, resolution: int) -> Tensor:
    """Shorter side to ``resolution`` (Lanczos, antialiased), centre crop: float32 (3, R, R) in [-1, 1]."""
    from PIL import Image

    side = min(image.size)
    left, upper = (image.width - side) // 2, (image.height - side) // 2
    square = image.convert("RGB").resize(
        (resolution, resolution),
        Image.Resampling.LANCZOS,
        box=(left, upper, left + side, upper + side),
    )
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 127.5 - 1


def frame(width: int, height: int, resolution: int) -> Tensor:
    """What Stable Diffusion XL is told of a picture that `to_pixels` crops: its height and width, top and
    left of the crop once the picture is resized, height and width of the crop, in pixels: float32 (6,)."""
    scale = resolution / min(width, height)
    top, left = ((side - min(width, height)) // 2 * scale for side in (height, width))
    return torch.tensor([height, width, round(top), round(left), resolution, resolution], dtype=torch.float32)


def framed(image: Image.Image, resolution: int) -> dict[str, Tensor]:
    """`to_pixels` and `frame` of a picture."""
    return {"pixels": to_pixels(image, resolution), "frame": frame(*image.size, resolution)}


@dataclass(frozen=True)
class Draws:
    """What random draws need to know.

    Attributes:
        seed: the run's.
        timesteps: length of the noise schedule.
        levels: how a timestep of it is drawn (`diffusion.draw_level`).
        latent: shape (C, h, w) of one picture's latents.
        caption_dropout: chance that a row is shown without its caption, for guidance at sampling time.
        noise_offset: standard deviation of one shift a channel that is added to the noise. The schedule's
            last step still shows a picture's mean brightness, and sampling starts without it: a model that
            relies on it cannot make pictures that are dark as a whole.
        input_perturbation: standard deviation, in parts of the noise, of what is added to the noise that the
            network sees, not to the noise that it should answer (Ning et al. 2023, arXiv 2301.11706): it
            learns to go on from samples that its own errors moved.
    """

    seed: int
    timesteps: int
    latent: tuple[int, int, int]
    caption_dropout: float
    noise_offset: float = 0.0
    input_perturbation: float = 0.0
    levels: str = "uniform"


class TrainingRows:
    """What a training step needs of each row; indexed with an `order.Pick`.

    Items: row (number in the files), index (position here), caption (its number), timestep, noise and
    posterior (C, h, w) normal, perturbation (C, h, w) where there is one, frame (6,), and moments (2C, h, w)
    where they are at hand, else pixels (3, R, R) of the augmented picture.

    Args:
        encoded: moments and frames of the pictures as they are, from `sd_training.encode`; give them only
            where nothing is augmented.
    """

    def __init__(
        self,
        pictures: Pictures,
        captions: Captions,
        draws: Draws,
        encoded: dict[str, Tensor] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.pictures, self.draws, self.encoded = pictures, draws, encoded
        self.augmentation = augmentation or Augmentation(draws.seed)
        self.captions = [captions.number(text) for text in pictures.texts]
        self.hidden = captions.number("")

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, pick: Pick) -> dict[str, Any]:
        row, draws = self.pictures.rows[pick.index], self.draws
        key = (pick.epoch, row)
        hidden = diffusion.draw_chance(draws.caption_dropout, draws.seed, "caption", *key)
        return {
            "row": row,
            "index": pick.index,
            "caption": self.hidden if hidden else self.captions[pick.index],
            "timestep": diffusion.draw_level(draws.levels, draws.timesteps, draws.seed, "timestep", *key),
            "noise": self._noise(key),
            "posterior": diffusion.draw_normal(draws.latent, draws.seed, "posterior", *key),
            **self._perturbation(key),
            **self._picture(pick),
        }

    def _noise(self, key: tuple[int, int]) -> Tensor:
        draws = self.draws
        noise = diffusion.draw_normal(draws.latent, draws.seed, "noise", *key)
        if not draws.noise_offset:
            return noise
        shift = diffusion.draw_normal((draws.latent[0], 1, 1), draws.seed, "noise offset", *key)
        return noise + draws.noise_offset * shift

    def _perturbation(self, key: tuple[int, int]) -> dict[str, Tensor]:
        draws = self.draws
        if not draws.input_perturbation:
            return {}
        drawn = diffusion.draw_normal(draws.latent, draws.seed, "perturbation", *key)
        return {"perturbation": draws.input_perturbation * drawn}

    def _picture(self, pick: Pick) -> dict[str, Tensor]:
        if self.encoded is not None:
            return {name: value[pick.index] for name, value in self.encoded.items()}
        pictures, index = self.pictures, pick.index
        text, row = pictures.texts[index], pictures.rows[index]
        shown = self.augmentation(pictures.image(index), pick.epoch, row, text)
        return framed(shown, pictures.resolution)


def held_out_batch(
    pictures: Pictures, captions: Captions, encoded: dict[str, Tensor], timesteps: int, draws: int
) -> dict[str, Tensor]:
    """Every held-out row ``draws`` times, with fixed noise and timesteps spread over all noise levels.

    Args:
        encoded: moments (V, 2C, h, w) and frames of the pictures.
        timesteps: length of the noise schedule.

    Returns:
        the entries of `TrainingRows`, stacked: V x draws rows.
    """
    latent = (encoded["moments"].shape[1] // 2, *encoded["moments"].shape[2:])
    places = [(index, draw) for index in range(len(pictures)) for draw in range(draws)]
    keys = [(FIXED, pictures.rows[index], draw) for index, draw in places]
    return {
        "caption": torch.tensor([captions.number(pictures.texts[index]) for index, _ in places]),
        "timestep": torch.tensor(diffusion.spread_timesteps(timesteps, len(places))),
        "noise": torch.stack([diffusion.draw_normal(latent, "noise", *key) for key in keys]),
        "posterior": torch.stack([diffusion.draw_normal(latent, "posterior", *key) for key in keys]),
        **{name: value[[index for index, _ in places]] for name, value in encoded.items()},
    }
