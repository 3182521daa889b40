"""Settings of CLIP fine-tuning and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from fsynth.config.shared import OutputSettings, PictureSettings, TrainSettings
from fsynth.settings import Checked, setting


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneOptimizer(Checked):
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
class ClipEvalConfig(PictureSettings, OutputSettings):
    """Retrieval scores of CLIP models, side by side, on the same held-out pairs."""

    model: tuple[str, ...] = setting(
        (),
        "NAME:TAG of open_clip, NAME:FILE, model or run folder, hf-hub:ORG/REPOSITORY or tiny; may be "
        "repeated (default: tiny on drawn data, else ViT-B-32:laion2b_s34b_b79k)",
    )
    n_samples: int = setting(5000, "held-out pairs to retrieve among", least=1)
    seed: int = setting(0, "draws the pairs where there are more", least=0)
    workers: int = setting(0, "loader processes; 0 reads in the main process", "Hardware", least=0)
