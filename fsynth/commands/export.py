"""`fsynth export`: a CLIP model as a folder for transformers or open_clip, checked after writing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fsynth import clip_export, clip_model, outputs
from fsynth.clip_model import ClipModel
from fsynth.config import ExportConfig
from fsynth.console import say


@dataclass(frozen=True)
class ExportResult:
    """``difference``: the largest between features of unit length, before and as the library loads them."""

    folder: Path
    model: str
    format: str
    difference: float


def main(config: ExportConfig) -> ExportResult:
    """Write the folder, load it as its library does, and compare features.

    Raises:
        ModelError: a model that is unknown, broken, of an architecture that the format cannot hold, or that
            gives other features there. Nothing is left then.
        OutputError: an output folder that is not empty.
    """
    outputs.choose_folder(config.output, "export")
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
    say(f"load it: {_usage(config.format, final)}")
    return ExportResult(final, model.source, config.format, difference)


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
