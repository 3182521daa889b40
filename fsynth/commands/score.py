"""`fsynth score`: scores of a folder of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsynth import samples, scoring
from fsynth.config import ScoreConfig
from fsynth.console import say


@dataclass(frozen=True)
class ScoreResult:
    """``scores`` is the content of scores.json."""

    folder: Path
    scores: dict[str, Any]


def main(config: ScoreConfig) -> ScoreResult:
    """Score a folder and write scores.json into it.

    Raises:
        ConfigError: an unknown score.
        DataError: no pictures, or a broken one.
        ModelError: an extractor that cannot be used.
    """
    import torch

    scoring.check_metrics(config.metrics, "--metrics")
    pictures = samples.pictures_in(config.folder)
    shared = samples.shared_record(config.folder)
    say(f"{len(pictures):,} pictures in {config.folder}, {_origin(shared)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    extractor = scoring.choose_extractor(
        config.extractor, bool(shared.get("drawn")), shared.get("base"), config.inception_weights, device
    )
    record = scoring.score_folder(
        config.folder,
        config.metrics,
        extractor,
        splits=config.splits,
        seed=config.seed,
        batch_size=config.batch_size,
    )
    for line in scoring.lines(record):
        say(line)
    return ScoreResult(config.folder, record)


def _origin(shared: dict[str, Any]) -> str:
    return f"made by {shared['model']}" if shared else "not made by `fsynth sample`"
