"""`fsynth clip-eval`: retrieval scores of CLIP models side by side, on the same held-out rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fsynth import clip_model, gallery, outputs, retrieval
from fsynth.clip_model import ClipModel
from fsynth.comparison import Comparison, Ranking, compare
from fsynth.config import ClipEvalConfig
from fsynth.console import say
from fsynth.data.sources import open_source
from fsynth.gallery import Gallery, Scores

_LONGEST_HEADING = 18


@dataclass(frozen=True)
class ClipEvalResult:
    """``scores``: model as the user wrote it -> protocol -> direction -> name -> number.
    ``comparisons``: of each further model with the first."""

    folder: Path
    n_samples: int
    distinct_captions: int
    seed: int
    bounds: Scores
    scores: dict[str, Scores]
    comparisons: tuple[Comparison, ...]


def main(config: ClipEvalConfig) -> ClipEvalResult:
    """Score the models and write FOLDER/scores.json.

    Raises:
        ModelError: a model that is unknown, broken or cannot be fetched.
        DataError: pictures that are missing or cannot be read.
        OutputError: an output folder that is not empty.
    """
    outputs.choose_folder(config.output, "clip-eval")
    source = open_source(**config.source())
    source.need_pictures()
    names = config.model or (clip_model.TINY if source.synthetic else clip_model.DEFAULT,)
    models = [clip_model.load(name) for name in dict.fromkeys(names)]
    source.announce()
    for model in models:
        say(f"model: {model.describe()}")
    chosen = Gallery.choose(source.test, config.n_samples, config.seed)
    ranked = {model.source: _ranking(chosen, model, config.workers) for model in models}
    scores = {name: retrieval.scores(places) for name, places in ranked.items()}
    comparisons = _comparisons(ranked, chosen.groups)
    with outputs.whole_folder(config.output, "clip-eval") as (staging, final):
        source.record_dropped(staging)
        outputs.write_json(
            staging / "scores.json",
            _record(f"{source.describe}; {source.rows}", chosen, models, scores, comparisons),
        )
        result = ClipEvalResult(
            folder=final,
            n_samples=len(chosen.rows),
            distinct_captions=len(chosen.captions),
            seed=chosen.seed,
            bounds=chosen.bounds(),
            scores=scores,
            comparisons=comparisons,
        )
    _say_table(chosen, models, scores)
    for comparison in comparisons:
        say(f"\n{comparison.text()}")
    return result


def _ranking(chosen: Gallery, model: ClipModel, workers: int) -> Ranking:
    """On the GPU where there is one, and off it again: the next model may need the room."""
    model.network.to("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return chosen.rank(model, workers, f"evaluating {model.source[-30:]}")
    finally:
        model.network.to("cpu")


def _comparisons(ranked: Mapping[str, Ranking], groups: torch.Tensor) -> tuple[Comparison, ...]:
    (first, places), *others = ranked.items()
    return tuple(compare(first, places, name, found, groups) for name, found in others)


def _record(
    data: str,
    chosen: Gallery,
    models: Sequence[ClipModel],
    scores: dict[str, Scores],
    comparisons: Sequence[Comparison],
) -> dict[str, Any]:
    return {
        "data": data,
        **chosen.record(),
        "bounds": chosen.bounds(),
        "models": {
            model.source: {"preprocessing": model.preprocessing, "scores": scores[model.source]}
            for model in models
        },
        "comparisons": [comparison.record() for comparison in comparisons],
    }


def _say_table(chosen: Gallery, models: Sequence[ClipModel], scores: dict[str, Scores]) -> None:
    columns = {}
    for number, model in enumerate(models, 1):
        heading = model.source if len(model.source) <= _LONGEST_HEADING else f"model {number}"
        if heading != model.source:
            say(f"{heading}: {model.source}")
        columns[heading] = scores[model.source]
    say(f"\n{chosen.describe()}\n{gallery.table(columns, chosen.bounds())}")
