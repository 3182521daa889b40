"""Feature extractors: pictures in, features and class logits out, each with all that its numbers depend on.

A score is comparable only with scores of the same extractor, weights and preprocessing, so an `Extractor`
carries all three and every record of a score repeats them.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fsynth import probe_model
from fsynth.console import is_main_process
from fsynth.data import picture_files
from fsynth.errors import DataError, ModelError
from fsynth.weight_files import inception_weights, sha256_of

DECODERS = 4


@dataclass(frozen=True)
class Extractor:
    """A named network and its preprocessing.

    ``compute`` maps uint8 RGB (N, 3, H, W) to features (N, d) and logits (N, ``classes``), both float32.
    ``logits`` says in words what the classes are.
    """

    name: str
    version: str
    sha256: str
    preprocessing: str
    logits: str
    classes: int
    compute: Callable[[Tensor], tuple[Tensor, Tensor]]

    def record(self) -> dict[str, Any]:
        """What a score's record says of its extractor."""
        names = ("name", "version", "sha256", "preprocessing", "logits", "classes")
        return {name: getattr(self, name) for name in names}


def inception(weights: Path | None = None, device: str = "cpu") -> Extractor:
    """torch-fidelity's Inception v3 of 2015: 2048 features and 1008 logits without the bias.

    Args:
        weights: the file, or None for torch hub's folder or a download.

    Raises:
        ModelError: when the weights are missing, wrong or unreadable.
    """
    path = inception_weights(weights)
    import torch_fidelity

    network = _inception_network(path).to(device)

    @torch.inference_mode()
    def compute(pictures: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = network(pictures.to(device))
        return features.cpu(), logits.cpu()

    return Extractor(
        name="inception-v3-compat",
        version=f"torch-fidelity {torch_fidelity.__version__}",
        sha256=sha256_of(path),
        preprocessing="uint8 RGB, TensorFlow 1 bilinear to 299 px without antialiasing, (x - 128) / 128",
        logits="1,008 ImageNet logits without the bias",
        classes=1008,
        compute=compute,
    )


def _inception_network(path: Path) -> torch.nn.Module:
    """The network from a file read as tensors only: torch-fidelity by itself unpickles without restraint."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    tensors = io.BytesIO()
    try:
        torch.save(torch.load(path, weights_only=True, map_location="cpu"), tensors)
        tensors.seek(0)
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], tensors)
    except Exception as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"{path} cannot be read as Inception weights ({first}); download it again") from None


def probe(folder: Path = probe_model.ASSET, device: str = "cpu") -> Extractor:
    """The small network of this package, trained on drawn garments; its logits are the garment categories.

    Raises:
        ModelError: when the folder holds no whole probe.
    """
    network, record = probe_model.load_probe(folder)
    network.to(device)
    size = probe_model.PICTURE_SIZE

    @torch.inference_mode()
    def compute(pictures: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = network(_resized(pictures.to(device), size) / 127.5 - 1)
        return features.cpu(), logits["category"].cpu()

    return Extractor(
        name=probe_model.NAME,
        version=str(record["version"]),
        sha256=record["sha256"],
        preprocessing=f"uint8 RGB, antialiased bicubic to {size} px, x / 127.5 - 1",
        logits="19 garment categories",
        classes=len(probe_model.HEADS["category"]),
        compute=compute,
    )


def _resized(pictures: Tensor, size: int) -> Tensor:
    pictures = pictures.float()
    if pictures.shape[-2:] == (size, size):
        return pictures
    resize = torch.nn.functional.interpolate
    return resize(pictures, (size, size), mode="bicubic", antialias=True).round().clamp(0, 255)


def extract(
    extractor: Extractor, pictures: Sequence[Path], batch_size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, d) and logits (N, classes), float32, of picture files in the given order.

    The files may differ in size. Every extractor here treats a picture alone, so the batch size changes
    nothing beyond float noise.

    Raises:
        DataError: when there are none, or a file is not a picture.
    """
    if not pictures:
        raise DataError("no pictures to extract features from")
    parts = [extractor.compute(torch.from_numpy(batch)) for batch in _batches(pictures, batch_size)]
    features, logits = (torch.cat(kind).numpy() for kind in zip(*parts, strict=True))
    return features, logits


def _batches(pictures: Sequence[Path], batch_size: int) -> Iterator[np.ndarray]:
    """Stacks (n, 3, H, W) of neighbouring pictures of one size."""
    from tqdm.auto import tqdm

    bar = tqdm(total=len(pictures), desc="features", unit="picture", disable=not is_main_process())
    with bar, ThreadPoolExecutor(DECODERS) as pool:
        for start in range(0, len(pictures), batch_size):
            paths = pictures[start : start + batch_size]
            decoded = pool.map(read_picture, paths)
            for _, same_size in itertools.groupby(decoded, key=lambda picture: picture.shape):
                yield np.stack(list(same_size))
            bar.update(len(paths))


def read_picture(path: Path) -> np.ndarray:
    """A picture file as uint8 RGB (3, H, W).

    Raises:
        DataError: when the file is missing, cut off, or no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB")).transpose(2, 0, 1).copy()
    except picture_files.undecodable() as error:
        raise DataError(f"{path} is not a whole picture ({error}); sample it again") from None
