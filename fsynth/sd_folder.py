"""Stable Diffusion models as folders: what a model's name means, and folders that other tools load.

A finished run's ``model/`` is either a whole pipeline in the layout of diffusers, or LoRA weights
(pytorch_lora_weights.safetensors) beside fsynth.json, which names the base model they belong to.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth import hub, records, sd_lora, sd_single_file, sd_text
from fsynth.errors import ModelError
from fsynth.outputs import make_folder, open_to_readers, put_in_place, write_json

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from diffusers.schedulers.scheduling_utils import SchedulerMixin
    from transformers import CLIPTextModel

TINY = "tiny"
TINY_FOLDER = Path(__file__).parent / "assets" / "tiny-sd"
INDEX, LORA_WEIGHTS, RECORD = "model_index.json", "pytorch_lora_weights.safetensors", "fsynth.json"
KINDS = {
    "StableDiffusionPipeline": "unet",
    "StableDiffusionXLPipeline": "unet",
    "StableDiffusion3Pipeline": "transformer",
}
"""Classes of pipelines that can be used, and the part of each that predicts."""
BESIDE = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts that training and drawing do without, and do not load."""
_FORMER = {"CLIPFeatureExtractor": "CLIPImageProcessor"}
"""Names of classes that transformers 5 no longer knows, and what they are called since 4.26."""
WAYS = "name tiny, a pipeline folder, a checkpoint, a finished run, or owner/name of a Stable Diffusion model"


@dataclass(frozen=True)
class Found:
    """A model on this disk.

    Attributes:
        name: how records name it on any later day: ``tiny``, a hub name or an absolute folder. For LoRA
            weights: the base model's.
        pipeline: the folder with model_index.json.
        lora: the folder with LoRA weights for it, or None.
    """

    name: str
    pipeline: Path
    lora: Path | None = None

    @property
    def kind(self) -> str:
        """The class of the pipeline, as its index names it."""
        return str(_read(self.pipeline / INDEX).get("_class_name"))

    @property
    def denoiser(self) -> str:
        """The part that predicts: ``unet`` or ``transformer``."""
        return KINDS[self.kind]

    def absent(self) -> list[str]:
        """Parts that the pipeline may have and these files have not, or that are not loaded."""
        index = _read(self.pipeline / INDEX)
        return [key for key, value in index.items() if value == [None, None] or key in BESIDE]

    def kept(self) -> list[str]:
        """Parts of `BESIDE` that are there: not loaded, but they go along with a model that is written."""
        index = _read(self.pipeline / INDEX)
        listed = [name for name in BESIDE if (index.get(name) or [None])[0] is not None]
        return [name for name in listed if (self.pipeline / name).is_dir()]

    @property
    def safety_checker(self) -> str | None:
        """The class of the one that comes along; None where none does."""
        return _read(self.pipeline / INDEX)["safety_checker"][1] if "safety_checker" in self.kept() else None

    def config(self, part: str, file: str = "config.json") -> dict[str, Any]:
        """The configuration of one part, e.g. ``unet``.

        Raises:
            ModelError: when it is missing or not JSON.
        """
        return _read(self.pipeline / part / file)


def find(model: str | Path) -> Found:
    """Find a model by name; a hub name is downloaded when it is not in the hub's cache.

    Args:
        model: ``tiny``, a pipeline folder, a run folder or its ``model/``, a single-file checkpoint, a hub
            name.

    Raises:
        ModelError: when there is no such model, or its pipeline is of no class in ``KINDS``.
    """
    path = Path(model).expanduser()
    if str(model) == TINY:
        found = _find_tiny()
    elif path.is_dir():
        found = _find_in_folder(path)
    elif path.exists():
        found = Found(str(path.resolve()), sd_single_file.as_folder(path))
    else:
        found = Found(str(model), _download(str(model)))
    if found.kind not in KINDS:
        raise ModelError(f"model {model} is a {found.kind}; known are {', '.join(KINDS)}")
    return found


def _find_tiny() -> Found:
    if not (TINY_FOLDER / INDEX).is_file():
        raise ModelError(
            f"the shipped tiny pipeline is not in {TINY_FOLDER}; reinstall, or run scripts/train_assets.py"
        )
    return Found(TINY, TINY_FOLDER)


def _find_in_folder(folder: Path) -> Found:
    if (folder / "run.yaml").is_file():
        if not (folder / "result.json").is_file():
            raise ModelError(
                f"{folder} is not a finished run (no result.json); finish it with --resume {folder}"
            )
        folder = folder / "model"
    if (folder / INDEX).is_file():
        return Found(str(folder.resolve()), folder)
    if (folder / LORA_WEIGHTS).is_file():
        return _find_base(folder)
    raise ModelError(f"{folder} holds neither {INDEX} nor {LORA_WEIGHTS}; {WAYS}")


def _find_base(lora: Path) -> Found:
    if not (lora / RECORD).is_file():
        raise ModelError(
            f"{lora} holds LoRA weights but no {RECORD} that names their base model; name the base model, "
            f"and {lora} with --lora"
        )
    base = find(base_of(lora))
    return Found(base.name, base.pipeline, lora)


def base_of(lora: Path) -> str:
    """The base model that the fsynth.json of a LoRA folder names.

    Raises:
        ModelError: when the file is missing, broken or names none.
    """
    base = record_of(lora).get("base")
    if not isinstance(base, str):
        raise ModelError(f"model file {lora / RECORD} names no base model; name it, and {lora} with --lora")
    return base


def record_of(lora: Path) -> dict[str, Any]:
    """What the fsynth.json of a LoRA folder says; empty where there is none.

    Raises:
        ModelError: when it is not JSON.
    """
    return _read(lora / RECORD) if (lora / RECORD).is_file() else {}


def _download(name: str) -> Path:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ModelError(f"unknown model '{name}': there is no such folder; {WAYS}")
    from diffusers import DiffusionPipeline

    with hub.without_waiting() as answers:
        try:
            return Path(DiffusionPipeline.download(name))
        except Exception as error:  # the hub's client's own, httpx's and the operating system's kinds
            reason = _cause(error)
    if answers:
        raise ModelError(
            f"unknown model '{name}': there is no such folder, and the hub gave nothing ({reason}); check "
            f"the name, or {WAYS}"
        )
    raise ModelError(
        f"model {name} is not in this machine's cache and the hub cannot be reached; fetch it where there is "
        f"a network (`hf download {name} --local-dir FOLDER`) and pass --model FOLDER, or take --model tiny"
    )


def _cause(error: BaseException) -> str:
    """Offline or absent: the first reason in the chain that the hub's client wraps."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _read(path: Path) -> dict[str, Any]:
    return records.read(path, ModelError, f"fetch the model again, or {WAYS}")


# --------------------------------------------------------------------------------------------------
# writing


def save_trained(
    pipeline: DiffusionPipeline,
    found: Found,
    folder: Path,
    zero_terminal: SchedulerMixin | None = None,
    text_learnt: bool = False,
) -> None:
    """Write what was trained of a found model, complete or absent: its adapters if it has any, else a
    pipeline. A folder of that name is replaced.

    Args:
        zero_terminal: the scheduler to draw with, where training changed it (`sd_model.end_in_noise`).
        text_learnt: whether the text encoder's own weights are not those of the found model any more.
    """
    denoiser, staging = getattr(pipeline, found.denoiser), folder.with_name(f".{folder.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        if sd_lora.has(denoiser):
            save_lora(pipeline, found.name, staging, zero_terminal_snr=zero_terminal is not None)
        else:
            learnt = pipeline.text_encoder if text_learnt else None
            save_pipeline(denoiser, found, staging, zero_terminal, learnt)
    except BaseException:  # a full disk, say: gigabytes that are of no use
        shutil.rmtree(staging, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped just before it was finished
    put_in_place(staging, folder)


def save_pipeline(
    denoiser: Any,
    found: Found,
    folder: Path,
    scheduler: SchedulerMixin | None = None,
    text_encoder: CLIPTextModel | None = None,
) -> None:
    """Write a pipeline folder: the denoiser, scheduler and text encoder that are given, and every other part
    as the found model's files.

    Copies, because a text encoder written by transformers 5 loads with random weights in transformers 4.
    A safety checker and what else a pipeline may have beside (`BESIDE`) are kept as found.
    """
    make_folder(folder)
    denoiser.save_pretrained(folder / found.denoiser)
    index = _read(found.pipeline / INDEX)
    for part in [*_parts(index, found.denoiser), *found.kept()]:
        if part == "text_encoder" and text_encoder is not None:
            sd_text.save(text_encoder, found.pipeline / part, folder / part)
        else:
            _copy_part(found.pipeline / part, folder / part)
    if scheduler is not None:
        scheduler.save_pretrained(folder / "scheduler")
        index["scheduler"] = ["diffusers", type(scheduler).__name__]
    kept = found.kept()
    index |= {name: (None, None) for name in BESIDE if name in index and name not in kept}
    index |= {name: [index[name][0], _FORMER.get(index[name][1], index[name][1])] for name in kept}
    if found.kind == "StableDiffusionPipeline" and "safety_checker" not in kept:
        index["requires_safety_checker"] = False
    write_json(folder / INDEX, {key: value for key, value in index.items() if key != "_name_or_path"})
    open_to_readers(folder)


def _parts(index: dict[str, Any], trained: str) -> list[str]:
    """Parts whose files to copy; a part that the index leaves out is ``[null, null]`` there."""
    listed = [name for name, value in index.items() if isinstance(value, list) and value[0] is not None]
    return [name for name in listed if name not in (trained, *BESIDE)]


def _copy_part(source: Path, target: Path) -> None:
    make_folder(target)
    weights = [path for path in source.iterdir() if path.suffix in (".safetensors", ".bin")]
    plain = [path for path in weights if "." not in path.stem]  # model.fp16.safetensors is a variant
    safe = [path for path in plain if path.suffix == ".safetensors"]
    others = [path for path in source.iterdir() if path.suffix in (".json", ".txt", ".model")]
    for path in [*others, *(safe or plain)]:
        shutil.copyfile(path, target / path.name)


def save_lora(pipeline: DiffusionPipeline, base: str, folder: Path, zero_terminal_snr: bool = False) -> None:
    """Write a pipeline's adapters as `sd_lora.save` does, and fsynth.json.

    What else the base needs to draw with them stands in fsynth.json, which only fsynth reads.
    """
    make_folder(folder)
    settings = sd_lora.save(pipeline, folder)
    alpha = settings.get("lora_alpha", settings.get("alpha"))
    record = {"base": base, "rank": settings["r"], "alpha": alpha}
    write_json(folder / RECORD, record | ({"zero_terminal_snr": True} if zero_terminal_snr else {}))
    open_to_readers(folder)
