"""`fsynth sd-cache`: encode pictures onto the disk, where every run of `sd-train` finds them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth import launch, sd_choices, sd_folder, sd_model, sd_moments
from fsynth.config import SDCacheConfig
from fsynth.console import say
from fsynth.data.sources import Source, open_source
from fsynth.order import choose_rows
from fsynth.sd_folder import Found
from fsynth.sd_moments import Encoder, OnDisk
from fsynth.sd_rows import Pictures

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class SDCacheResult:
    """``encoded``: of ``entries``, those that were not there before; ``bytes``: of all entries. A mirrored
    picture is an entry of its own."""

    folder: Path
    pictures: int
    held_out: int
    entries: int
    encoded: int
    bytes: int
    resolution: int


def main(config: SDCacheConfig) -> SDCacheResult | None:
    """Encode what is not there yet, also what an interrupted command left out.

    Returns:
        the folder and what is in it; None in all but the first process of a launch.

    Raises:
        ConfigError: settings that the data or the model do not allow.
        DataError: pictures that are missing or cannot be read.
        ModelError: a model that is unknown or broken, or makes latents that are not finite.
        OutputError: a folder that cannot be written, or too small a disk.
    """
    source = open_source(**config.source())
    source.need_pictures()
    source.need_rows(config.n_images, config.stratify)
    found = sd_folder.find(config.model or (sd_folder.TINY if source.synthetic else sd_model.DEFAULT_MODEL))
    sd_model.check_resolution(found, config.resolution or sd_model.native_resolution(found))
    sd_choices.check_step(config.buckets.step, found)
    source.announce()
    accelerator = launch.make_accelerator("no")
    try:
        result = _encode(config, source, found, accelerator)
    finally:
        accelerator.end_training()
    of = f"{result.pictures:,} training and {result.held_out:,} held-out pictures"
    say(f"latents: {result.entries:,} of {of}, {result.bytes / 2**20:,.1f} MiB; sd-train finds them")
    return result if accelerator.is_main_process else None


def _encode(config: SDCacheConfig, source: Source, found: Found, accelerator: Accelerator) -> SDCacheResult:
    say(f"model: {found.name}")
    pictures = _training_pictures(config, source, found)
    held_out = _held_out_pictures(config, source, pictures)
    encoder = Encoder(
        sd_model.load_vae(found).to(accelerator.device), accelerator, config.batch_size, config.workers
    )
    done = [_filled(config, pictures, encoder, "encoding pictures", config.mirrored)]
    if len(held_out):
        done.append(_filled(config, held_out, encoder, "encoding held-out pictures", False))
    entries = [{name: view for view, name in part.names.items()} for part in done]
    sizes = [
        sd_moments.total_size(shown, list(found.values()), encoder)
        for shown, found in zip((pictures, held_out), entries, strict=False)
    ]
    return SDCacheResult(
        folder=done[0].store.folder,
        pictures=len(pictures),
        held_out=len(held_out),
        entries=sum(map(len, entries)),
        encoded=sum(part.made for part in done),
        bytes=sum(sizes),
        resolution=pictures.resolution,
    )


def _training_pictures(config: SDCacheConfig, source: Source, found: Found) -> Pictures:
    strata = source.strata(config.stratify)
    rows = choose_rows(len(source.train), config.n_images, config.seed, strata)
    say(f"pictures: {sd_choices.describe_draw(config.n_images, len(source.train), config.seed)}")
    side = config.resolution or sd_model.native_resolution(found)
    pictures = Pictures(source.train, rows, side)
    sd_choices.resolution(config.resolution, found, *pictures.originals[0])
    settings = dataclasses.asdict(config.buckets)
    pictures.fit(sd_choices.buckets(pictures, found, **settings))
    return pictures


def _held_out_pictures(config: SDCacheConfig, source: Source, pictures: Pictures) -> Pictures:
    """The rows that `sd-train` takes for its validation loss."""
    _, dataset = source.held_out
    rows = sd_choices.held_out_rows(len(dataset), config.held_out)
    held_out = Pictures(dataset, rows, pictures.resolution)
    held_out.fit(pictures.buckets)
    return held_out


def _filled(
    config: SDCacheConfig, pictures: Pictures, encoder: Encoder, title: str, mirrored: bool
) -> OnDisk:
    views = sd_moments.views_of(pictures, mirrored)
    return sd_moments.on_disk(pictures, views, encoder, sd_moments.folder_of(config.dir), title)
