"""`fsynth sample`: pictures from prompts, a contact sheet, and scores."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth import lineage, outputs, samples, scoring, sd_folder, weight_files
from fsynth.config import SampleConfig
from fsynth.console import say
from fsynth.errors import ModelError
from fsynth.sd_folder import LORA_WEIGHTS, TINY

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

MOST_ON_SHEET = 60


@dataclass(frozen=True)
class SampleResult:
    """``scores`` is the content of scores.json, empty when nothing was scored."""

    folder: Path
    pictures: int
    contact_sheet: Path
    scores: dict[str, Any]


def main(config: SampleConfig) -> SampleResult:
    """Make the pictures of a prompts file.

    Raises:
        ConfigError: no prompts, an unknown score, a size that the model cannot make.
        ModelError: a model, adapter or extractor that cannot be used.
        OutputError: an output folder that is not empty.
    """
    scoring.check_metrics(config.score, "--score")
    wanted = samples.plan(samples.read_prompts(config.prompts), config.images_per_prompt, config.seed)
    outputs.choose_folder(config.output, "sample")  # before a model is fetched
    weight_files.check_given(config.inception_weights)
    model, how = _choose_model(config.model)
    adapter = _adapter(config.lora) if config.lora else None
    origin = _origin(model, config.lora)
    found = sd_folder.find(model)
    if adapter is not None and found.lora is not None:
        raise ModelError(f"--lora {config.lora}: {model} is LoRA weights already; give --model {found.name}")
    size = _size(config.resolution or origin.resolution, found)
    say(f"model: {how}")
    device = _device()
    with outputs.whole_folder(config.output, "sample") as (staging, final):
        pipeline = _load(found, config, device)
        if adapter is not None:
            _add_lora(pipeline, adapter)
        extractor = _extractor(config, origin, device) if config.score else None
        shared = _make_pictures(staging, pipeline, wanted, config, origin, model, size)
        _write_sheet(staging, wanted, shared)
        record = (
            scoring.score_folder(staging, config.score, extractor, splits=config.splits) if extractor else {}
        )
    say(f"{len(wanted):,} pictures in {final}, to look at: {final / samples.SHEET}")
    for line in scoring.lines(record):
        say(line)
    return SampleResult(final, len(wanted), final / samples.SHEET, record)


def _choose_model(given: str | None) -> tuple[str, str]:
    """The model, and what to say of it."""
    if given is not None:
        return given, given
    run = lineage.newest_run()
    if run is not None:
        return str(run), f"{run}, the newest finished sd-train run (choose another with --model)"
    return TINY, "the shipped tiny pipeline, as runs/ holds no finished sd-train run (choose with --model)"


def _origin(model: str, lora: Path | None) -> lineage.Lineage:
    """The model's lineage, with what an adapter was trained on and at which size."""
    origin = lineage.trace(model)
    if lora is None:
        return origin
    adapter = lineage.trace(str(lora))
    drawn, resolution = origin.drawn or adapter.drawn, adapter.resolution or origin.resolution
    return dataclasses.replace(origin, drawn=drawn, resolution=resolution)


def _size(given: int | None, found: sd_folder.Found) -> int:
    """The pictures' side in pixels, refused before the weights are read."""
    from fsynth import sd_model

    size = given or sd_model.native_resolution(found)
    sd_model.check_resolution(found, size)
    return size


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _extractor(config: SampleConfig, origin: lineage.Lineage, device: str) -> Any:
    """Before any picture is made: missing weights should not cost an hour of sampling."""
    return scoring.choose_extractor(
        config.extractor, origin.drawn, origin.base, config.inception_weights, device
    )


def _load(found: sd_folder.Found, config: SampleConfig, device: str) -> DiffusionPipeline:
    import torch

    from fsynth import sd_model

    precision = config.precision
    if precision == "auto":
        precision = "fp16" if device == "cuda" else "no"
    dtype = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    return sd_model.load_pipeline(found, dtype=dtype, device=device)


def _adapter(folder: Path) -> Path:
    """The folder with the weights that ``--lora`` names."""
    weights = folder / "model" if (folder / "run.yaml").is_file() else folder
    if not (weights / LORA_WEIGHTS).is_file():
        raise ModelError(f"--lora {folder}: no {LORA_WEIGHTS} there; name a LoRA run or its model folder")
    return weights


def _add_lora(pipeline: DiffusionPipeline, weights: Path) -> None:
    from fsynth import sd_lora, sd_model

    try:
        sd_lora.load(pipeline, weights / LORA_WEIGHTS)
        sd_model.follow_adapter(pipeline, weights)
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"--lora {weights} does not fit this model ({first})") from None


def _make_pictures(
    folder: Path,
    pipeline: DiffusionPipeline,
    wanted: list[samples.Wanted],
    config: SampleConfig,
    origin: lineage.Lineage,
    model: str,
    size: int,
) -> dict[str, Any]:
    from fsynth import sampling

    shared = _shared(pipeline, config, origin, model, size)
    say(
        f"{len(wanted):,} pictures of {size} px, {config.steps} steps ({shared['scheduler']}), guidance "
        f"{config.guidance_scale:g}, no safety checker"
    )
    for problem in sampling.reading_problems(pipeline.tokenizer, [row.text for row in wanted]):
        say(f"warning: {problem}")
    for row, picture in sampling.generate(
        pipeline,
        wanted,
        steps=config.steps,
        guidance_scale=config.guidance_scale,
        size=size,
        batch_size=config.batch_size,
    ):
        samples.write_picture(folder, row, picture, shared)
    samples.write_records(folder, wanted, shared)
    return shared


def _shared(
    pipeline: DiffusionPipeline, config: SampleConfig, origin: lineage.Lineage, model: str, size: int
) -> dict[str, Any]:
    from fsynth import sd_model

    return {
        "model": model,
        "lora": str(config.lora) if config.lora else None,
        "base": origin.base,
        "drawn": origin.drawn,
        "steps": config.steps,
        "guidance_scale": config.guidance_scale,
        "scheduler": type(pipeline.scheduler).__name__,
        "resolution": size,
        "precision": str(sd_model.family(pipeline).denoiser.dtype).removeprefix("torch."),
        "safety_checker": "off",
        "versions": samples.versions("torch", "diffusers", "transformers"),
    }


def _write_sheet(folder: Path, wanted: list[samples.Wanted], shared: dict[str, Any]) -> None:
    from PIL import Image

    from fsynth import contact_sheet

    shown = wanted[:MOST_ON_SHEET]
    several = len({row.seed for row in shown}) > 1
    captions = [f"{row.text} (seed {row.seed})" if several else row.text for row in shown]
    amount = f"{len(wanted):,} pictures" + (
        f", the first {len(shown)} shown" if len(shown) < len(wanted) else ""
    )
    subtitle = f"{amount} · {shared['steps']} steps · guidance {shared['guidance_scale']:g} · fsynth sample"
    pictures = [Image.open(folder / row.file_name).convert("RGB") for row in shown]
    contact_sheet.draw(pictures, captions, shared["model"], subtitle).save(folder / samples.SHEET)
