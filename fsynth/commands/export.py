"""`fsynth export`: a model as files for other tools, checked after writing."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth import clip_export, clip_model, lineage, outputs, sd_folder
from fsynth.clip_model import ClipModel
from fsynth.config import ExportConfig
from fsynth.console import say
from fsynth.errors import ConfigError
from fsynth.outputs import write_text

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from fsynth.model_card import Facts

CLIP_FORMATS = ("transformers", "open_clip")


@dataclass(frozen=True)
class ExportResult:
    """``difference``: the largest, before and as the library loads it: of CLIP between features of unit
    length, of diffusion between weights, of adapters in parts of the largest change. ``address``: on the
    hub, where it was uploaded."""

    folder: Path
    model: str
    format: str
    difference: float
    address: str = ""


def main(config: ExportConfig) -> ExportResult:
    """Write the folder, load it as its readers do, and compare.

    Raises:
        ModelError: a model that is unknown, broken, of an architecture that the format cannot hold, or that
            is another one when it is loaded again. Nothing is left then.
        ConfigError: an upload that nobody agreed to, or that is not possible.
        OutputError: an output folder that is not empty, a hub that refuses.
    """
    outputs.choose_folder(config.output, "export")
    _check_hub_flags(config)
    if config.format in CLIP_FORMATS or (config.format is None and not _draws(config.model)):
        return _export_clip(dataclasses.replace(config, format=config.format or "transformers"))
    return _export_pipeline(dataclasses.replace(config, format=config.format or "diffusers"))


def _check_hub_flags(config: ExportConfig) -> None:
    given = next((flag for flag in ("public", "yes") if getattr(config, flag)), None)
    if given and config.push_to_hub is None:
        raise ConfigError(f"--{given} belongs to --push-to-hub ORG/NAME; give that, too, or leave it out")


def _draws(model: str) -> bool:
    """Whether a name without a format means a diffusion model: what a folder holds, a file (CLIP's stand
    behind an architecture's name), a hub name (CLIP's begin with hf-hub:)."""
    place = Path(model).expanduser()
    if place.is_dir():
        return any(lineage.holds_pipeline(folder) for folder in (place, place / "model"))
    return place.is_file() or bool(re.fullmatch(r"[\w.-]+/[\w.-]+", model))


# --------------------------------------------------------------------------------------------------
# diffusion


def _export_pipeline(config: ExportConfig) -> ExportResult:
    import torch

    from fsynth import hub_upload, model_card, sd_export, sd_model

    format = str(config.format)
    if config.push_to_hub:
        hub_upload.check(config.push_to_hub)
    found = sd_folder.find(config.model)
    sd_export.refuse(found, format)
    origin = lineage.trace(config.model)
    known = model_card.facts(found, origin)
    if config.push_to_hub:
        hub_upload.confirm(config.push_to_hub, known.conditions, config.public, config.yes)
    say(f"model: {found.lora or found.name}, from {known.base}")
    pipeline = sd_model.load_pipeline(found, dtype=torch.float32, device="cpu")
    sd_export.prepare(pipeline, format, config.half)
    resolution = origin.resolution or sd_model.native_resolution(found)
    with outputs.whole_folder(config.output, "export") as (staging, final):
        entries = _entries(pipeline, known, final.name, format, resolution)
        written = sd_export.write(pipeline, found, format, staging, final.name, config.half, entries)
        difference = sd_export.check(pipeline, found, format, written)
        place = final / written.relative_to(staging)
        _write_card(pipeline, known, staging, place, config, found.safety_checker)
    same = f"is the same to {difference:.1g}" if difference else "is the same"
    say(f"checked: loaded again by diffusers, it {same}")
    say(f"model card: {final / model_card.FILE}; {known.conditions}")
    address = ""
    if config.push_to_hub:
        address = hub_upload.upload(final, config.push_to_hub, config.public)
        say(f"uploaded: {address}")
    return ExportResult(final, found.name, format, difference, address)


def _entries(
    pipeline: DiffusionPipeline, known: Facts, title: str, format: str, resolution: int
) -> dict[str, str]:
    """Of a file's header; a family that has no original layout gets none."""
    from fsynth import modelspec, sd_export, sd_original

    if type(pipeline).__name__ not in sd_original.KINDS:
        return {}
    return modelspec.describe(
        sd_original.generation(pipeline),
        pipeline.scheduler.config.prediction_type,  # type: ignore[attr-defined]
        title=title,
        resolution=resolution,
        base=known.base,
        licence=known.conditions,
        original=format in ("single-file", "comfyui"),
        adapter=format not in sd_export.WHOLE,
    )


def _write_card(
    pipeline: DiffusionPipeline,
    known: Facts,
    folder: Path,
    place: Path,
    config: ExportConfig,
    checker: str | None,
) -> None:
    from fsynth import model_card

    card = model_card.text(
        known,
        name=place.stem if place.suffix else place.name,
        format=str(config.format),
        place=config.push_to_hub or place.name,
        v_prediction=pipeline.scheduler.config.get("prediction_type") == "v_prediction",  # type: ignore
        safety_checker=checker if config.format == "diffusers" else None,
    )
    write_text(folder / model_card.FILE, card)


# --------------------------------------------------------------------------------------------------
# CLIP


def _export_clip(config: ExportConfig) -> ExportResult:
    if config.push_to_hub:
        raise ConfigError("--push-to-hub is for diffusion models; upload a CLIP model with `hf upload`")
    model = clip_model.load(config.model)
    if config.format == "transformers":
        clip_export.refuse(model)
    say(f"model: {model.describe()}")
    if config.half:
        model.network.half().float()  # what is rounded in writing is compared rounded
    with outputs.whole_folder(config.output, "export") as (staging, final):
        write = _write_transformers if config.format == "transformers" else _write_open_clip
        difference = write(model, staging, config.half)
    same = f"differ by {difference:.1g} at most" if difference else "are the same"
    say(f"checked: features {same}, loaded by {config.format}")
    say(f"load it: {_usage(str(config.format), final)}")
    return ExportResult(final, model.source, str(config.format), difference)


def _write_transformers(model: ClipModel, folder: Path, half: bool) -> float:
    bias = getattr(model.network, "logit_bias", None)
    if bias is not None:
        say(
            f"the logit bias ({bias.item():.4g}) is left out, CLIPModel has none: its logits are that much "
            "higher, features and order are the same"
        )
    clip_export.write_transformers(model, folder, half)
    return clip_export.check(model, folder)


def _write_open_clip(model: ClipModel, folder: Path, half: bool) -> float:
    model.write(folder, half)
    return clip_export.check_open_clip(model, folder)


def _usage(format: str, folder: Path) -> str:
    if format == "transformers":
        return f'CLIPModel.from_pretrained("{folder}"), CLIPProcessor.from_pretrained("{folder}")'
    return f'open_clip.create_model_and_transforms("local-dir:{folder}")'
