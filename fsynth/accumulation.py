"""The contrastive loss of a batch that is too large to be held at once.

Adding up the losses of small batches is not the loss of the large one: a row would be compared with few
others. Features are small, though. So each micro-batch is encoded without keeping its activations; the loss
of all features gives each feature its gradient; then each micro-batch is encoded again, and its gradient
handed on (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup").
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fsynth.contrastive import Features, Gradients, Kind, contrastive_loss, loss_and_gradients

Given = tuple[Tensor | None, Tensor | None]
Parts = list[Callable[[], Tensor]]


class Accumulation:
    """The micro-batches of a step, until its last one.

    Args:
        model: called with pictures and tokens, either of which may be None, it returns their features, of
            unit length, the logit scale and, where it has one, the logit bias, as open_clip's models do.
        kind: the loss.
    """

    def __init__(self, model: nn.Module, kind: Kind) -> None:
        self.model, self.kind = model, kind
        self.learns = learning_towers(model)
        self._given: list[Given] = []
        self._features: list[Features] = []

    def add(self, batch: dict[str, Tensor]) -> None:
        """Take a micro-batch (``image``, ``tokens``, ``group``, ``weight``), without keeping activations."""
        with torch.no_grad():
            self._features.append(self._encode(batch))
        pictures, sentences = self.learns
        self._given.append((batch["image"] if pictures else None, batch["tokens"] if sentences else None))

    def finish(self, batch: dict[str, Tensor]) -> tuple[Tensor, Parts]:
        """The loss of the step, of which this micro-batch is the last, and functions, one for each
        micro-batch, whose results are to be back-propagated one after the other, each under the random state
        that its micro-batch was added under. No functions: the loss itself is to be back-propagated."""
        if not self._given:
            return contrastive_loss(self.kind, self._encode(batch)), []
        self.add(batch)
        given, features = self._given, self._features
        self._given, self._features = [], []
        sizes = [len(one.weight) for one in features]
        loss, gradients = loss_and_gradients(self.kind, _joined(features), sizes[0])
        shares = _split(gradients, sizes)
        return loss, [functools.partial(self._again, *one) for one in zip(given, shares, strict=True)]

    def _encode(self, batch: dict[str, Tensor]) -> Features:
        pictures, sentences, scale, *bias = self.model(batch["image"], batch["tokens"])
        return Features(pictures, sentences, scale, batch["weight"], batch["group"], *bias)

    def _again(self, given: Given, gradients: Gradients) -> Tensor:
        """A scalar with this micro-batch's part of the gradient. A tower that learns nothing stands still."""
        found = zip(self.model(*given), gradients, strict=False)  # a model without a bias returns none
        return sum((value * gradient).sum() for value, gradient in found if value is not None)


def _joined(parts: list[Features]) -> Features:
    last = parts[-1]
    names = ("pictures", "sentences", "weight", "group")
    rows = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    return Features(**rows, scale=last.scale, bias=last.bias)


def _split(gradients: Gradients, sizes: list[int]) -> list[Gradients]:
    """Of each micro-batch its rows'; scale and bias are met in all of them and shared alike."""
    pictures, sentences, scale, bias = gradients
    scale, bias = scale / len(sizes), None if bias is None else bias / len(sizes)
    pairs = zip(pictures.split(sizes), sentences.split(sizes), strict=True)
    return [(picture, sentence, scale, bias) for picture, sentence in pairs]


def learning_towers(model: nn.Module) -> tuple[bool, bool]:
    """Whether the tower of pictures, and that of sentences, has weights that learn."""
    names = [f".{name}" for name, value in model.named_parameters() if value.requires_grad]
    towers = [name for name in names if not name.endswith((".logit_scale", ".logit_bias"))]
    pictures = [".visual." in name for name in towers]
    return any(pictures), not all(pictures)
