"""Validation while a CLIP model trains: what the start and each epoch retrieve, and the best one kept."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from fsynth import outputs, retrieval
from fsynth.clip_model import ClipModel
from fsynth.console import say
from fsynth.ema import Ema
from fsynth.errors import OutputError, reason
from fsynth.evaluation import evaluate
from fsynth.gallery import Gallery
from fsynth.retrieval import Scores

Keep = Literal["best", "best epoch", "last"]
"""Which weights are kept; the start takes part in ``best`` alone."""

LEAST_ROWS = 100
"""Of fewer rows, the best epoch is the luckiest one: by chance a recall of 50 % is 5 points off."""


@dataclass
class Validation:
    """Scores of a model in training on rows that do not train; one process has it, the others wait.

    Attributes:
        gallery: the rows.
        ema: the running mean that is scored in place of the weights, where there is one.
        best: file of the best weights; None keeps the last ones.
        counts_start: whether weights that did not learn can be the best.
    """

    gallery: Gallery
    model: ClipModel
    ema: Ema | None
    best: Path | None
    workers: int
    counts_start: bool
    start: float = 0.0
    recall: float = -1.0
    """The best."""
    epoch: int = 0
    """The best one, from 1; 0 is the start."""

    @staticmethod
    def of(
        gallery: Gallery, model: ClipModel, ema: Ema | None, run: Path, keep: Keep, workers: int
    ) -> Validation:
        """The validation of a run; too few rows to choose an epoch by are said."""
        few = len(gallery.rows) < LEAST_ROWS
        if keep != "last" and few:
            say(
                f"validation: {len(gallery.rows)} rows cannot tell the best epoch ({LEAST_ROWS} can), so the "
                "last one's weights are kept; --val-fraction and validation.rows set more aside"
            )
        best = run / "checkpoints" / "best-epoch.pt" if keep != "last" and not few else None
        return Validation(gallery, model, ema, best, workers, counts_start=keep == "best")

    def begin(self) -> dict[str, Any]:
        """Score the model before its first step; returns what to log."""
        values = self._scored("validating before")
        self.start = values["validation_recall"]
        return values

    def keep_start(self) -> None:
        """Of a new run: what every epoch has to be better than, where the start counts."""
        if self.best is not None and self.counts_start:
            self.recall = self.start
            self._write(self.best)

    def go_on(self, run: Path) -> None:
        """Of a resumed run: what its epochs scored so far, by its metrics.jsonl and the weights it kept.

        Raises:
            OutputError: best weights that are gone or cannot be read.
        """
        log = run / "metrics.jsonl"
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
            values = json.loads(line)
            if values.get("epoch") and values.get("validation_recall", -1.0) > self.recall:
                self.recall, self.epoch = values["validation_recall"], values["epoch"]
        if self.best is not None and (self.counts_start or self.epoch or self.best.exists()):
            kept = _read(self.best)
            self.recall, self.epoch = kept["recall"], kept["epoch"]

    def after_epoch(self, epoch: int) -> dict[str, Any]:
        """Score the epoch's weights, keep them where they are the best so far; returns what to log."""
        with self.ema.applied() if self.ema else contextlib.nullcontext():
            values = self._scored(f"validating epoch {epoch}")
        if values["validation_recall"] > self.recall:
            self.recall, self.epoch = values["validation_recall"], epoch
            if self.best is not None:
                self._write(self.best)
        return values

    def settle(self) -> None:
        """Give the network (and the running mean) the best weights, and say which these are."""
        if self.best is not None and self.best.exists():
            kept = _read(self.best)
            with torch.no_grad():
                for name, value in kept["weights"].items():
                    self.model.network.get_parameter(name).copy_(value)
            if self.ema is not None:
                self.ema.load_state_dict(kept["ema"])
            which = f"of epoch {self.epoch}" if self.epoch else "before the first step"
            say(f"kept: the weights {which}, of the best validation recall, {self.recall:.1%}")
        if self.recall <= self.start and len(self.gallery.rows) >= LEAST_ROWS:
            say(
                f"note: no epoch's validation recall is above that of the start, {self.start:.1%}; try a "
                "lower --lr or more data"
            )

    def remove(self) -> None:
        """For the end: the best weights are in the model that is written."""
        if self.best is not None:
            self.best.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # checkpoints to resume from are there, too
                self.best.parent.rmdir()

    def _scored(self, title: str) -> dict[str, Any]:
        """What metrics.jsonl holds of the scores that the network has now."""
        scores = evaluate(self.gallery, self.model, self.workers, title).scores
        ways = {f"validation_{way}": scores["group"][way]["recall@1"] for way in retrieval.DIRECTIONS}
        return {"validation_recall": mean_group_recall(scores), **ways}

    def _write(self, file: Path) -> None:
        learning = {
            name: value.detach()
            for name, value in self.model.network.named_parameters()
            if value.requires_grad
        }
        ema = None if self.ema is None else self.ema.state_dict()
        state = {"epoch": self.epoch, "recall": self.recall, "weights": learning, "ema": ema}
        outputs.make_folder(file.parent)
        outputs.write_file(file, lambda beside: torch.save(state, beside))


def _read(file: Path) -> dict[str, Any]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise OutputError(f"{file} cannot be read ({reason(error)}); start a new run") from None


def mean_group_recall(scores: Scores) -> float:
    """The number that verdicts are about (`fsynth.comparison`): the mean of recall@k over k and directions,
    any row of the caption group being right."""
    recalls = [scores["group"][way][f"recall@{k}"] for way in retrieval.DIRECTIONS for k in retrieval.AT]
    return sum(recalls) / len(recalls)


def described(values: dict[str, Any]) -> str:
    """What `Validation` gave to log, as the end of a sentence; nothing for nothing."""
    if not values:
        return ""
    ways = (
        f"{way.replace('_to_', ' -> ')} {values[f'validation_{way}']:.1%}" for way in retrieval.DIRECTIONS
    )
    recall = values["validation_recall"]
    return f", mean group recall of the validation rows {recall:.1%} (recall@1 {', '.join(ways)})"
