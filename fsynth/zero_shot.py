"""What a CLIP model can tell without training: pictures to classes by sentences about the classes.

A class is the mean of the features of a few sentences that name it, all of unit length (the recipe of CLIP:
Radford et al. 2021, arXiv:2103.00020, section 3.1.4); a picture belongs to the class nearest to it. Where
classes are equally near, a picture counts as right with the probability of a fair draw among them, so a
model that knows nothing has the score of chance.

Two models are compared picture by picture. The interval of the difference is a bootstrap over clusters of
pictures: those of one caption group show alike garments, and are told or mistaken together, so that single
pictures would promise too much. Without groups each picture is a cluster of its own. Rejected: McNemar's
test, which takes pictures for independent and does not say how large a difference is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from fsynth import clip_model, comparison
from fsynth.comparison import Verdict

Z = 1.959963984540054
"""Standard deviations that hold the middle 95 % of a normal distribution."""
_CELLS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Task:
    """Pictures that belong to classes.

    Attributes:
        name: what is told, ``category`` say.
        classes: their names; at least two.
        prompts: of each class, the sentences that name it.
        rows: (n,) int64, places of the pictures among those that are encoded.
        truth: (n,) int64, the class of each.
        clusters: (n,) int64, pictures that are told or mistaken together, counted from 0.
        left_out: pictures whose class is not known.
    """

    name: str
    classes: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    rows: Tensor
    truth: Tensor
    clusters: Tensor
    left_out: int = 0

    @property
    def chance(self) -> float:
        """The share that guessing gets right, whatever the shares of the classes."""
        return 1 / len(self.classes)

    @property
    def majority(self) -> float:
        """The share that calling every picture by the most frequent class gets right."""
        return float(torch.bincount(self.truth).max()) / len(self.truth)

    def record(self) -> dict[str, Any]:
        """What a score of this task depends on, as plain values."""
        return {
            "pictures": len(self.truth),
            "left_out": self.left_out,
            "classes": list(self.classes),
            "chance": self.chance,
            "majority": self.majority,
            "prompts": [list(prompts) for prompts in self.prompts],
        }


Hits = Mapping[str, Tensor]
"""name of a task -> (n,) float64 in [0, 1], how far each picture was told right (`hits`)."""


@dataclass(frozen=True)
class Score:
    """``accuracy`` lies between ``low`` and ``high`` with 95 % (Wilson), if pictures are independent;
    ``balanced`` is the mean over the classes, each counting as much as the others."""

    accuracy: float
    low: float
    high: float
    balanced: float


@dataclass(frozen=True)
class Change:
    """Accuracies of two models on the same pictures; ``low`` and ``high`` enclose their ``difference`` with
    95 %. ``verdict`` is about the second."""

    task: str
    baseline: str
    model: str
    baseline_accuracy: float
    model_accuracy: float
    difference: float
    low: float
    high: float
    verdict: Verdict
    pictures: int
    clusters: int

    def record(self) -> dict[str, Any]:
        """Plain values for scores.json."""
        return asdict(self)


def fill(templates: Sequence[str], word: str) -> tuple[str, ...]:
    """Templates with the word in place of ``{}``; ``a`` before it becomes ``an`` before a vowel.

    >>> fill(["a photo of a {}.", "the lady wore {} clothes."], "orange")
    ('a photo of an orange.', 'the lady wore orange clothes.')
    """
    article = "an {}" if word[:1].lower() in tuple("aeiou") else "a {}"
    return tuple(re.sub(r"\ba \{\}", article, template).format(word) for template in templates)


def class_features(model: clip_model.ClipModel, prompts: Sequence[Sequence[str]]) -> Tensor:
    """(classes, width) float32 of unit length: of each class the mean of its sentences, every distinct
    sentence encoded once."""
    distinct = list(dict.fromkeys(sentence for sentences in prompts for sentence in sentences))
    place = {sentence: number for number, sentence in enumerate(distinct)}
    features = clip_model.encode_sentences(model, distinct)
    means = [features[[place[sentence] for sentence in sentences]].mean(0) for sentences in prompts]
    return torch.nn.functional.normalize(torch.stack(means), dim=1)


def hits(pictures: Tensor, classes: Tensor, truth: Tensor) -> Tensor:
    """How far each picture is told right: 1, 0, or 1 of the classes that are equally near.

    Args:
        pictures: (n, width), of unit length.
        classes: (classes, width), of unit length.
        truth: (n,) int64.

    Returns:
        (n,) float64 in [0, 1].
    """
    parts = []
    step = max(1, _CELLS_AT_ONCE // len(classes))
    for some, right in zip(pictures.split(step), truth.split(step), strict=True):
        # rounded once, from float64: equal features give equal numbers (`fsynth.retrieval`)
        near = (some.double() @ classes.double().T).float()
        best = near == near.amax(1, keepdim=True)
        parts.append(best.gather(1, right[:, None])[:, 0].double() / best.sum(1))
    return torch.cat(parts)


def tell(model: clip_model.ClipModel, pictures: Tensor, tasks: Sequence[Task]) -> dict[str, Tensor]:
    """`Hits` of a model.

    Args:
        pictures: (N, width) float32 of unit length, all those that the rows of the tasks are places in.
    """
    return {
        task.name: hits(pictures[task.rows], class_features(model, task.prompts), task.truth)
        for task in tasks
    }


def score(task: Task, told: Tensor) -> Score:
    """The score of a model from its `hits`."""
    accuracy, low, high = wilson(float(told.sum()), len(told))
    right = torch.bincount(task.truth, weights=told, minlength=len(task.classes))
    there = torch.bincount(task.truth, minlength=len(task.classes))
    return Score(accuracy, low, high, float((right / there)[there > 0].mean()))


def wilson(right: float, pictures: int) -> tuple[float, float, float]:
    """A share and its 95 % interval (Wilson 1927): inside [0, 1], also of few pictures or none right."""
    share = right / pictures
    spread = Z * math.sqrt(share * (1 - share) / pictures + (Z / pictures) ** 2 / 4)
    middle, whole = share + Z**2 / (2 * pictures), 1 + Z**2 / pictures
    return share, max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def compare(task: Task, baseline: str, before: Tensor, model: str, after: Tensor) -> Change:
    """Compare two models by their `hits` on the same pictures (see the module text)."""
    differences, sizes = after - before, torch.bincount(task.clusters).double()
    sums = torch.bincount(task.clusters, weights=differences)
    changed = int((torch.bincount(task.clusters, weights=differences.abs()) > 0).sum())
    effective = float(sizes.sum() ** 2 / sizes.square().sum())
    low, high = comparison.interval(comparison.resampled_means(sums, sizes), effective)
    return Change(
        task=task.name,
        baseline=baseline,
        model=model,
        baseline_accuracy=float(before.mean()),
        model_accuracy=float(after.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        verdict=comparison.judge(low, high, changed),
        pictures=len(differences),
        clusters=len(sizes),
    )


# --------------------------------------------------------------------------------------------------
# of several models


def record(tasks: Sequence[Task], models: Mapping[str, Hits]) -> dict[str, Any]:
    """All that can be said, as plain values: ``tasks``, ``models`` (model -> task -> score) and
    ``comparisons`` of each further model with the first, task by task."""
    return {
        "tasks": {task.name: task.record() for task in tasks},
        "models": {
            name: {task.name: asdict(score(task, told[task.name])) for task in tasks}
            for name, told in models.items()
        },
        "comparisons": [change.record() for change in changes(tasks, models)],
    }


def changes(tasks: Sequence[Task], models: Mapping[str, Hits]) -> list[Change]:
    """Comparisons of each further model with the first, task by task."""
    (first, before), *others = models.items()
    return [
        compare(task, first, before[task.name], name, told[task.name])
        for name, told in others
        for task in tasks
    ]
