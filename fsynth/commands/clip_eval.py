"""`fsynth clip-eval`: retrieval scores of CLIP models side by side, on the same held-out rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from fsynth import class_folders, clip_model, evaluation, outputs, retrieval_pictures, score_table
from fsynth.clip_model import ClipModel
from fsynth.comparison import Comparison
from fsynth.config import ClipEvalConfig
from fsynth.console import say
from fsynth.data.sources import open_source
from fsynth.evaluation import Evaluation
from fsynth.exam import Exam
from fsynth.gallery import Gallery
from fsynth.retrieval import Scores
from fsynth.zero_shot import Hits

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
    exam = Exam.of(chosen, elsewhere)
    judged = {model.source: _evaluate(chosen, exam, model, config.workers) for model in models}
    found = {name: one for name, (one, _) in judged.items()}
    told = {name: hits for name, (_, hits) in judged.items()}
    comparisons = evaluation.comparisons(chosen, found)
    with outputs.whole_folder(config.output, "clip-eval") as (staging, final):
        source.record_dropped(staging)
        about = {model.source: {"preprocessing": model.preprocessing} for model in models}
        data = f"{source.describe}; {source.rows}"
        record = evaluation.record(data, chosen, about, found, comparisons)
        outputs.write_json(staging / "scores.json", {**record, "zero_shot": exam.record(told)})
        retrieval_pictures.write(staging, chosen, found, drawn=source.drawn, pictures=config.pictures)
        result = ClipEvalResult(
            folder=final,
            n_samples=len(chosen.rows),
            distinct_captions=len(chosen.captions.sentences),
            seed=chosen.seed,
            bounds=chosen.bounds(),
            scores={name: one.scores for name, one in found.items()},
            comparisons=comparisons,
        )
    _say_tables(chosen, found, exam, told)
    for comparison in comparisons:
        say(f"\n{comparison.text()}")
    say(f"\n{retrieval_pictures.where(final)}")
    return result


def _evaluate(chosen: Gallery, exam: Exam, model: ClipModel, workers: int) -> tuple[Evaluation, Hits]:
    """On the GPU where there is one, and off it again: the next model may need the room."""
    model.network.to("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = evaluation.evaluate(chosen, model, workers, f"evaluating {model.source[-30:]}")
        return found, exam.take(model, found, workers)
    finally:
        model.network.to("cpu")


def _say_tables(
    chosen: Gallery, found: Mapping[str, Evaluation], exam: Exam, told: Mapping[str, Hits]
) -> None:
    columns, hits = {}, {}
    for number, (name, one) in enumerate(found.items(), 1):
        heading = name if len(name) <= _LONGEST_HEADING else f"model {number}"
        if heading != name:
            say(f"{heading}: {name}")
        columns[heading], hits[heading] = one.scores, told[name]
    say(f"\n{chosen.describe()}\n{score_table.table(columns, chosen.bounds())}")
    say(f"\n{score_table.told(exam.tasks, hits)}")
