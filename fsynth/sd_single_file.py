"""Single-file checkpoints of Stable Diffusion 1.x, 2.x and XL (``model.safetensors`` under the original
names) as pipeline folders, without asking any hub.

A file is turned into a folder once, which stays in the cache: all that reads, trains and writes models then
works on folders alone. Which model a file holds is told by its names; the configurations are the published
ones. What a file does not say, and the weights cannot tell, is what the network predicts: its header, or the
marks that other tools leave in it, may.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fsynth import outputs, sd_original, sd_published
from fsynth.console import say
from fsynth.data import caches
from fsynth.errors import ModelError, reason
from fsynth.sd_original import UNET, VAE

FORMAT_VERSION = 1
"""Raise it when the folders change: they are made again."""
TEXT = {
    "sd15": sd_original.TEXT["v1"]["text_encoder"],
    "sd21": sd_original.TEXT["v2"]["text_encoder"],
    "sdxl": sd_original.TEXT["xl"]["text_encoder_2"],
}
"""Where a text encoder stands that only this model has; the names are those of `sd_published.FAMILIES`."""
TITLES = {"sd15": "Stable Diffusion 1.x", "sd21": "Stable Diffusion 2.x", "sdxl": "Stable Diffusion XL"}
INSTEAD = "name a pipeline folder or a checkpoint of Stable Diffusion 1.x, 2.x or XL"
VELOCITY, ENDS_IN_NOISE = "v_pred", "ztsnr"
"""Empty weights by which tools mark models that predict v, and schedules of zero terminal SNR."""


class Header(NamedTuple):
    """What a file says before its weights are read: shapes and precision by name, and its entries."""

    shapes: dict[str, list[int]]
    dtypes: set[str]
    entries: dict[str, str]


def as_folder(file: Path) -> Path:
    """The pipeline folder of a checkpoint, from the cache; made now where it is not there yet.

    Raises:
        ModelError: a file that holds no whole text-to-image model of these families.
        OutputError: the cache folder (`$FSYNTH_CACHE`) cannot be written.
    """
    header = read_header(file)
    name = tell(file, header)
    state = file.stat()
    identity = (str(file.resolve()), state.st_size, state.st_mtime_ns, FORMAT_VERSION)
    key = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]
    folder = outputs.cache_folder() / "models" / f"{file.stem}-{key}"
    if not _is_whole(folder):
        with caches.alone(folder):
            if not _is_whole(folder):
                say(f"{file}: {TITLES[name]}; making a pipeline folder of it in {folder} (once)")
                _make(file, header, name, folder)
    return folder


def _is_whole(folder: Path) -> bool:
    return (folder / "model_index.json").is_file()


def read_header(file: Path) -> Header:
    """Names, shapes and entries of a safetensors file.

    Raises:
        ModelError: it is another kind of file, or broken.
    """
    from safetensors import safe_open

    if file.suffix != ".safetensors":
        raise ModelError(
            f"model {file}: of files only .safetensors are read (others may run code when opened); {INSTEAD}"
        )
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  # it is no dict
            shapes = {name: part.get_shape() for name, part in slices.items()}
            dtypes = {part.get_dtype() for name, part in slices.items() if name.startswith(UNET)}
            return Header(shapes, dtypes, opened.metadata() or {})
    except Exception as error:  # whatever the reader of a broken file raises
        raise ModelError(f"model {file} does not load ({reason(error)})") from None


def tell(file: Path, header: Header) -> str:
    """Which of `sd_published.FAMILIES` a file holds, by its names.

    Raises:
        ModelError: none of them, or not all parts of it.
    """
    names = header.shapes
    kind = next((name for name, place in TEXT.items() if _has(names, place)), None)
    if any(".lora_" in name or "lora_down" in name for name in names):
        raise ModelError(f"model {file} holds adapters, not a model; {INSTEAD}")
    if any("joint_blocks." in name for name in names):
        raise ModelError(f"model {file} is a Stable Diffusion 3: single files of it are not read; {INSTEAD}")
    if _has(names, "conditioner.embedders.0.model."):
        raise ModelError(f"model {file} is a refiner: it improves pictures, it makes none; {INSTEAD}")
    missing = [part for part, place in (("UNet", UNET), ("autoencoder", VAE)) if not _has(names, place)]
    missing += ["text encoder"] if kind is None else []
    if kind is None or missing:
        raise ModelError(f"model {file} holds no {' and no '.join(missing)}; {INSTEAD}")
    channels = names[f"{UNET}input_blocks.0.0.weight"][1]
    if channels != 4:
        raise ModelError(f"model {file} takes {channels} channels: an inpainting or depth model; {INSTEAD}")
    return kind


def _has(names: Mapping[str, Any], place: str) -> bool:
    return any(name.startswith(place) for name in names)


def settings_of(file: Path, header: Header, name: str) -> dict[str, Any]:
    """The published configuration, with what the header says of predictions, schedule and size.

    Stable Diffusion 2 was published in two kinds that no weight tells apart: without a word in the header it
    is taken for the one that predicts v, as diffusers takes it.
    """
    family = dict(sd_published.FAMILIES[name])
    said = header.entries.get("modelspec.prediction_type", "v" if VELOCITY in header.shapes else None)
    kind, schedule = family["scheduler"]
    if said is not None:
        schedule = schedule | {"prediction_type": "v_prediction" if said.startswith("v") else said}
    elif name == "sd21":
        say(
            f"note: {file.name} does not say what it predicts; taken for v, as Stable Diffusion 2.1 at 768 px"
        )
    if ENDS_IN_NOISE in header.shapes:
        schedule = schedule | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    family["scheduler"] = (kind, schedule)
    if (side := _side(header)) and name == "sd21":
        family["unet"] = family["unet"] | {"sample_size": side // 8}
    return family


def _side(header: Header) -> int | None:
    first, _, _ = header.entries.get("modelspec.resolution", "").partition("x")
    return int(first) if first.isdigit() else None


def _make(file: Path, header: Header, name: str, folder: Path) -> None:
    staging = folder.with_name(f".{folder.name}.part")
    for remains in (staging, folder):
        shutil.rmtree(remains, ignore_errors=True)
    try:
        outputs.make_folder(staging)
        settings = settings_of(file, header, name)
        sd_published.write_settings(settings, staging)
        _convert(file, header, settings["_class_name"], staging)
        outputs.open_to_readers(staging)
        outputs.put_in_place(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _convert(file: Path, header: Header, class_name: str, folder: Path) -> None:
    """Put the weights into a folder that has everything else, in the precision that they have."""
    import diffusers
    import torch
    from safetensors.torch import save_file

    halves = {"F16": torch.float16, "BF16": torch.bfloat16}
    kind = halves.get(next(iter(header.dtypes))) if len(header.dtypes) == 1 else None
    try:
        with _quiet():
            pipeline = getattr(diffusers, class_name).from_single_file(
                str(file), config=str(folder), local_files_only=True, torch_dtype=kind or torch.float32
            )
    except Exception as error:
        raise ModelError(f"model {file} does not load ({reason(error)})") from None
    for part in sd_published.NETWORKS:
        network = getattr(pipeline, part, None)
        if network is None:
            continue
        text, weights = part.startswith("text_encoder"), network.state_dict()
        weights = sd_original.spelt(weights) if text else weights
        weights = {name: value.contiguous() for name, value in weights.items()}
        target = "model" if text else "diffusion_pytorch_model"
        save_file(weights, folder / part / f"{target}.safetensors", metadata={"format": "pt"})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """diffusers warns of parts that it keeps in float32 even where there are none."""
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
