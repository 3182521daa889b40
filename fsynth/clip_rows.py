"""Training rows of CLIP: pictures, changed and cropped, with their sentences as tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fsynth.caption_groups import CaptionGroups
from fsynth.clip_model import ClipModel
from fsynth.data.augmentation import Augmentation
from fsynth.data.row_pictures import row_of
from fsynth.keyed import seed_of
from fsynth.short_text import without_padding


class Pairs(torch.utils.data.Dataset):
    """Training rows: ``image`` (3, H, W), changed and cropped as (seed, epoch, row) says, ``tokens``
    (length,) for `fsynth.short_text.ShortText`, and ``sentence`` and ``group``, the numbers of both.

    Indexed with anything that has ``index`` and ``epoch``, such as `fsynth.order.Pick`; a picture that cannot
    be read is a `DataError` that names its row.
    """

    def __init__(
        self,
        dataset: Any,
        rows: Sequence[int],
        model: ClipModel,
        seed: int,
        groups: CaptionGroups,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.dataset, self.rows, self.seed = dataset, rows, seed
        self.augmentation = augmentation or Augmentation(seed)
        self.transform = model.transform(train=True)
        self.tokens = without_padding(model.network, model.tokenizer(list(groups.sentences)))
        self.groups = groups

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, pick: Any) -> dict[str, Tensor]:
        record = row_of(self.dataset, int(self.rows[pick.index]))
        row = int(record["row"])
        picture = self.augmentation(record["image"], pick.epoch, row, record["text"])
        with _seeded(seed_of(self.seed, "crop", pick.epoch, row)):
            image = self.transform(picture)
        sentence = self.groups.sentence[pick.index]
        group = self.groups.group[sentence]
        return {"image": image, "tokens": self.tokens[sentence], "sentence": sentence, "group": group}


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global CPU generator, which torchvision draws from, at a seed; put back as it was afterwards."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
