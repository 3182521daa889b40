"""Rows of a data set as diffusion training takes them: pixels, token ids and keyed random draws.

Noise, timesteps, posterior draws and caption dropout are functions of (seed, epoch, row), where row is the
number in the benchmark's files: neither batch size nor process count nor a resume changes them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from fsynth import diffusion, sd_buckets
from fsynth.data import picture_identity, picture_sizes
from fsynth.data.augmentation import Augmentation, mirrored
from fsynth.data.row_pictures import row_of
from fsynth.order import Kinds
from fsynth.sd_buckets import Size

if TYPE_CHECKING:
    import datasets
    from PIL import Image

    from fsynth.order import Pick
    from fsynth.sd_captions import Captions

Shape = tuple[int, int, int]
FIXED = "validation"
"""In place of a seed: held-out losses compare between epochs, runs and seeds."""


class View(NamedTuple):
    """A way in which one of `Pictures` is shown: its place there, and whether it is mirrored."""

    index: int
    mirrored: bool = False

    def other(self) -> View:
        return View(self.index, not self.mirrored)


class Moments(Protocol):
    """Posterior moments of pictures (`sd_moments`): float32 (2C, h, w) of each view, on the CPU."""

    def __getitem__(self, view: View) -> Tensor: ...


class Pictures:
    """Chosen rows of a data set as pixels, each of the size that fits it.

    Args:
        dataset: with the columns image, text, name and row.
        chosen: positions in ``dataset``, from 0.
        resolution: side in pixels.

    Attributes:
        buckets: sizes that pictures are of; empty where all are square.
        targets: the size of each picture's pixels, (width, height).
    """

    def __init__(self, dataset: datasets.Dataset, chosen: Sequence[int], resolution: int) -> None:
        self.dataset, self.chosen, self.resolution = dataset, list(chosen), resolution
        words = dataset.select_columns(["text", "name", "row"])[self.chosen]
        self.texts: list[str] = words["text"]
        self.names: list[str] = words["name"]
        self.rows: list[int] = words["row"]
        self.fit(())

    def fit(self, buckets: Sequence[Size]) -> None:
        """Give each picture the size among these (`sd_buckets.sizes`) that cuts least off; none is square."""
        self.buckets = tuple(buckets)
        self.targets: list[Size] = [(self.resolution, self.resolution)] * len(self.chosen)
        if buckets:
            self.targets = [sd_buckets.nearest(size, buckets) for size in self.originals]

    @functools.cached_property
    def identities(self) -> list[str]:
        """What changes with each picture's content (`picture_identity`)."""
        return picture_identity.identities(self.dataset, self.chosen)

    @functools.cached_property
    def originals(self) -> list[Size]:
        """The size of each picture as it is in the data set.

        Raises:
            DataError: a picture that cannot be read.
        """
        return picture_sizes.find(self.dataset, self.chosen, self.identities)

    @property
    def kinds(self) -> Kinds | None:
        """Pictures of one size are of one kind; None where there is but one."""
        numbers = {size: number for number, size in enumerate(sorted(set(self.targets)))}
        return Kinds(tuple(numbers[size] for size in self.targets)) if len(numbers) > 1 else None

    def frames(self) -> Tensor:
        """What is told of each picture beside its pixels: float32 (N, 6), see `sd_buckets.frame`."""
        pairs = zip(self.originals, self.targets, strict=True)
        return torch.stack([sd_buckets.frame(*pair) for pair in pairs])

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, view: View | int) -> Tensor:
        """float32 RGB (3, height, width) in [-1, 1]; a number is the picture as it is."""
        view = View(view) if isinstance(view, int) else view
        shown = self.image(view.index)
        return self.fitted(view.index, mirrored(shown.convert("RGB")) if view.mirrored else shown)

    def fitted(self, index: int, shown: Image.Image) -> Tensor:
        """The same of a picture that is shown in the place of this one."""
        return to_pixels(shown, self.targets[index])

    def image(self, index: int) -> Image.Image:
        """The picture as it is in the data set.

        Raises:
            DataError: when it cannot be read or decoded.
        """
        return row_of(self.dataset, self.chosen[index])["image"]


def to_pixels(image: Image.Image, size: Size) -> Tensor:
    """Centre crop of the shape of ``size``, (width, height), resized to it (Lanczos, antialiased): float32
    (3, height, width) in [-1, 1]. `sd_moments.VERSION` counts changes of this."""
    from PIL import Image

    box = sd_buckets.crop_box(image.size, size)
    fitted = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, box=box)
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float() / 127.5 - 1


@dataclass(frozen=True)
class Draws:
    """What random draws need to know.

    Attributes:
        seed: the run's.
        timesteps: length of the noise schedule.
        levels: how a timestep of it is drawn (`diffusion.draw_level`).
        channels: of latents.
        factor: pixels per latent along a side.
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
    channels: int
    factor: int
    caption_dropout: float
    noise_offset: float = 0.0
    input_perturbation: float = 0.0
    levels: str = "uniform"

    def shape(self, size: Size) -> Shape:
        """Of the latents (C, h, w) of a picture of (width, height) pixels."""
        return self.channels, size[1] // self.factor, size[0] // self.factor


class TrainingRows:
    """What a training step needs of each row; indexed with an `order.Pick`.

    Items: row (number in the files), index (position here), caption (its number), timestep, noise and
    posterior (C, h, w) normal, perturbation (C, h, w) where there is one, frame (6,) (`sd_buckets.frame`;
    mirrored pictures have the same), and moments (2C, h, w) where they are at hand, else pixels (3, H, W) of
    the augmented picture. Rows of one kind (`kinds`) have one size: only these can be stacked.

    Args:
        moments: of every way in which ``augmentation`` shows a picture; only with one that does no more than
            mirror.
    """

    def __init__(
        self,
        pictures: Pictures,
        captions: Captions,
        draws: Draws,
        moments: Moments | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.pictures, self.draws, self.moments = pictures, draws, moments
        self.augmentation = augmentation or Augmentation(draws.seed)
        self.captions = [captions.number(text) for text in pictures.texts]
        self.hidden = captions.number("")
        self.frames = pictures.frames()

    @property
    def kinds(self) -> Kinds | None:
        """Rows that a batch may hold together; None for all."""
        return self.pictures.kinds

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, pick: Pick) -> dict[str, Any]:
        row, draws = self.pictures.rows[pick.index], self.draws
        key, shape = (pick.epoch, row), draws.shape(self.pictures.targets[pick.index])
        hidden = diffusion.draw_chance(draws.caption_dropout, draws.seed, "caption", *key)
        return {
            "row": row,
            "index": pick.index,
            "caption": self.hidden if hidden else self.captions[pick.index],
            "timestep": diffusion.draw_level(draws.levels, draws.timesteps, draws.seed, "timestep", *key),
            "noise": self._noise(shape, key),
            "posterior": diffusion.draw_normal(shape, draws.seed, "posterior", *key),
            "frame": self.frames[pick.index],
            **self._perturbation(shape, key),
            **self._picture(pick),
        }

    def _noise(self, shape: Shape, key: tuple[int, int]) -> Tensor:
        draws = self.draws
        noise = diffusion.draw_normal(shape, draws.seed, "noise", *key)
        if not draws.noise_offset:
            return noise
        shift = diffusion.draw_normal((draws.channels, 1, 1), draws.seed, "noise offset", *key)
        return noise + draws.noise_offset * shift

    def _perturbation(self, shape: Shape, key: tuple[int, int]) -> dict[str, Tensor]:
        draws = self.draws
        if not draws.input_perturbation:
            return {}
        drawn = diffusion.draw_normal(shape, draws.seed, "perturbation", *key)
        return {"perturbation": draws.input_perturbation * drawn}

    def _picture(self, pick: Pick) -> dict[str, Tensor]:
        pictures, index = self.pictures, pick.index
        shown = (pick.epoch, pictures.rows[index], pictures.texts[index])
        if self.moments is not None:
            return {"moments": self.moments[View(index, self.augmentation.mirrors(*shown))]}
        return {"pixels": pictures.fitted(index, self.augmentation(pictures.image(index), *shown))}


class HeldOutRows:
    """Every held-out row ``draws`` times, with fixed noise and timesteps spread over all noise levels.

    Items are those of `TrainingRows`, indexed with a number below the length; the draws of a row stand
    together.

    Args:
        moments: of the pictures as they are.
        timesteps: length of the noise schedule.
    """

    def __init__(
        self, pictures: Pictures, captions: Captions, moments: Moments, timesteps: int, draws: int
    ) -> None:
        self.pictures, self.captions, self.moments, self.draws = pictures, captions, moments, draws
        self.timesteps = diffusion.spread_timesteps(timesteps, len(self))
        self.frames = pictures.frames()

    def __len__(self) -> int:
        return len(self.pictures) * self.draws

    def __getitem__(self, place: int) -> dict[str, Any]:
        index, draw = divmod(place, self.draws)
        moments, key = self.moments[View(index)], (FIXED, self.pictures.rows[index], draw)
        shape = (moments.shape[0] // 2, *moments.shape[1:])
        return {
            "caption": self.captions.number(self.pictures.texts[index]),
            "timestep": self.timesteps[place],
            "noise": diffusion.draw_normal(shape, "noise", *key),
            "posterior": diffusion.draw_normal(shape, "posterior", *key),
            "frame": self.frames[index],
            "moments": moments,
        }

    def batches(self, size: int) -> Iterator[list[int]]:
        """All numbers, at most ``size`` of them at a time, of pictures of one size."""
        alike: dict[Size, list[int]] = {}
        for place in range(len(self)):
            alike.setdefault(self.pictures.targets[place // self.draws], []).append(place)
        for places in alike.values():
            yield from (places[start : start + size] for start in range(0, len(places), size))
