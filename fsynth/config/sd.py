"""Settings of Stable Diffusion fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fsynth.config.shared import DrawSettings, TrainSettings
from fsynth.settings import Checked, setting


@dataclass(frozen=True, kw_only=True)
class SDTrainObjective(Checked):
    caption_dropout: float = setting(
        0.1, "chance that a picture is shown without its caption, for guidance", least=0.0, most=1.0
    )
    noise_offset: float = setting(
        0.0,
        "spread of a shift of each channel's noise; 0.1 to 0.3 learns pictures darker or lighter than before",
        least=0.0,
        most=1.0,
    )
    timesteps: Literal["uniform", "logit-normal"] | None = setting(
        None, "noise levels drawn evenly or most often in the middle (default: logit-normal for SD 3.x)"
    )
    weighting: Literal["none", "min-snr", "debiased"] = setting(
        "none", "what errors at each noise level count: the same, or less where there is little noise"
    )
    snr_gamma: float = setting(5.0, "of min-snr: levels of more signal to noise count less", above=0.0)
    loss: Literal["mse", "huber"] = setting("mse", "squared errors, or large ones less (pseudo-Huber)")
    huber_c: float = setting(0.1, "of huber: what errors are large, in spreads of the noise", above=0.0)
    input_perturbation: float = setting(
        0.0, "extra noise that the model sees and need not answer; 0.1 is usual", least=0.0, most=1.0
    )
    zero_terminal_snr: bool = setting(
        False, "the last noise level shows nothing of the picture; for models that predict v"
    )


@dataclass(frozen=True, kw_only=True)
class SDTrainOptimizer(Checked):
    kind: Literal["adamw", "adamw-8bit", "paged-adamw-8bit", "adafactor", "prodigy", "schedule-free"] = (
        setting(
            "adamw",
            "8bit: state in a quarter of the memory; paged: moved off a GPU that is full",
        )
    )
    schedule: Literal["constant", "cosine", "linear"] = setting(
        "constant", "the learning rate after warm-up; cosine and linear end at 0"
    )
    warmup_steps: int | None = setting(None, "default: a tenth of the steps, at most 100", least=0)
    weight_decay: float = setting(0.01, "decoupled, as AdamW has it", least=0.0)
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm; 0 is never", least=0.0)


@dataclass(frozen=True, kw_only=True)
class SDTrainLora(Checked):
    alpha: float | None = setting(None, "strength: alpha / rank (default: the rank)", least=0.0)
    kind: Literal["lora", "dora", "rslora", "lokr"] = setting(
        "lora",
        "dora: lengths and directions apart; rslora: scaled by the root of the rank; lokr: Kronecker product",
    )
    targets: Literal["attention", "attention-mlp", "all"] = setting(
        "attention", "where adapters sit; all adds convolutions and projections of the blocks"
    )
    dropout: float = setting(0.0, "of what goes into an adapter", least=0.0, most=0.9)


@dataclass(frozen=True, kw_only=True)
class SDTrainCache(Checked):
    captions: Literal["auto", "none"] = setting(
        "auto", "embed each different caption once, where they fit (1 GiB); none embeds them at every step"
    )
    latents: Literal["auto", "memory", "disk", "none"] = setting(
        "auto",
        "where encoded pictures are kept; auto: the disk where all lie there, else memory up to 4 GiB, else "
        "the disk; none encodes them at every step",
    )
    dir: Path | None = setting(None, "folder of encoded pictures on the disk (default: sd/ of $FSYNTH_CACHE)")


@dataclass(frozen=True, kw_only=True)
class SDTrainBuckets(Checked):
    enabled: Literal["auto", "on", "off"] = setting(
        "auto",
        "train pictures in sizes near their shape; auto: where squares would cut off more than 2 % of them",
    )
    step: int | None = setting(
        None, "sides are multiples of it (default: 64, below 512 px an eighth of --resolution)", least=1
    )
    max_ratio: float = setting(2.0, "of the longer side to the shorter", least=1.0, most=8.0)


@dataclass(frozen=True, kw_only=True)
class SDTrainText(Checked):
    train: Literal["none", "lora", "full"] = setting(
        "none", "whether the text encoder learns, too: by adapters, with --lora-rank, or whole, without"
    )
    lr: float | None = setting(None, "its learning rate (default: half of --lr)", above=0.0)


@dataclass(frozen=True, kw_only=True)
class SDTrainTuning(Checked):
    ema: float | None = setting(
        None,
        "keep a running mean of the weights instead of the last ones; its decay, 0.999 say",
        least=0.0,
        most=0.99999,
    )


@dataclass(frozen=True, kw_only=True)
class SDTrainMemory(Checked):
    checkpointing: bool = setting(False, "compute activations again in the backward pass, not keep them")
    channels_last: bool = setting(
        False, "lay out weights as convolutions of GPUs in half precision read them"
    )
    compile: bool = setting(False, "compile the UNet (torch.compile); pays in long runs on a GPU")
    quantize: Literal["none", "nf4"] = setting(
        "none", "hold the frozen base's linear layers in 4 bits (QLoRA), with --lora-rank"
    )


@dataclass(frozen=True, kw_only=True)
class SDTrainValidation(Checked):
    rows: int = setting(64, "held-out pictures behind the validation loss; 0 turns it off", least=0)
    noise_levels: int = setting(4, "noise levels a picture is tried at", least=1)
    keep: Literal["best", "last"] = setting(
        "best",
        "which weights are kept: the last, unless validation rows (--val-fraction) show those of an earlier "
        "epoch, or before the first step, to be better; or always the last",
    )
    patience: int = setting(
        0, "end after as many epochs without a lower validation loss; 0 is never", least=0
    )
    pictures: int = setting(4, "prompts drawn before and after; 0 turns them off", least=0)


@dataclass(frozen=True, kw_only=True)
class SDPictures(DrawSettings):
    """What decides which pictures are encoded, and how."""

    model: str | None = setting(
        None,
        "hub name, pipeline folder, .safetensors checkpoint, finished run or tiny (default: tiny on drawn "
        "data, else stable-diffusion-v1-5/stable-diffusion-v1-5)",
        "Training",
    )
    n_images: int | None = setting(
        None, "pictures drawn from the training split (default: all)", "Training", least=1
    )
    resolution: int | None = setting(None, "side in pixels (default: the model's own)", "Training", least=8)
    buckets: SDTrainBuckets = setting(SDTrainBuckets(), "pictures that are not square")


@dataclass(frozen=True, kw_only=True)
class SDCacheConfig(SDPictures):
    """Encode the pictures onto the disk, once for all runs of sd-train with these settings."""

    mirrored: bool = setting(False, "also mirrored, for runs with augment.flip", "Training")
    held_out: int = setting(64, "held-out pictures; as many as a run's validation.rows", "Training", least=0)
    batch_size: int = setting(8, "pictures that a process encodes together", "Hardware", least=1)
    workers: int = setting(0, "loader processes; 0 reads in the encoding process", "Hardware", least=0)
    dir: Path | None = setting(
        None, "folder to encode into, a run's cache.dir (default: sd/ of $FSYNTH_CACHE)", "Output"
    )


@dataclass(frozen=True, kw_only=True)
class SDTrainConfig(SDPictures, TrainSettings):
    """Fine-tune Stable Diffusion on the pictures and their sentences, whole or by LoRA."""

    lr: float | None = setting(
        None,
        "learning rate (default: 1e-5 for all weights, 1e-4 for LoRA, 1 for Prodigy)",
        "Training",
        above=0.0,
    )
    epochs: int = setting(5, "times that every picture is seen", "Training", least=1)
    batch_size: int = setting(4, "pictures a step, over all processes", "Training", least=1)
    lora_rank: int | None = setting(
        None, "train adapters of this rank instead of all weights", "Training", least=1
    )
    micro_batch: int | None = setting(
        None, "most pictures a process holds at once (default: its share of the batch)", "Hardware", least=1
    )
    objective: SDTrainObjective = setting(SDTrainObjective(), "what is learnt")
    optimizer: SDTrainOptimizer = setting(SDTrainOptimizer(), "steps and learning rate")
    lora: SDTrainLora = setting(SDTrainLora(), "the adapters")
    cache: SDTrainCache = setting(SDTrainCache(), "what is worked out once")
    text: SDTrainText = setting(SDTrainText(), "the text encoder")
    tuning: SDTrainTuning = setting(SDTrainTuning(), "what is kept")
    memory: SDTrainMemory = setting(SDTrainMemory(), "time for memory")
    validation: SDTrainValidation = setting(SDTrainValidation(), "held-out rows")
