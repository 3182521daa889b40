"""Every setting, once: name, type, default, range and help of each command.

How a config is loaded, dumped and checked stands in `fsynth.settings`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fsynth.settings import setting

# --------------------------------------------------------------------------------------------------
# shared groups of settings


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where pictures and sentences come from; the same names in every command."""

    data: Path | None = setting(
        None,
        "FashionSynthesis or other DeepFashion folder, image folder, Parquet, WebDataset, captions.json, "
        "ORG/NAME on the hub, or drawn for drawn data (default: $FSYNTH_DATA, else drawn)",
        "Data",
    )
    password_file: Path | None = setting(
        None,
        "file whose first line is the archive's password (else $FSYNTH_ZIP_PASSWORD, else a prompt)",
        "Data",
    )
    image_source: Literal["zip", "hdf5"] | None = setting(
        None, "read pictures from the image ZIP or from G2.h5 (default: the ZIP where there is one)", "Data"
    )
    memory_limit: float = setting(4.0, "largest G2.h5 to decrypt into memory, in GiB", "Data", least=0.0)
    image_column: str | None = setting(
        None, "column of the pictures (default: image; file_name in an image folder)", "Data"
    )
    text_column: str | None = setting(None, "column of the sentences (default: text)", "Data")
    split_by: Literal["official", "garment"] = setting(
        "official",
        "train and test rows as the data bring them, or no folder of pictures on two sides",
        "Data",
    )
    val_fraction: float = setting(
        0.0, "share of the training rows set aside for validation", "Data", least=0.0, most=0.9
    )
    split_seed: int = setting(0, "of the rows that are drawn for a side; not --seed", "Data", least=0)

    def source(self) -> dict[str, Any]:
        """The arguments of `fsynth.data.sources.open_source`."""
        names = [field.name for field in dataclasses.fields(DataSettings)]
        return {("root" if name == "data" else name): getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    output: Path | None = setting(None, "new or empty folder (default: runs/<command>-<date>-<n>)", "Output")


@dataclass(frozen=True, kw_only=True)
class TrainSettings(DataSettings, OutputSettings):
    """What every training command has."""

    seed: int = setting(0, "every random draw derives from it", "Training", least=0)
    precision: Literal["auto", "no", "fp16", "bf16"] = setting(
        "auto", "autocast precision; auto is bf16 where the GPU has it, else no", "Hardware"
    )
    stratify: Literal["gender", "sleeve", "category", "color"] | None = setting(
        None, "keep the shares of this label in the draw of --n-images", "Data"
    )
    fingerprint: str | None = setting(
        None, "rows that train, validate and test must have it; written into run.yaml", "Data", flag=False
    )
    workers: int = setting(0, "loader processes; 0 reads in the training process", "Hardware", least=0)
    checkpoint_every: int = setting(
        0, "steps between checkpoints to resume from; 0 writes none", "Output", least=0
    )
    resume: Path | None = setting(None, "run folder to go on with, from its newest checkpoint", "Output")


# --------------------------------------------------------------------------------------------------
# one class a command


@dataclass(frozen=True, kw_only=True)
class DemoSizes:
    pairs: int | None = setting(
        2400, "pictures that CLIP learns from; null takes the training split", least=2
    )
    pair_epochs: int = setting(2, "times that CLIP sees each of them", least=1)
    images: int = setting(384, "pictures that Stable Diffusion learns from", least=1)
    image_epochs: int = setting(9, "times that Stable Diffusion sees each of them", least=1)
    prompts: int = setting(24, "pictures made from held-out sentences", least=1)
    steps: int = setting(25, "denoising steps of a picture", least=1, most=1000)


@dataclass(frozen=True, kw_only=True)
class DemoConfig(OutputSettings):
    """See everything once: drawn data, tiny models, one report; offline, on a CPU, in minutes."""

    seed: int = setting(0, "every random draw derives from it", least=0)
    sizes: DemoSizes = setting(DemoSizes(), "how much of everything")


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(DataSettings):
    """Show what this machine can do, with the fix beside each shortfall."""


@dataclass(frozen=True, kw_only=True)
class DataMakeConfig(OutputSettings):
    """Draw a synthetic archive in the benchmark's formats: captions, labels, split, encrypted pictures."""

    rows: int | None = setting(
        None, "pictures to draw (default: 6000, or all rows of --annotation)", "Data", least=4, most=1_000_000
    )
    look: Literal["catalogue", "street", "runway"] = setting(
        "catalogue", "one figure, plain ground; several figures and clutter; ink on a stage", "Data"
    )
    size: int = setting(128, "side of the pictures in pixels", "Data", least=16, most=2048)
    seed: int = setting(0, "every random draw derives from it", "Data", least=0)
    balance: float = setting(
        0.5,
        "0 for the benchmark's frequencies of categories and colours, 1 for equal ones",
        "Data",
        least=0,
        most=1,
    )
    held_out: int | None = setting(None, "test rows (default: a quarter)", "Data", least=1)
    annotation: Path | None = setting(
        None, "folder with a language_original.mat and ind.mat to draw (default: invented rows)", "Data"
    )
    hdf5: bool = setting(False, "write Img/G2.h5 too, about 100 kB a picture of 128 px", "Output")
    password_file: Path | None = setting(
        None,
        "file whose first line encrypts the ZIP; it is copied to password.txt (default: fsynth)",
        "Output",
    )
    workers: int | None = setting(
        None, "drawing processes; does not change the pictures (default: one per core)", "Hardware", least=0
    )


@dataclass(frozen=True, kw_only=True)
class DataCheckConfig(DataSettings):
    """Say what a data set holds and what is wrong with it; exits with 1 where there is a fault."""

    quick: bool = setting(False, "read a sample of 64 pictures instead of all", "Data")
    workers: int = setting(0, "processes that read pictures; 0 reads in this one", "Hardware", least=0)


@dataclass(frozen=True, kw_only=True)
class DataLabelsConfig(OutputSettings):
    """Read labels and terms off the captions, compare them with the benchmark's codes, plot them."""

    data: Path | None = setting(
        None,
        "folder with the FashionSynthesis files, or drawn for drawn data (default: $FSYNTH_DATA, else drawn)",
        "Data",
    )


@dataclass(frozen=True, kw_only=True)
class SDTrainObjective:
    caption_dropout: float = setting(
        0.1, "chance that a picture is shown without its caption, for guidance", least=0.0, most=1.0
    )
    noise_offset: float = setting(
        0.0,
        "spread of a shift of each channel's noise; 0.1 to 0.3 learns pictures darker or lighter than before",
        least=0.0,
        most=1.0,
    )


@dataclass(frozen=True, kw_only=True)
class SDTrainOptimizer:
    warmup_steps: int | None = setting(None, "default: a tenth of the steps, at most 100", least=0)
    weight_decay: float = setting(0.01, "of AdamW", least=0.0)
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm; 0 is never", least=0.0)


@dataclass(frozen=True, kw_only=True)
class SDTrainLora:
    alpha: float | None = setting(None, "strength: alpha / rank (default: the rank)", least=0.0)


@dataclass(frozen=True, kw_only=True)
class SDTrainValidation:
    rows: int = setting(64, "held-out pictures behind the validation loss; 0 turns it off", least=0)
    noise_levels: int = setting(4, "noise levels a picture is tried at", least=1)
    pictures: int = setting(4, "prompts drawn before and after; 0 turns them off", least=0)


@dataclass(frozen=True, kw_only=True)
class SDTrainConfig(TrainSettings):
    """Fine-tune Stable Diffusion on the pictures and their sentences, whole or by LoRA."""

    model: str | None = setting(
        None,
        "hub name, pipeline folder, finished run or tiny (default: tiny on drawn data, else "
        "stable-diffusion-v1-5/stable-diffusion-v1-5)",
        "Training",
    )
    lr: float | None = setting(
        None, "learning rate (default: 1e-5 for all weights, 1e-4 for LoRA)", "Training", least=0.0
    )
    epochs: int = setting(5, "times that every picture is seen", "Training", least=1)
    n_images: int | None = setting(
        None, "pictures drawn from the training split (default: all)", "Training", least=1
    )
    batch_size: int = setting(4, "pictures a step, over all processes", "Training", least=1)
    resolution: int | None = setting(None, "side in pixels (default: the model's own)", "Training", least=8)
    lora_rank: int | None = setting(
        None, "train adapters of this rank instead of all weights", "Training", least=1
    )
    micro_batch: int | None = setting(
        None, "most pictures a process holds at once (default: its share of the batch)", "Hardware", least=1
    )
    objective: SDTrainObjective = setting(SDTrainObjective(), "what is learnt")
    optimizer: SDTrainOptimizer = setting(SDTrainOptimizer(), "AdamW and its schedule")
    lora: SDTrainLora = setting(SDTrainLora(), "the adapters")
    validation: SDTrainValidation = setting(SDTrainValidation(), "held-out rows")


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneOptimizer:
    weight_decay: float = setting(0.1, "of AdamW; norms, biases and the logit scale are spared", least=0.0)
    warmup: float = setting(0.05, "share of the steps in which the rate rises", least=0.0, most=0.5)
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm; 0 is never", least=0.0)


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneConfig(TrainSettings):
    """Fine-tune a CLIP model on the pictures and their sentences; retrieval before and after."""

    model: str | None = setting(
        None,
        "NAME:TAG of open_clip, NAME:FILE, model or run folder, hf-hub:ORG/REPOSITORY or tiny "
        "(default: tiny on drawn data, else ViT-B-32:laion2b_s34b_b79k)",
        "Training",
    )
    lr: float | None = setting(
        None, "highest learning rate (default: 1e-5; 3e-4 for tiny)", "Training", least=0.0
    )
    epochs: int | None = setting(
        None, "times that every pair is seen (default: 5; 2 for tiny)", "Training", least=1
    )
    batch_size: int | None = setting(
        None, "pairs a step, over all processes (default: 256; 64 for tiny)", "Training", least=2
    )
    n_images: int | None = setting(
        None, "pairs drawn from the training split (default: all)", "Training", least=2
    )
    n_samples: int = setting(5000, "held-out pairs to retrieve among", "Evaluation", least=1)
    optimizer: ClipFinetuneOptimizer = setting(ClipFinetuneOptimizer(), "AdamW and its schedule")


@dataclass(frozen=True, kw_only=True)
class ClipEvalConfig(DataSettings, OutputSettings):
    """Retrieval scores of CLIP models, side by side, on the same held-out pairs."""

    model: tuple[str, ...] = setting(
        (),
        "NAME:TAG of open_clip, NAME:FILE, model or run folder, hf-hub:ORG/REPOSITORY or tiny; may be "
        "repeated (default: tiny on drawn data, else ViT-B-32:laion2b_s34b_b79k)",
    )
    n_samples: int = setting(5000, "held-out pairs to retrieve among", least=1)
    seed: int = setting(0, "draws the pairs where there are more", least=0)
    workers: int = setting(0, "loader processes; 0 reads in the main process", "Hardware", least=0)


@dataclass(frozen=True, kw_only=True)
class ScorerSettings:
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
        "run folder, pipeline folder, hub name or tiny (default: the newest finished run, else tiny)",
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
class ReportConfig:
    """Make one self-contained HTML page of a run, a samples folder, or a folder of such folders."""

    folder: Path = setting(
        ..., "what data-labels, clip-finetune, sd-train, sample or demo wrote", positional=True
    )
    title: str | None = setting(None, "head of the page (default: the folder's name)")
    output: Path | None = setting(None, "file to write (default: FOLDER/report.html)", "Output")
    pictures: bool = setting(True, "show up to 64 thumbnails of training pictures, 128 px at most")
