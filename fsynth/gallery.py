"""The held-out pairs that models are compared on, and the table of their scores side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fsynth import clip_model, loading, retrieval
from fsynth.comparison import Ranking
from fsynth.console import is_main_process, say
from fsynth.errors import DataError
from fsynth.order import choose_rows

PICTURES_AT_ONCE = 128

Scores = dict[str, dict[str, dict[str, float]]]
"""protocol -> direction -> name -> number, as `fsynth.retrieval.scores` gives it."""


@dataclass(frozen=True)
class Gallery:
    """Rows of a data set, their distinct captions, and which caption belongs to which row.

    The same rows in the same order serve every model of a comparison; each model sees a picture through its
    own preprocessing, which `fsynth.clip_model.ClipModel.describe` states.
    """

    dataset: Any
    rows: tuple[int, ...]
    captions: tuple[str, ...]
    groups: torch.Tensor
    seed: int

    @staticmethod
    def choose(dataset: Any, samples: int, seed: int) -> Gallery:
        """A seeded draw of ``samples`` rows, all of them where there are fewer (which is said).

        Raises:
            DataError: there are none.
        """
        if len(dataset) == 0:
            raise DataError("there are no held-out rows to retrieve among; test_ind of ind.mat is empty")
        if samples > len(dataset):
            say(f"--n-samples {samples:,} is more than the {len(dataset):,} held-out rows: all are used")
        rows = choose_rows(len(dataset), min(samples, len(dataset)), seed)
        captions, groups = retrieval.caption_groups(dataset.select_columns("text")[rows]["text"])
        return Gallery(dataset, tuple(rows), tuple(captions), groups, seed)

    def rank(self, model: clip_model.ClipModel, workers: int = 0, title: str = "evaluating") -> Ranking:
        """Encode every picture and every distinct caption once, on the model's device, and rank.

        Raises:
            DataError: a picture that cannot be read, a worker that was killed.
        """
        from tqdm.auto import tqdm

        network, quiet = model.network.eval(), not is_main_process()
        loader = torch.utils.data.DataLoader(
            clip_model.Pictures(self.dataset, self.rows, model.transform()),
            batch_size=PICTURES_AT_ONCE,
            num_workers=workers,
            pin_memory=next(network.parameters()).is_cuda,
        )
        with loading.clear_errors(), tqdm(loader, desc=title, unit="batch", disable=quiet) as batches:
            pictures = clip_model.encode_pictures(model, batches)
        captions = clip_model.encode_sentences(model, self.captions)
        return retrieval.evaluate(pictures, captions, self.groups)

    def bounds(self) -> Scores:
        """Chance and ceiling of these rows: `fsynth.retrieval.bounds`."""
        return retrieval.bounds(self.groups)

    def record(self) -> dict[str, Any]:
        """What identifies the comparison: N, distinct captions, seed, and a hash of the row numbers."""
        numbers = self.dataset.select_columns("row")[list(self.rows)]["row"]
        digest = hashlib.sha256(",".join(map(str, numbers)).encode()).hexdigest()
        return {
            "n_samples": len(self.rows),
            "distinct_captions": len(self.captions),
            "seed": self.seed,
            "rows_sha256": digest,
        }

    def describe(self) -> str:
        """One line for the head of a table."""
        return (
            f"retrieval among {len(self.rows):,} held-out pictures with {len(self.captions):,} distinct "
            f"captions (rows drawn with seed {self.seed})"
        )


def table(columns: Mapping[str, Scores], bounds: Scores) -> str:
    """Scores of models side by side, with ceiling and chance, as aligned text.

    Args:
        columns: heading -> scores of one model.
        bounds: of the same rows.
    """
    lines = [["", *columns, "ceiling", "chance"]]
    for protocol, title in _TITLES.items():
        lines.append([title])
        for direction in retrieval.DIRECTIONS:
            lines += _direction(protocol, direction, columns, bounds)
    widths = [max(len(line[place]) for line in lines if len(line) > 1) for place in range(len(lines[0]))]
    return "\n".join(_aligned(line, widths) for line in lines)


_TITLES = {
    "group": "any picture of the caption is right",
    "pair": "only the row's own partner is right (captions repeat, hence the ceiling)",
}


def _direction(
    protocol: str, direction: str, columns: Mapping[str, Scores], bounds: Scores
) -> list[list[str]]:
    limits = bounds[protocol][direction]
    arrow = direction.replace("_to_", " -> ")
    lines = []
    for k in retrieval.AT:
        values = [scores[protocol][direction][f"recall@{k}"] for scores in columns.values()]
        values += [limits[f"ceiling@{k}"], limits[f"chance@{k}"]]
        lines.append([f"  {arrow}  recall@{k}", *map(_percent, values)])
    ranks = [f"{scores[protocol][direction]['median_rank']:,.1f}" for scores in columns.values()]
    return [*lines, [f"  {arrow}  median rank", *ranks, "", ""]]


def _percent(share: float) -> str:
    digits = 1 if share >= 0.01 or share == 0 else 2
    return f"{100 * share:.{digits}f} %"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    if len(line) == 1:
        return line[0]
    cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
    return "   ".join(cells).rstrip()
