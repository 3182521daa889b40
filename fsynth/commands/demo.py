"""`fsynth demo`: the whole way once, on drawn data with the shipped tiny models, offline, on a CPU.

fsynth demo
fsynth demo --output tour --seed 1
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsynth import config as configs
from fsynth import outputs, report
from fsynth.config import DemoConfig
from fsynth.console import say
from fsynth.data import places
from fsynth.keyed import seed_of

TITLE = "From sentences to pictures"
LEAD = (
    "The whole way once, on drawn garments: labels read off sentences, a tiny CLIP taught which sentence "
    "belongs to which picture, a tiny Stable Diffusion moved from the catalogue to the runway, pictures from "
    "sentences it has not seen, and a number that says when it is not a score."
)
STEPS = 6
RUNWAY_ROWS = 512
LEARNING_RATE, BATCH = 5e-4, 16
NOISE_OFFSET = 0.3
"""The runway is darker than any catalogue picture; without the offset it comes out grey and blotched, at
learning rates from 5e-4 to 2e-3."""
GUIDANCE = 3.0
NEXT = """
Three commands to run next, on drawn data as they stand, or on the FashionSynthesis archive
(export FSYNTH_DATA=FOLDER, and FSYNTH_ZIP_PASSWORD or --password-file FILE):
  fsynth clip-finetune
  accelerate launch fsynth sd-train --lr 5e-5 --epochs 5 --n-images 20
  fsynth sample --prompts prompts.txt --score is"""


@dataclass(frozen=True)
class DemoResult:
    """``before`` and ``after``: protocol -> direction -> name -> number of retrieval on held-out rows;
    ``scores``: the content of the pictures' scores.json."""

    folder: Path
    report: Path
    seconds: float
    before: dict[str, Any]
    after: dict[str, Any]
    scores: dict[str, Any]


def main(config: DemoConfig) -> DemoResult:
    """Run data-labels, clip-finetune, sd-train, sample and report into one folder.

    Raises:
        OutputError: an output folder that is not empty or cannot be written.
        MissingPackage: the drawing library does not import.
    """
    started = time.monotonic()
    claim = outputs.claim_folder(config.output, "demo")
    folder = claim.folder
    say("demo: drawn data and tiny models, no network; a few minutes on two cores")
    with _drawn_data_only(), _whole(claim):
        clip, samples = _all_steps(config, folder, started)
        _announce(STEPS, "one page about all of it", started)
        page = report.build(folder, TITLE, lead=LEAD)
    seconds = round(time.monotonic() - started, 1)
    say(f"\ndone in {_clock(seconds)}, open {page.resolve()}\n{NEXT}")
    return DemoResult(folder, page, seconds, clip.before, clip.after, samples.scores)


def _all_steps(config: DemoConfig, folder: Path, started: float) -> tuple[Any, Any]:
    """Each command as from the command line; returns the results of clip-finetune and sample."""
    _announce(1, "pictures and sentences, drawn or taken from the cache", started)
    runway = _draw()
    _announce(2, "labels read off the sentences", started)
    table = _labels(folder)
    _announce(3, "CLIP learns which sentence belongs to which picture", started)
    clip = _clip(config, folder)
    _announce(4, "Stable Diffusion, which knows catalogue pictures, learns the runway", started)
    _stable_diffusion(config, folder, runway)
    _announce(5, "pictures from held-out sentences, and their score", started)
    prompts = _write_prompts(table, folder / "prompts.txt", config)
    return clip, _sample(config, folder, prompts)


def _announce(number: int, text: str, started: float) -> None:
    say(f"\n[{number}/{STEPS}] {text}  ({_clock(time.monotonic() - started)})")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _draw() -> Path:
    """The default archive into the cache, and the runway one, which is returned."""
    from fsynth.data import synthetic

    catalogue = synthetic.cached_archive()
    runway = synthetic.cached_archive(rows=RUNWAY_ROWS, look="runway")
    say(f"catalogue: {catalogue}\nrunway:    {runway}")
    return runway


def _labels(folder: Path) -> Path:
    from fsynth.commands import data_labels

    return data_labels.main(configs.DataLabelsConfig(output=folder / "labels")).table


def _clip(config: DemoConfig, folder: Path) -> Any:
    from fsynth.commands import clip_finetune

    sizes = config.sizes
    settings = configs.ClipFinetuneConfig(
        output=folder / "clip", seed=config.seed, n_images=sizes.pairs, epochs=sizes.pair_epochs
    )
    return clip_finetune.main(settings)


def _stable_diffusion(config: DemoConfig, folder: Path, runway: Path) -> None:
    from fsynth.commands import sd_train

    settings = configs.SDTrainConfig(
        data=runway,
        password_file=runway / places.PASSWORD_NAME,
        model="tiny",
        output=folder / "sd",
        seed=config.seed,
        lr=LEARNING_RATE,
        n_images=config.sizes.images,
        epochs=config.sizes.image_epochs,
        batch_size=BATCH,
        objective=configs.SDTrainObjective(noise_offset=NOISE_OFFSET),
    )
    sd_train.main(settings)


def _write_prompts(table: Path, file: Path, config: DemoConfig) -> Path:
    """Held-out sentences in a seeded order, every category before any comes again."""
    from pyarrow import parquet

    rows = parquet.read_table(table, columns=["row", "text", "split", "category"]).to_pylist()
    rows = [row for row in rows if row["split"] == "test"]
    rows.sort(key=lambda row: seed_of(config.seed, "prompt", row["row"]))
    seen: dict[str, int] = {}
    turns = []
    for row in rows:
        seen[row["category"]] = turn = seen.get(row["category"], 0) + 1
        turns.append((turn, row["text"]))
    chosen = [text for _, text in sorted(turns, key=lambda pair: pair[0])][: config.sizes.prompts]
    outputs.write_text(file, "".join(f"{text}\n" for text in chosen))
    return file


def _sample(config: DemoConfig, folder: Path, prompts: Path) -> Any:
    from fsynth.commands import sample

    settings = configs.SampleConfig(
        prompts=prompts,
        model=str(folder / "sd"),
        output=folder / "samples",
        seed=config.seed,
        steps=config.sizes.steps,
        guidance_scale=GUIDANCE,
        score=("is",),
    )
    return sample.main(settings)


@contextlib.contextmanager
def _drawn_data_only() -> Iterator[None]:
    """Without the user's FSYNTH_DATA."""
    kept = os.environ.pop(places.ENVIRONMENT, None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ[places.ENVIRONMENT] = kept


@contextlib.contextmanager
def _whole(claim: outputs.Claim) -> Iterator[None]:
    """The folder goes again when a step fails, unless a model was trained by then: it is worth minutes."""
    try:
        yield
    except BaseException as error:
        finished = [part for part in ("clip", "sd") if (claim.folder / part / "result.json").is_file()]
        if not finished:
            claim.take_back()
            getattr(error, "__notes__", []).clear()  # they say how to go on with a step's folder
            error.add_note(f"nothing is left of {claim.folder}")
        for part in finished:
            error.add_note(f"{claim.folder / part} is finished: fsynth report {claim.folder / part} shows it")
        raise
