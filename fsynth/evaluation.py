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

from fsynth import clip_model, loading, ranking, retrieval, score_names
from fsynth.caption_groups import CaptionGroups
from fsynth.clip_model import ClipModel
from fsynth.comparison import Comparison, compare
from fsynth.console import is_main_process
from fsynth.gallery import Gallery
from fsynth.retrieval import Ranking, Scores

PICTURES_AT_ONCE = 128
SHOWN_AFTER = 2.0
"""Seconds; ranking a few thousand rows takes less."""


@dataclass(frozen=True)
class Evaluation:
    """One model on the rows of a `Gallery`.

    Attributes:
        gallery: the rows.
        pictures: (N, D) float32 on the CPU, of unit length, in the order of the gallery's rows.
        captions: (M, D) the same of its distinct sentences.
        places: protocol -> direction -> where the best right answer of each query stands.
    """

    gallery: Gallery
    pictures: Tensor
    captions: Tensor
    places: Ranking

    @cached_property
    def scores(self) -> Scores:
        """protocol -> direction -> name -> number: `fsynth.retrieval.scores`."""
        return retrieval.scores(self.places)

    @cached_property
    def seen(self) -> dict[str, dict[str, Scores]]:
        """What was seen (``sentence``, ``group``) -> ``seen`` or ``unseen`` in training -> protocol ->
        direction -> ``recall@1`` of these captions' queries; empty where that is not known."""
        return {
            kind: {
                side: retrieval.recall_apart(self.places, self.gallery.captions.sentence, apart)
                for side, apart in (("seen", seen), ("unseen", ~seen))
            }
            for kind, seen in self.gallery.seen.items()
        }


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
    return Evaluation(gallery, pictures, captions, rank(gallery.captions, pictures, captions))


def rank(found: CaptionGroups, pictures: Tensor, captions: Tensor) -> Ranking:
    """`fsynth.ranking.rank`, with a progress bar where it takes long.

    Args:
        found: the captions of the pictures.
        pictures, captions: features as of an `Evaluation`.
    """
    from tqdm.auto import tqdm

    queries, quiet = len(pictures) + len(captions), not is_main_process()
    with tqdm(total=queries, desc="ranking", unit="query", delay=SHOWN_AFTER, disable=quiet) as bar:
        return ranking.rank(pictures, captions, found.sentence, found.group, bar.update)


@contextlib.contextmanager
def judged(model: ClipModel) -> Iterator[None]:
    """Within the block the network is in evaluation mode; afterwards it is as it was."""
    modes = [(layer, layer.training) for layer in model.network.modules()]
    model.network.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


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
        "compared_with": score_names.COMPARED_WITH,
        "models": {
            name: {**models[name], "scores": one.scores, "seen": one.seen} for name, one in found.items()
        },
        "comparisons": [comparison.record() for comparison in compared],
    }
