"""Settings of the commands about data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fsynth.config.shared import DataSettings, OutputSettings, RowSettings
from fsynth.settings import setting


@dataclass(frozen=True, kw_only=True)
class DataMakeConfig(OutputSettings):
    """Draw a synthetic archive in the benchmark's formats: captions, labels, split, encrypted pictures."""

    rows: int | None = setting(
        None,
        "pictures to draw (default: 6000, or all rows of --annotations)",
        "Data",
        least=4,
        most=1_000_000,
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
    annotations: Path | None = setting(
        None, "folder with a language_original.mat and ind.mat to draw (default: invented rows)", "Data"
    )
    hdf5: bool = setting(
        False,
        "write Img/G2.h5 too, of 128 px, or --size where that is smaller; about 100 kB a picture",
        "Output",
    )
    password_file: Path | None = setting(
        None,
        "file whose first line encrypts the ZIP; it is copied to password.txt (default: fsynth)",
        "Output",
    )
    workers: int | None = setting(
        None, "drawing processes; does not change the pictures (default: one per core)", "Hardware", least=0
    )


@dataclass(frozen=True, kw_only=True)
class InspectionSettings(DataSettings):
    """For commands that read every picture once."""

    workers: int | None = setting(
        None,
        "processes that read pictures; 0 reads in this one (default: one per core)",
        "Hardware",
        least=0,
    )


@dataclass(frozen=True, kw_only=True)
class DataCheckConfig(InspectionSettings):
    """Say what a data set holds and what is wrong with it; exits with 1 where there is a fault."""

    quick: bool = setting(False, "read a sample of 64 pictures instead of all", "Data")


@dataclass(frozen=True, kw_only=True)
class DataExportConfig(RowSettings):
    """Write the pictures to disk, decrypted, in a format that other tools read."""

    output: Path = setting(
        ..., "new or empty folder, or one that an interrupted export is to go on in", "Output"
    )
    format: Literal["imagefolder", "webdataset", "parquet", "hdf5"] = setting(
        "imagefolder", "what to write; hdf5 is the benchmark's own G2.h5, out of G2.zip", "Output"
    )
    split: tuple[str, ...] = setting(
        (), "train, validation or test; may be repeated (default: all there are)", "Output"
    )
    shard_size: int = setting(
        500, "most megabytes of pictures in a WebDataset or Parquet file", "Output", least=1
    )
    yes: bool = setting(False, "write decrypted pictures without asking", "Output")
    workers: int = setting(
        0,
        "processes that read pictures; does not change what is written; 0 reads in this one, which is fast "
        "but for an HDF5 and for files elsewhere (cleaning reads in one a core)",
        "Hardware",
        least=0,
    )


@dataclass(frozen=True, kw_only=True)
class DataReportConfig(InspectionSettings, OutputSettings):
    """Show what a data set is made of: one self-contained HTML page, plots as PNG, numbers as JSON."""

    quick: bool = setting(False, "read a sample of 1,000 pictures instead of all, find no duplicates", "Data")
    pictures: bool = setting(
        True, "show up to 64 thumbnails of the data, 128 px at most, and mean pictures", "Output"
    )


@dataclass(frozen=True, kw_only=True)
class DataLabelsConfig(OutputSettings):
    """Read labels and terms off the captions, compare them with the benchmark's codes, plot them."""

    data: Path | None = setting(
        None,
        "folder with the FashionSynthesis files, or drawn for drawn data (default: $FSYNTH_DATA, else drawn)",
        "Data",
    )
