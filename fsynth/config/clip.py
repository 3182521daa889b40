"""Settings of CLIP fine-tuning and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fsynth.config.shared import OutputSettings, PictureSettings, TrainSettings
from fsynth.settings import Checked, setting


@dataclass(frozen=True, kw_only=True)
class GroupSettings(Checked):
    """What counts as the same sentence (`fsynth.caption_groups`)."""

    group_by: Literal["attributes", "sentence"] = setting(
        "attributes",
        "sentences that are right answers to one another: of equal gender, sleeve, category and colour, or "
        "equal but for punctuation",
        flag=False,
    )


@dataclass(frozen=True, kw_only=True)
class ZeroShotSettings(Checked):
    """What else a model is asked to tell (`fsynth.class_folders`)."""

    zero_shot: str | None = setting(
        None,
        "classes to tell without training on them: folder with Fashion-MNIST's IDX files, folder of folders "
        "named by class, or fashion-mnist from the hub",
        "Evaluation",
    )
    zero_shot_samples: int = setting(
        10000, "most pictures of --zero-shot, drawn by a fixed seed", least=1, flag=False
    )


@dataclass(frozen=True, kw_only=True)
class SheetSettings(Checked):
    """What retrieval looks like (`fsynth.retrieval_pictures`)."""

    pictures: bool = setting(
        True,
        "keep up to 42 thumbnails of held-out pictures, 128 px at most, to show what is found",
        flag=False,
    )


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneOptimizer(Checked):
    weight_decay: float = setting(0.1, "of AdamW; norms, biases and the logit scale are spared", least=0.0)
    warmup: float = setting(
        0.05, "share of the steps in which the rate rises, below 0.2", least=0.0, most=1.0
    )
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm; 0 is never", least=0.0)
    layer_decay: float = setting(
        1.0, "learning rate of each block, as a share of the next one's", least=0.1, most=1.0
    )


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneBatches(Checked):
    twins: int | None = setting(
        None,
        "most pairs of one caption group in a batch; 0 shuffles without looking (default: a sixteenth of the "
        "batch, at least 2)",
        least=0,
    )


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneTuning(Checked):
    lock: Literal["none", "image", "text"] = setting("none", "tower that keeps its weights")
    unlock: int = setting(0, "last blocks of a locked tower that learn all the same", least=0)
    freeze_scale: bool = setting(False, "keep the logit scale as it is")
    ema: float | None = setting(
        None,
        "keep a running mean of the weights instead of the last ones; its decay, 0.999 say",
        least=0.0,
        most=0.99999,
    )


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneLora(Checked):
    alpha: float | None = setting(None, "strength: alpha / rank (default: the rank)", least=0.0)
    towers: Literal["both", "image", "text"] = setting("both", "where the adapters sit")
    dropout: float = setting(0.0, "of what goes into an adapter", least=0.0, most=0.9)
    dora: bool = setting(False, "learn lengths and directions of weights apart (DoRA)")


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneMemory(Checked):
    micro_batch: int | None = setting(
        None,
        "most pairs whose activations a process holds at once; features are kept, so that the loss is that "
        "of the whole batch (default: its share of the batch)",
        least=1,
    )
    checkpointing: bool = setting(False, "compute activations again in the backward pass, not keep them")
    compile: bool = setting(False, "compile the towers (torch.compile); pays in long runs on a GPU")


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneValidation(Checked):
    rows: int = setting(1000, "validation pairs that are retrieved among after each epoch", least=0)
    keep: Literal["best", "last"] = setting(
        "best",
        "which weights are kept: of the best validation recall, those before the first step included, or the "
        "last",
    )


@dataclass(frozen=True, kw_only=True)
class ClipFinetuneConfig(GroupSettings, ZeroShotSettings, SheetSettings, TrainSettings):
    """Fine-tune a CLIP model on the pictures and their sentences; retrieval before and after."""

    model: str | None = setting(
        None,
        "NAME:TAG of open_clip, NAME:FILE, model or run folder, hf-hub:ORG/REPOSITORY or tiny "
        "(default: tiny on drawn data, else ViT-B-32:laion2b_s34b_b79k)",
        "Training",
    )
    loss: Literal["clip", "clip-multi", "siglip-multi"] = setting(
        "clip-multi",
        "softmax with one right answer, or with all of the caption group; sigmoid with all of the group",
        "Training",
    )
    lr: float | None = setting(
        None,
        "highest learning rate (default: 1e-5; 3e-4 for tiny; ten times as much with --lora-rank)",
        "Training",
        above=0.0,
    )
    epochs: int | None = setting(
        None, "times that every pair is seen (default: 5; 2 for tiny; more of few pairs)", "Training", least=1
    )
    batch_size: int | None = setting(
        None,
        "pairs a step, over all processes (default: 256; 64 for tiny; an eighth of few pairs)",
        "Training",
        least=2,
    )
    n_images: int | None = setting(
        None, "pairs drawn from the training split (default: all)", "Training", least=2
    )
    lora_rank: int | None = setting(
        None, "train adapters of this rank instead of all weights", "Training", least=1
    )
    n_samples: int = setting(5000, "held-out pairs to retrieve among", "Evaluation", least=1)
    wise_ft: str | None = setting(
        None,
        "blends of the weights before (0) and after (1) to try, 0,0.1,...,1 say; the one of the best "
        "validation recall is kept",
        "Evaluation",
    )
    val_fraction: float | None = setting(
        None,
        "share of the training rows set aside for validation (default: what the data bring, else 0.05)",
        "Data",
        least=0.0,
        most=0.9,
    )
    optimizer: ClipFinetuneOptimizer = setting(ClipFinetuneOptimizer(), "AdamW and its schedule")
    batches: ClipFinetuneBatches = setting(ClipFinetuneBatches(), "which pairs meet")
    tuning: ClipFinetuneTuning = setting(ClipFinetuneTuning(), "what learns")
    lora: ClipFinetuneLora = setting(ClipFinetuneLora(), "the adapters")
    memory: ClipFinetuneMemory = setting(ClipFinetuneMemory(), "time for memory")
    validation: ClipFinetuneValidation = setting(ClipFinetuneValidation(), "held-out rows in training")


@dataclass(frozen=True, kw_only=True)
class ClipEvalConfig(GroupSettings, ZeroShotSettings, SheetSettings, PictureSettings, OutputSettings):
    """Retrieval scores of CLIP models, side by side, on the same held-out pairs."""

    model: tuple[str, ...] = setting(
        (),
        "NAME:TAG of open_clip, NAME:FILE, model or run folder, hf-hub:ORG/REPOSITORY or tiny; may be "
        "repeated (default: tiny on drawn data, else ViT-B-32:laion2b_s34b_b79k)",
    )
    n_samples: int = setting(5000, "held-out pairs to retrieve among", least=1)
    seed: int = setting(0, "draws the pairs where there are more", least=0)
    workers: int = setting(0, "loader processes; 0 reads in the main process", "Hardware", least=0)
