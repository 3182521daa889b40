"""Diffusion models for other tools, checked by diffusers' own readers: what was written, loaded again, must
be the model in memory.

| format | is |
|---|---|
| diffusers | a pipeline folder; adapters are merged in |
| single-file | a checkpoint under the original names (1.x, 2.x, XL); adapters are merged in |
| lora | adapters as diffusers' load_lora_weights reads them |
| kohya, comfyui | adapters under those tools' names (`sd_lora_layouts`) |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from fsynth import modelspec, sd_folder, sd_lora, sd_lora_layouts, sd_model, sd_original
from fsynth.errors import ModelError, reason
from fsynth.outputs import open_to_readers, write_json
from fsynth.sd_folder import Found

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

Format = Literal["diffusers", "single-file", "lora", "kohya", "comfyui"]
WHOLE = ("diffusers", "single-file")
"""Formats that hold all weights."""
TOLERANCE = 1e-5
"""What adapters may change weights otherwise, in parts of the largest change: the rounding of a scale."""


def refuse(found: Found, format: str) -> None:
    """Refuse what a format cannot hold, before anything is loaded.

    Raises:
        ModelError: adapters are wanted of a model without, or original names of a family that has none.
    """
    if format not in WHOLE and found.lora is None:
        raise ModelError(
            f"--format {format} is for adapters, and {found.pipeline} is a whole model; take --format "
            "diffusers or single-file"
        )
    if format in ("single-file", "kohya", "comfyui"):
        sd_original.refuse(found.kind)


def prepare(pipeline: DiffusionPipeline, format: str, half: bool) -> None:
    """Bring a loaded pipeline, float32 on the CPU, into what is written: adapters merged for `WHOLE`, weights
    rounded to float16 for ``half``. Afterwards the pipeline answers as the export must.

    Raises:
        ModelError: weights that float16 cannot hold.
    """
    for name, network in _networks(pipeline).items():
        if format in WHOLE:
            sd_lora.merge(network)
        if half:
            values = network.parameters() if format in WHOLE else _adapters(network)
            _round(values, name)


def _round(values: Any, part: str) -> None:
    for value in values:
        value.data = value.data.half()
        if not torch.isfinite(value).all():
            raise ModelError(f"float16 cannot hold the {part}'s weights; leave --half out")
        value.data = value.data.float()


def _adapters(network: nn.Module) -> list[Tensor]:
    return [value for name, value in network.named_parameters() if "lora_" in name or "lokr_" in name]


def _networks(pipeline: DiffusionPipeline) -> dict[str, Any]:
    return {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}


# --------------------------------------------------------------------------------------------------
# writing


def write(
    pipeline: DiffusionPipeline,
    found: Found,
    format: str,
    folder: Path,
    name: str,
    half: bool,
    entries: Mapping[str, str],
) -> Path:
    """Write a prepared pipeline into an empty folder.

    Args:
        found: where it was loaded from; what is no weight is copied from there.
        name: of a file, without ending.
        entries: of the file's header (`modelspec.describe`).

    Returns:
        what readers are given: the folder, or the file in it.
    """
    kind = torch.float16 if half else torch.float32
    if format == "diffusers":
        _write_folder(pipeline, found, folder, kind)
        return folder
    if format == "lora":
        return _write_lora(pipeline, folder, kind, entries)
    content = {
        "single-file": sd_original.checkpoint,
        "kohya": sd_lora_layouts.kohya,
        "comfyui": sd_lora_layouts.comfyui,
    }[format](pipeline)
    file = folder / f"{name}.safetensors"
    if format != "single-file":
        (rank, alpha) = _strength(pipeline)
        entries = {**entries, **modelspec.for_trainers(sd_original.generation(pipeline), rank, alpha)}
    modelspec.save(_as(content, kind), file, entries)
    open_to_readers(folder)
    return file


def _as(content: Mapping[str, Tensor], kind: torch.dtype) -> dict[str, Tensor]:
    """In a precision; a single number (alpha) stays as it is."""
    return {name: value.to(kind) if value.dim() else value for name, value in content.items()}


def _strength(pipeline: DiffusionPipeline) -> tuple[int, float]:
    first = sd_lora_layouts.layers(pipeline)[0]
    return first.rank, first.alpha


def _write_lora(
    pipeline: DiffusionPipeline, folder: Path, kind: torch.dtype, entries: Mapping[str, str]
) -> Path:
    from safetensors import safe_open

    sd_lora.save(pipeline, folder)
    file = folder / sd_folder.LORA_WEIGHTS
    with safe_open(file, framework="pt") as opened:
        settings = opened.metadata() or {}
        content = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # it is no dict
    modelspec.save(_as(content, kind), file, {**settings, **entries})
    open_to_readers(folder)
    return file


def _write_folder(pipeline: DiffusionPipeline, found: Found, folder: Path, kind: torch.dtype) -> None:
    """The files as found, and in them the weights from memory."""
    from safetensors.torch import save_file

    networks = _networks(pipeline)
    scheduler = pipeline.scheduler  # type: ignore[attr-defined]
    sd_folder.save_pipeline(networks[found.denoiser], found, folder, scheduler)
    for part, network in networks.items():
        for old in (path for path in (folder / part).iterdir() if path.suffix in (".safetensors", ".bin")):
            old.unlink()
        file = "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"
        whole = {name: value.detach().to(kind).contiguous() for name, value in _state(network).items()}
        save_file(whole, folder / part / f"{file}.safetensors", metadata={"format": "pt"})
        _name_precision(folder / part / "config.json", kind)
    open_to_readers(folder)


def _state(network: nn.Module) -> Mapping[str, Tensor]:
    state = network.state_dict()
    return sd_original.spelt(state) if type(network).__name__.startswith("CLIPText") else state


def _name_precision(config: Path, kind: torch.dtype) -> None:
    """transformers 5 loads weights in the precision that the configuration names, whatever they are in."""
    values = json.loads(config.read_text(encoding="utf-8"))
    named = {key: str(kind).removeprefix("torch.") for key in ("dtype", "torch_dtype") if key in values}
    write_json(config, values | named)


# --------------------------------------------------------------------------------------------------
# checking


def check(pipeline: DiffusionPipeline, found: Found, format: str, written: Path) -> float:
    """Load what was written as diffusers does, and compare it with the prepared pipeline in memory.

    Returns:
        of whole models the largest difference between weights; of adapters the largest difference of what
        they change, in parts of the largest change.

    Raises:
        ModelError: diffusers does not read it, or reads something else.
    """
    try:
        if format in WHOLE:
            again = _load_whole(type(pipeline), found, format, written)
            difference, allowed = _between(pipeline, again), 0.0
        else:
            again = _load_adapters(found, format, written)
            difference, allowed = _between_adapters(pipeline, again), TOLERANCE
    except ModelError:
        raise
    except Exception as error:  # loading raises whatever the reader of a broken file raises
        raise ModelError(f"the export does not load again ({reason(error)})") from None
    if not difference <= allowed:  # also when it is not a number
        raise ModelError(f"the export, loaded again, is another model: it differs by {difference:.3g}")
    return difference


def _load_whole(kind: Any, found: Found, format: str, written: Path) -> DiffusionPipeline:
    """By the local configuration: the hub is not asked."""
    plain = {"local_files_only": True, **dict.fromkeys(found.absent())}
    if format == "diffusers":
        return kind.from_pretrained(written, **plain)
    return kind.from_single_file(str(written), config=str(found.pipeline), **plain)


def _between(mine: DiffusionPipeline, theirs: DiffusionPipeline) -> float:
    others, largest = _networks(theirs), 0.0
    for part, network in _networks(mine).items():
        one, other = network.state_dict(), others[part].state_dict()
        if one.keys() != other.keys():
            raise ModelError(f"the {part} of the export, loaded again, has other weights")
        for name, value in one.items():
            largest = max(largest, (value.float() - other[name].float()).abs().max().item())
    return largest


def _load_adapters(found: Found, format: str, written: Path) -> DiffusionPipeline:
    from safetensors.torch import load_file

    base = Found(found.name, found.pipeline)
    pipeline = sd_model.load_pipeline(base, dtype=torch.float32, device="cpu")
    if format == "comfyui":
        pipeline.load_lora_weights(sd_lora_layouts.from_comfyui(load_file(written), pipeline))
    else:
        sd_lora.load(pipeline, written)
    return pipeline


def _between_adapters(mine: DiffusionPipeline, theirs: DiffusionPipeline) -> float:
    """How far the weights with adapters merged into them are apart, over the largest change by one."""
    others, apart, change = _networks(theirs), 0.0, 0.0
    for part, network in _networks(mine).items():
        names = sd_lora.modules(network)
        if names != sd_lora.modules(others[part]):
            raise ModelError(f"the {part} of the export, loaded again, has adapters elsewhere")
        for name in names:
            one, other = network.get_submodule(name), others[part].get_submodule(name)
            before = sd_lora.weight(other).clone()
            one.merge(), other.merge()
            apart = max(apart, (sd_lora.weight(one) - sd_lora.weight(other)).abs().max().item())
            change = max(change, (sd_lora.weight(one) - before).abs().max().item())
    return apart / change if change else apart
