"""Small result folders in the formats of the commands, for tests of reports."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import datasets
import numpy as np
import torch
import yaml
from PIL import Image

from fsynth import (
    caption_groups,
    ceilings,
    comparison,
    ranking,
    retrieval,
    retrieval_pictures,
    samples,
    score_names,
    scores,
)
from fsynth.caption_groups import CaptionGroups
from fsynth.evaluation import Evaluation
from fsynth.gallery import Gallery

PROMPTS = ("the lady wore a red dress.", "<script>alert('tee')</script> & a \"tee\"")
COLORS = ("red", "blue", "green", "black", "white", "pink", "gray")
RECIPE = {
    "data": "drawn",
    "password_file": None,
    "image_source": None,
    "memory_limit": 4.0,
    "seed": 0,
    "n_images": 6,
    "lr": 1e-4,
    "objective": {"caption_dropout": 0.1},
}


def write_clip_run(folder: Path) -> Path:
    """A clip-finetune run without a model: before is chance, after is better."""
    groups = torch.tensor([0, 0, 1, 2, 3, 3, 4, 5, 6, 7])
    draw = torch.Generator().manual_seed(0)
    captions = torch.nn.functional.normalize(torch.randn(8, 16, generator=draw), dim=1)
    blind = torch.nn.functional.normalize(torch.randn(10, 16, generator=draw), dim=1)
    models = {"before": blind, "after": captions[groups]}
    together = CaptionGroups(tuple("abcdefgh"), groups, torch.tensor([0, 1, 1, 2, 3, 4, 5, 6]), "attributes")
    ranked = {
        name: ranking.rank(pictures, captions, groups, together.group) for name, pictures in models.items()
    }
    found = comparison.compare("before", ranked["before"], "after", ranked["after"], together)
    record = {
        "n_samples": 10,
        "distinct_captions": 8,
        "caption_groups": 7,
        "group_by": "attributes",
        "bounds": ceilings.bounds(groups, together.group, together.group),
        "compared_with": score_names.COMPARED_WITH,
        "models": {name: {"scores": retrieval.scores(places)} for name, places in ranked.items()},
        "comparisons": [found.record()],
    }
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps(record))
    lines = [{"step": step, "seconds": 1.0, "loss": 3 / step} for step in range(1, 9)]
    _write_lines(folder / "metrics.jsonl", [*lines, {"step": 8, "epoch": 1, "epoch_loss": 1.25}])
    return folder


def write_cases(folder: Path, rows: int = 40, drawn: bool = False, pictures: bool = True) -> Path:
    """What retrieval looks like, into a folder that is there: blind before, knowing after."""
    gallery = gallery_of(rows)
    found = {"before": evaluation_of(gallery, 2.0), "after": evaluation_of(gallery, 0.3)}
    retrieval_pictures.write(folder, gallery, found, drawn=drawn, pictures=pictures)
    return folder


def gallery_of(rows: int, groups: int = 7) -> Gallery:
    """Rows with small pictures, numbered from 100, of sentences that repeat; the last row has a large one."""
    texts = [
        f"the lady wore a <b>{COLORS[row % groups]}</b> {'dress' if row % 2 else 'tee'}."
        for row in range(rows)
    ]
    pictures = [Image.fromarray(_picture(row, 300 if row == rows - 1 else 24)) for row in range(rows)]
    numbers = {"image": pictures, "text": texts, "row": [100 + row for row in range(rows)]}
    dataset = datasets.Dataset.from_dict({**numbers, "name": texts}).cast_column("image", datasets.Image())
    return Gallery(dataset, tuple(range(rows)), caption_groups.find(texts), 0)


def evaluation_of(gallery: Gallery, noise: float) -> Evaluation:
    """A model that knows the caption groups, more or less."""
    captions, draw = gallery.captions, torch.Generator().manual_seed(0)
    meaning = torch.randn(len(captions.sentences), 16, generator=draw)

    def features(group: torch.Tensor) -> torch.Tensor:
        seen = meaning[group] + noise * torch.randn(len(group), 16, generator=draw)
        return torch.nn.functional.normalize(seen, dim=1)

    pictures, sentences = features(captions.row_groups), features(captions.group)
    places = ranking.rank(pictures, sentences, captions.sentence, captions.group)
    return Evaluation(gallery, pictures, sentences, places)


def write_sd_run(folder: Path, loss: float = 0.25, **recipe: object) -> Path:
    """An sd-train run without a model, with its last validation loss; the first is 0.5."""
    (folder / "samples").mkdir(parents=True)
    (folder / "run.yaml").write_text(yaml.safe_dump({**RECIPE, **recipe}))
    verdict = comparison.compare_losses([0.5, 0.5] * 9, [loss, loss] * 9)
    (folder / "result.json").write_text(
        json.dumps({"steps": 4, "trainable_parameters": 1234567, "validation": asdict(verdict)})
    )
    lines = [{"step": step, "loss": 0.3, "lr": 1e-4} for step in range(1, 5)]
    before = [{"step": 0, "epoch": 0, "validation_loss": 0.5}, {"step": 0, "steps": 4}]
    after = {"step": 4, "epoch": 1, "epoch_loss": 0.3, "validation_loss": loss}
    _write_lines(folder / "metrics.jsonl", [*before, *lines, after])
    rows = []
    for when in ("before", "after"):
        for number, text in enumerate(PROMPTS):
            wanted = samples.Wanted(f"{when}-{number}.png", text, 0, number)
            samples.write_picture(folder / "samples", wanted, _picture(number), {"model": "tiny"})
            rows.append({"file_name": wanted.file_name, "text": text, "seed": 0, "when": when})
    _write_lines(folder / "samples" / samples.ROWS, rows)
    return folder


def stop(run: Path, step: int) -> Path:
    """Leave of a run of `write_sd_run` what one stopped in the middle of writing its log leaves."""
    (run / "result.json").unlink()
    log = run / "metrics.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    log.write_text("".join(kept) + '{"step": 99, "lo')
    samples_index = run / "samples" / samples.ROWS
    rows = [json.loads(line) for line in samples_index.read_text().splitlines()]
    _write_lines(samples_index, [row for row in rows if row["when"] == "before"])
    return run


def write_samples(folder: Path, per_prompt: int = 4) -> Path:
    """A folder that sample wrote and scored."""
    folder.mkdir(parents=True)
    shared = {"model": "tiny", "drawn": True, "steps": 25, "guidance_scale": 7.5}
    wanted = samples.plan(PROMPTS, per_prompt)
    for number, row in enumerate(wanted):
        samples.write_picture(folder, row, _picture(number, side=400), shared)
    samples.write_records(folder, wanted, shared)
    score = scores.inception_score(np.eye(len(wanted), 19))
    judge = {"name": "fsynth-probe", "version": "1", "sha256": "0" * 64, "preprocessing": "none"}
    record = {
        "pictures": len(wanted),
        "extractor": {**judge, "logits": "19 garment categories"},
        "is": {**score.record(), "text": score.text()},
    }
    (folder / samples.SCORES).write_text(json.dumps(record))
    return folder


def _picture(number: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8)


def _write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
