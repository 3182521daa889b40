"""What a model makes of a gallery: features, places and scores, and the record of several side by side.

The one way from a model to its scores: `clip-eval`, and `clip-finetune` before, during and after training,
take it, so that the same weights on the same rows give the same numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fsynth import clip_model, loading, retrieval
from fsynth.clip_model import ClipModel
from fsynth.comparison import Comparison, compare
from fsynth.console import is_main_process
from fsynth.gallery import Gallery
from fsynth.retrieval import Ranking, Scores

PICTURES_AT_ONCE = 128


@dataclass(frozen=True)
class Evaluation:
    """One model on the rows of a `Gallery`.

    Attributes:
        pictures: (N, D) float32 on the CPU, of unit length, in the order of the gallery's rows.
        captions: (M, D) the same of its distinct sentences.
        places: protocol -> direction -> where the best right answer of each query stands.
    """

    pictures: Tensor
    captions: Tensor
    places: Ranking

    @cached_property
    def scores(self) -> Scores:
        """protocol -> direction -> name -> number: `fsynth.retrieval.scores`."""
        return retrieval.scores(self.places)


def evaluate(gallery: Gallery, model: ClipModel, workers: int = 0, title: str = "evaluating") -> Evaluation:
    """Encode every picture and every distinct caption once, in float32, on the model's device, and rank.

    The network is left as it was: a training one goes on training.

    Raises:
        DataError: a picture that cannot be read, a worker that was killed.
        ScoreError: features that are not numbers.
    """
    with judged(model):
        shown = clip_model.Pictures(gallery.dataset, gallery.rows, model.transform())
        pictures = encode(shown, model, workers, title)
        captions = clip_model.encode_sentences(model, gallery.captions.sentences)
    found = gallery.captions
    return Evaluation(pictures, captions, retrieval.evaluate(pictures, captions, found.sentence, found.group))


@contextlib.contextmanager
def judged(model: ClipModel) -> Iterator[None]:
    """Within the block the network is in evaluation mode; afterwards it is as it was."""
    training = model.network.training
    model.network.eval()
    try:
        yield
    finally:
        model.network.train(training)


def encode(
    shown: torch.utils.data.Dataset, model: ClipModel, workers: int = 0, title: str = "encoding"
) -> Tensor:
    """Features of pictures that the model's own preprocessing has made tensors, with a progress bar.

    Args:
        shown: place -> float32 (3, size, size).

    Returns:
        (N, D) float32 on the CPU, of unit length.

    Raises:
        DataError: a picture that cannot be read, a worker that was killed.
    """
    from tqdm.auto import tqdm

    loader = torch.utils.data.DataLoader(
        shown,
        batch_size=PICTURES_AT_ONCE,
        num_workers=workers,
        pin_memory=next(model.network.parameters()).is_cuda,
    )
    quiet = not is_main_process()
    with loading.clear_errors(), tqdm(loader, desc=title, unit="batch", disable=quiet) as batches:
        return clip_model.encode_pictures(model, batches)


def comparisons(gallery: Gallery, found: Mapping[str, Evaluation]) -> tuple[Comparison, ...]:
    """Every further model against the first: `fsynth.comparison.compare`."""
    (first, baseline), *others = found.items()
    return tuple(
        compare(first, baseline.places, name, other.places, gallery.captions) for name, other in others
    )


def record(
    data: str,
    gallery: Gallery,
    models: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Evaluation],
    compared: Sequence[Comparison],
) -> dict[str, Any]:
    """The content of scores.json.

    Args:
        data: one line about the data and their rows.
        models: name -> what is to be said of the model beside its scores (``preprocessing`` ...).
        found: name -> what it scored, in the order of the tables.
    """
    return {
        "data": data,
        **gallery.record(),
        "bounds": gallery.bounds(),
        "models": {name: {**models[name], "scores": one.scores} for name, one in found.items()},
        "comparisons": [comparison.record() for comparison in compared],
    }
