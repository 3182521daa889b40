"""The held-out pairs that models are compared on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from fsynth import caption_groups, retrieval
from fsynth.caption_groups import By, CaptionGroups
from fsynth.console import say
from fsynth.errors import DataError
from fsynth.order import choose_rows


@dataclass(frozen=True)
class Gallery:
    """Rows of a data set, their distinct captions, and which caption belongs to which row.

    The same rows in the same order serve every model of a comparison; each model sees a picture through its
    own preprocessing, which `fsynth.clip_model.ClipModel.describe` states.
    """

    dataset: Any
    rows: tuple[int, ...]
    captions: CaptionGroups
    seed: int

    @staticmethod
    def choose(dataset: Any, samples: int, seed: int, by: By = "attributes") -> Gallery:
        """A seeded draw of ``samples`` rows, all of them where there are fewer (which is said).

        Args:
            by: what makes captions right answers to one another: `fsynth.caption_groups.find`.

        Raises:
            DataError: there are none.
        """
        if len(dataset) == 0:
            raise DataError("there are no held-out rows to retrieve among; test_ind of ind.mat is empty")
        if samples > len(dataset):
            say(f"--n-samples {samples:,} is more than the {len(dataset):,} held-out rows: all are used")
        rows = choose_rows(len(dataset), min(samples, len(dataset)), seed)
        captions = caption_groups.find(dataset.select_columns("text")[rows]["text"], by)
        return Gallery(dataset, tuple(rows), captions, seed)

    def bounds(self) -> retrieval.Scores:
        """Chance and ceiling of these rows: `fsynth.retrieval.bounds`."""
        return retrieval.bounds(self.captions.sentence, self.captions.group)

    def record(self) -> dict[str, Any]:
        """What identifies the comparison: N, distinct captions, seed, and a hash of the row numbers."""
        numbers = self.dataset.select_columns("row")[list(self.rows)]["row"]
        digest = hashlib.sha256(",".join(map(str, numbers)).encode()).hexdigest()
        return {
            "n_samples": len(self.rows),
            "distinct_captions": len(self.captions.sentences),
            "caption_groups": len(self.captions.group.unique()),
            "group_by": self.captions.by,
            "seed": self.seed,
            "rows_sha256": digest,
        }

    def describe(self) -> str:
        """One line for the head of a table."""
        sentences, groups = len(self.captions.sentences), len(self.captions.group.unique())
        return (
            f"retrieval among {len(self.rows):,} held-out pictures with {sentences:,} distinct captions in "
            f"{groups:,} groups (rows drawn with seed {self.seed})"
        )
