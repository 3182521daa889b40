"""How pictures fit the sizes that a model is trained at: aspect buckets, crops and where they lie. Pure.

Sizes are (width, height) in pixels throughout. A picture is resized until it covers its bucket, and what
stands over is cut off evenly on both sides: garments are tall, and a square would cost them head and hem.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from fsynth.console import counted

Size = tuple[int, int]
STEP = 64
"""Usual distance between the sides of buckets, as in the models' own training from 512 px on."""
PARTS = 8
"""At smaller resolutions, the distance is this part of it."""


def usual_step(resolution: int, factor: int) -> int:
    """Distance between the sides of buckets where none is given: 64 from 512 px on.

    Args:
        factor: pixels per latent along a side; all sides are multiples of it.
    """
    return max(factor, min(STEP, resolution // PARTS) // factor * factor)


def sizes(resolution: int, step: int, max_ratio: float) -> list[Size]:
    """The buckets: sides are multiples of ``step`` (that of the square excepted), the longer at most
    ``max_ratio`` times the shorter, and no more pixels than the square of ``resolution``, so that a batch
    that fits in memory does so in every bucket."""
    found = {(resolution, resolution)}
    for short in range(step, resolution + 1, step):
        long = resolution * resolution // short // step * step
        if short < long <= max_ratio * short:
            found |= {(short, long), (long, short)}
    return sorted(found)


def nearest(size: Size, buckets: Sequence[Size]) -> Size:
    """The bucket that cuts least off a picture; the largest one where several do."""
    return min(buckets, key=lambda bucket: (round(cut_off(size, bucket), 9), -bucket[0] * bucket[1]))


def crop_box(size: Size, target: Size) -> tuple[int, int, int, int]:
    """The part of a picture that is shown: left, upper, right, lower, in its own pixels."""
    scale = max(target[0] / size[0], target[1] / size[1])
    width, height = (min(side, round(wanted / scale)) for side, wanted in zip(size, target, strict=True))
    left, upper = (size[0] - width) // 2, (size[1] - height) // 2
    return left, upper, left + width, upper + height


def cut_off(size: Size, target: Size) -> float:
    """Share of a picture's pixels that is not shown, in [0, 1)."""
    ratio = size[0] * target[1] / (size[1] * target[0])
    return 1 - min(ratio, 1 / ratio)


def frame(size: Size, target: Size) -> Tensor:
    """What Stable Diffusion XL is told of a picture (Podell et al. 2023, arXiv 2307.01952, section 2.2):
    float32 (6,), original height and width, top and left of the crop in the resized picture, target height
    and width."""
    left, upper, right, _ = crop_box(size, target)
    scale = target[0] / (right - left)
    return torch.tensor(
        [size[1], size[0], round(upper * scale), round(left * scale), target[1], target[0]]
    ).float()


def count(targets: Sequence[Size]) -> str:
    """How many pictures are in each bucket, the fullest first."""
    used = sorted(Counter(targets).items(), key=lambda item: (-item[1], item[0]))
    return f"buckets: {', '.join(f'{width}x{height} ({number:,})' for (width, height), number in used)}"


def describe_crops(originals: Sequence[Size], targets: Sequence[Size], names: Sequence[str]) -> str:
    """What is cut off, beside what squares would cut off, and how many pictures are enlarged."""
    cuts = [cut_off(*pair) for pair in zip(originals, targets, strict=True)]
    worst = max(range(len(cuts)), key=cuts.__getitem__)
    squares = [cut_off(size, (1, 1)) for size in originals]
    enlarged = sum(
        max(target[0] / size[0], target[1] / size[1]) > 1
        for size, target in zip(originals, targets, strict=True)
    )
    beside = f" (squares: {_mean(squares):.1%})" if _mean(squares) != _mean(cuts) else ""
    return (
        f"cropped: {_mean(cuts):.1%} of the pixels on average{beside}, at most {cuts[worst]:.1%} "
        f"({names[worst]}); enlarged: {enlarged:,} of {counted(len(originals), 'picture')}"
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
