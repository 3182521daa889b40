"""Settings of sampling, scores and reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fsynth.config.shared import OutputSettings
from fsynth.settings import Checked, setting


@dataclass(frozen=True, kw_only=True)
class ScorerSettings(Checked):
    """How pictures are judged; the same in `sample` and `score`."""

    extractor: Literal["auto", "probe", "inception"] = setting(
        "auto",
        "network that judges; auto is the probe for tiny, its fine-tunes and models of drawn data, "
        "else Inception",
        "Scores",
    )
    inception_weights: Path | None = setting(
        None, "file with torch-fidelity's Inception weights (default: torch hub's folder)", "Scores"
    )
    splits: int = setting(10, "parts that the Inception Score is averaged over", "Scores", least=1)


@dataclass(frozen=True, kw_only=True)
class SampleConfig(ScorerSettings, OutputSettings):
    """Make pictures from prompts, with a contact sheet, and score them."""

    prompts: Path = setting(..., "text file, one prompt a line; blank lines and # comments are skipped")
    model: str | None = setting(
        None,
        "run folder, pipeline folder, .safetensors checkpoint, hub name or tiny (default: the newest "
        "finished run, else tiny)",
    )
    lora: Path | None = setting(None, "folder with LoRA weights to put on the model")
    images_per_prompt: int = setting(1, "pictures of each prompt", least=1)
    seed: int = setting(0, "a prompt's first seed; its further pictures count on from it", least=0)
    steps: int = setting(30, "denoising steps", least=1, most=1000)
    guidance_scale: float = setting(7.5, "weight of the prompt over the empty one; 1 is none", least=0.0)
    resolution: int | None = setting(None, "picture size in pixels (default: the model's own)", least=8)
    batch_size: int = setting(8, "pictures at a time; does not change them", "Hardware", least=1)
    precision: Literal["auto", "no", "fp16", "bf16"] = setting(
        "auto", "what the model computes in; auto is fp16 on a GPU, else no (float32)", "Hardware"
    )
    score: tuple[str, ...] = setting((), "score the pictures: is (Inception Score)", "Scores")


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(ScorerSettings):
    """Score a folder of pictures."""

    folder: Path = setting(
        ..., "folder that `fsynth sample` wrote, or any folder of pictures", positional=True
    )
    metrics: tuple[str, ...] = setting(("is",), "scores to compute: is (Inception Score)", "Scores")
    seed: int = setting(
        2020, "order in which the pictures are split (2020: as torch-fidelity)", "Scores", least=0
    )
    batch_size: int = setting(32, "pictures at a time; does not change the score", "Hardware", least=1)


@dataclass(frozen=True, kw_only=True)
class ReportConfig(Checked):
    """Make one self-contained HTML page of a run, of samples, of data, or of a folder of such folders."""

    folder: Path = setting(
        ..., "what data-report, data-labels, clip-finetune, sd-train, sample or demo wrote", positional=True
    )
    title: str | None = setting(None, "head of the page (default: the folder's name)")
    output: Path | None = setting(None, "file to write (default: FOLDER/report.html)", "Output")
    pictures: bool = setting(True, "show up to 64 thumbnails of the data, 128 px at most")


@dataclass(frozen=True, kw_only=True)
class ExportConfig(OutputSettings):
    """Write a model as other tools load it, and check that they get the same one."""

    model: str = setting(
        ...,
        "run or model folder, or tiny; of CLIP also NAME:TAG of open_clip, NAME:FILE, hf-hub:ORG/REPOSITORY, "
        "of diffusion ORG/REPOSITORY",
    )
    format: (
        Literal["transformers", "open_clip", "diffusers", "single-file", "lora", "kohya", "comfyui"] | None
    ) = setting(
        None,
        "of CLIP transformers (CLIPModel) or open_clip; of diffusion diffusers (a folder) or single-file (a "
        "checkpoint), with adapters merged in, or adapters alone as lora (for diffusers), kohya or comfyui "
        "(default: transformers, or diffusers)",
    )
    half: bool = setting(False, "store weights in float16, half the size")
    push_to_hub: str | None = setting(
        None, "upload a diffusion model to this repository, ORG/NAME, after asking", "Output"
    )
    public: bool = setting(False, "let all see a repository that is made (default: private)", "Output")
    yes: bool = setting(False, "upload without asking", "Output")
