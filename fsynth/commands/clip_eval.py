"""`fsynth clip-eval`: retrieval scores of CLIP models side by side, on the same held-out rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from fsynth import class_folders, clip_model, outputs, retrieval_pictures
from fsynth.clip_model import ClipModel
from fsynth.comparison import Comparison
from fsynth.config import ClipEvalConfig
from fsynth.console import say
from fsynth.data.sources import open_source
from fsynth.exam import Exam, SideBySide
from fsynth.gallery import Gallery
from fsynth.retrieval import Scores

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
    """Score the models and write FOLDER/scores.json, and what retrieval looks like.

    Raises:
        ModelError: a model that is unknown, broken or cannot be fetched.
        DataError: pictures that are missing or cannot be read.
        OutputError: an output folder that is not empty.
    """
    outputs.choose_folder(config.output, "clip-eval")
    elsewhere = class_folders.open_given(config.zero_shot, config.zero_shot_samples)
    source = open_source(**config.source())
    source.need_pictures()
    names = config.model or (clip_model.TINY if source.synthetic else clip_model.DEFAULT,)
    models = [clip_model.load(name) for name in dict.fromkeys(names)]
    source.announce()
    if elsewhere is not None:
        say(elsewhere.describe())
    for model in models:
        say(f"model: {model.describe()}")
    chosen = Gallery.choose(source.test, config.n_samples, config.seed, config.group_by)
    chosen = chosen.trained_on(source.train.select_columns(["text"])[:]["text"])
    judged = SideBySide(chosen, Exam.of(chosen, elsewhere), config.workers)
    for model in models:
        _judge(judged, model)
    comparisons = judged.comparisons()
    with outputs.whole_folder(config.output, "clip-eval") as (staging, final):
        source.record_dropped(staging)
        about = {model.source: {"preprocessing": model.preprocessing} for model in models}
        record = judged.record(f"{source.describe}; {source.rows}", about, comparisons)
        outputs.write_json(staging / "scores.json", record)
        retrieval_pictures.write(staging, chosen, judged.found, drawn=source.drawn, pictures=config.pictures)
        result = ClipEvalResult(
            folder=final,
            n_samples=len(chosen.rows),
            distinct_captions=len(chosen.captions.sentences),
            seed=chosen.seed,
            bounds=chosen.bounds(),
            scores={name: one.scores for name, one in judged.found.items()},
            comparisons=comparisons,
        )
    headings = _headings(judged.found)
    for name, heading in headings.items():
        if heading != name:
            say(f"{heading}: {name}")
    say(f"\n{judged.tables(headings)}")
    for comparison in comparisons:
        say(f"\n{comparison.text()}\n{comparison.details()}")
    say(f"\n{retrieval_pictures.where(final)}")
    return result


def _judge(judged: SideBySide, model: ClipModel) -> None:
    """On the GPU where there is one, and off it again: the next model may need the room."""
    model.network.to("cuda" if torch.cuda.is_available() else "cpu")
    try:
        judged.judge(model.source, model)
    finally:
        model.network.to("cpu")


def _headings(names: Iterable[str]) -> dict[str, str]:
    """Of each model what stands over its column: its name, or a number where that is long."""
    return {
        name: name if len(name) <= _LONGEST_HEADING else f"model {number}"
        for number, name in enumerate(names, 1)
    }
