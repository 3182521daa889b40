"""Settings that several commands share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fsynth.settings import Checked, setting


@dataclass(frozen=True, kw_only=True)
class DataSettings(Checked):
    """Where pictures and sentences come from; the same names in every command."""

    data: str | Path | None = setting(
        None,
        "FashionSynthesis or other DeepFashion folder, image folder, Parquet, WebDataset, captions.json, "
        "https://HOST/train-{000..009}.tar, ORG/NAME on the hub, or drawn for drawn data (default: "
        "$FSYNTH_DATA, else drawn)",
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
        kinds = (PictureSettings, RowSettings, DataSettings)
        kind = next(kind for kind in kinds if isinstance(self, kind))
        names = [field.name for field in dataclasses.fields(kind)]
        given = {("root" if name == "data" else name): getattr(self, name) for name in names}
        workers = getattr(self, "workers", None)  # 0 where one who trains reads; cleaning is one long pass
        return {**given, "workers": workers or None}


@dataclass(frozen=True, kw_only=True)
class RowSettings(DataSettings):
    """Which rows are left out, for commands that work on what stays."""

    drop_duplicates: bool = setting(
        False,
        "leave out training pictures that repeat another, exactly or nearly; test rows stay",
        "Data",
    )
    drop_unreadable: bool = setting(False, "leave out rows whose picture cannot be read", "Data")
    min_side: int = setting(
        0, "leave out training pictures whose shorter side has fewer pixels; test rows stay", "Data", least=0
    )


@dataclass(frozen=True, kw_only=True)
class PictureSettings(RowSettings):
    """How pictures are read, for commands that read them again and again."""

    cache_images: Literal["none", "memory"] = setting(
        "none",
        "memory keeps the files of pictures there once read, decrypted (of G2.h5 as bitmaps), for "
        "all loader processes",
        "Data",
    )


@dataclass(frozen=True, kw_only=True)
class OutputSettings(Checked):
    output: Path | None = setting(None, "new or empty folder (default: runs/<command>-<date>-<n>)", "Output")


@dataclass(frozen=True, kw_only=True)
class AugmentSettings(Checked):
    """`fsynth.data.augmentation`; drawn anew for every row in every epoch."""

    flip: float = setting(
        0.0,
        "chance of a mirrored picture; never where the sentence quotes, or has a word of a list for letters, "
        "numbers, left or right (English; SIDED_WORDS in fsynth/data/augmentation.py); other letters are "
        "mirrored, too",
        least=0.0,
        most=1.0,
    )
    rotation: float = setting(
        0.0, "largest angle in degrees, either way; cropped, so that no corner is empty", least=0.0, most=45.0
    )
    scale: float = setting(
        1.0, "smallest share of the sides that a crop keeps; 1 crops nothing", least=0.1, most=1.0
    )
    color: float = setting(
        0.0,
        "most by which brightness, contrast and saturation change, and the hue by a tenth of it; sentences "
        "name colours",
        least=0.0,
        most=0.5,
    )


@dataclass(frozen=True, kw_only=True)
class TrackingSettings(Checked):
    """`fsynth.trackers`."""

    to: str = setting(
        "auto",
        "where metrics.jsonl is mirrored: tensorboard, wandb, comet, several with commas between, or none; "
        "auto is tensorboard where it is installed",
    )
    project: str = setting("fsynth", "under which wandb and comet file the run")


@dataclass(frozen=True, kw_only=True)
class DrawSettings(RowSettings):
    """Which rows a draw of some takes."""

    seed: int = setting(0, "every random draw derives from it", "Training", least=0)
    stratify: Literal["gender", "sleeve", "category", "color"] | None = setting(
        None, "keep the shares of this label in the draw of --n-images", "Data"
    )


@dataclass(frozen=True, kw_only=True)
class TrainSettings(DrawSettings, PictureSettings, OutputSettings):
    """What every training command has."""

    precision: Literal["auto", "no", "fp16", "bf16"] = setting(
        "auto", "autocast precision; auto is bf16 where the GPU has it, else no", "Hardware"
    )
    fingerprint: str | None = setting(
        None, "rows that train, validate and test must have it; written into run.yaml", "Data", flag=False
    )
    workers: int = setting(
        0,
        "loader processes; 0 reads in the training process (but cleaning reads in one a core)",
        "Hardware",
        least=0,
    )
    checkpoint_every: int = setting(
        0,
        "steps between checkpoints to resume from; 0 writes one only when a signal stops the run",
        "Output",
        least=0,
    )
    augment: AugmentSettings = setting(AugmentSettings(), "what happens to training pictures")
    tracking: TrackingSettings = setting(TrackingSettings(), "who is told what is logged")
    resume: Path | None = setting(None, "run folder to go on with, from its newest checkpoint", "Output")
