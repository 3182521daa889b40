"""The held-out pairs that models are compared on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fsynth import caption_groups, ceilings
from fsynth.caption_groups import By, CaptionGroups
from fsynth.console import say
from fsynth.errors import DataError
from fsynth.order import choose_rows
from fsynth.retrieval import Scores
from fsynth.score_names import PROTOCOLS


@dataclass(frozen=True)
class Gallery:
    """Rows of a data set, their distinct captions, and which caption belongs to which row.

    The same rows in the same order serve every model of a comparison; each model sees a picture through its
    own preprocessing, which `fsynth.clip_model.ClipModel.describe` states.

    Attributes:
        seen: which captions training had, where that is known: ``sentence``, and ``group`` where groups are
            not sentences -> (M,) bool of the distinct captions.
    """

    dataset: Any
    rows: tuple[int, ...]
    captions: CaptionGroups
    seed: int
    seen: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    @staticmethod
    def choose(dataset: Any, samples: int, seed: int, by: By = "attributes") -> Gallery:
        """A seeded draw of ``samples`` rows, all of them where there are fewer (which is said).

        Args:
            by: what makes captions right answers to one another: `fsynth.caption_groups.find`.

        Raises:
            DataError: there are none.
        """
        if len(dataset) == 0:
            raise DataError("there are no held-out rows to retrieve among; every row of the data trains")
        if samples > len(dataset):
            say(f"--n-samples {samples:,} is more than the {len(dataset):,} held-out rows: all are used")
        rows = choose_rows(len(dataset), min(samples, len(dataset)), seed)
        captions = caption_groups.find(dataset.select_columns("text")[rows]["text"], by)
        return Gallery(dataset, tuple(rows), captions, seed)

    def trained_on(self, texts: Sequence[str]) -> Gallery:
        """The same rows, knowing which of their captions training had among these sentences."""
        own = self.captions
        both = caption_groups.find([*own.sentences, *dict.fromkeys(texts)], own.by)
        trained = both.sentence[len(own.sentences) :]
        ours = torch.arange(len(own.sentences))
        seen = {"sentence": torch.isin(ours, trained)}
        if own.by != "sentence":
            seen["group"] = torch.isin(both.group[ours], both.group[trained])
        return dataclasses.replace(self, seen=seen)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those that differ: groups of equal sentences are the sentences."""
        return PROTOCOLS if self.captions.by == "attributes" else ("sentence", "pair")

    def bounds(self) -> Scores:
        """Chance and ceilings of these rows: `fsynth.ceilings.bounds`."""
        return self._bounds

    @cached_property
    def _bounds(self) -> Scores:
        own = self.captions
        attributes = caption_groups.find(own.sentences).group if own.by != "attributes" else own.group
        return ceilings.bounds(own.sentence, own.group, attributes)

    def record(self) -> dict[str, Any]:
        """What identifies the comparison: N, distinct captions, seed, a hash of the row numbers, and how many
        of the captions training had."""
        numbers = self.dataset.select_columns("row")[list(self.rows)]["row"]
        digest = hashlib.sha256(",".join(map(str, numbers)).encode()).hexdigest()
        return {
            "n_samples": len(self.rows),
            "distinct_captions": len(self.captions.sentences),
            "caption_groups": len(self.captions.group.unique()),
            "group_by": self.captions.by,
            "seed": self.seed,
            "rows_sha256": digest,
            "seen": {
                kind: {side: {"captions": some[0], "pictures": some[1]} for side, some in sides.items()}
                for kind, sides in self.seen_counts().items()
            },
        }

    def seen_counts(self) -> dict[str, dict[str, tuple[int, int]]]:
        """``sentence``, ``group`` -> ``seen``, ``unseen`` -> (captions, pictures)."""
        return {
            kind: {"seen": self._counted(seen), "unseen": self._counted(~seen)}
            for kind, seen in self.seen.items()
        }

    def _counted(self, captions: Tensor) -> tuple[int, int]:
        return int(captions.sum()), int(captions[self.captions.sentence].sum())

    def describe(self) -> str:
        """One line for the head of a table."""
        sentences, groups = len(self.captions.sentences), len(self.captions.group.unique())
        return (
            f"retrieval among {len(self.rows):,} held-out pictures with {sentences:,} distinct captions in "
            f"{groups:,} groups (rows drawn with seed {self.seed})"
        )
