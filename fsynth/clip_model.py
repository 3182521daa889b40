"""open_clip models: found by name and tag, folder or file, used to encode, saved as open_clip reads them.

A saved folder is open_clip's ``local-dir:`` format (open_clip_config.json, open_clip_model.safetensors and,
where the model has one, its own tokenizer) and carries what is lost when only weights are kept: activation
(quick GELU), picture preprocessing, tokenizer and context length.
"""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fsynth import hub, outputs
from fsynth.data.row_pictures import row_of
from fsynth.errors import ModelError, reason

DEFAULT = "ViT-B-32:laion2b_s34b_b79k"
"""The model for real pictures: the base that FashionCLIP 2.0 moved to."""

TINY = "tiny"
"""The model that ships with the package, for drawn pictures."""

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
PORTABLE_TOKENIZER = "PreTrainedTokenizerFast"
_ASSETS = Path(__file__).parent / "assets"
_RESIZE = {"shortest": "centre of the picture", "longest": "padded to a square", "squash": "made square"}


@dataclass(frozen=True)
class ClipModel:
    """A network with all that belongs to it.

    Attributes:
        network: open_clip's module, float32, in evaluation mode.
        tokenizer: list of sentences -> int64 (sentences, context length).
        architecture: open_clip's ``model_cfg``, complete.
        source: what the user wrote.
    """

    network: nn.Module
    tokenizer: Callable[[list[str]], Tensor]
    architecture: dict[str, Any]
    source: str

    def transform(self, train: bool = False) -> Callable[[Any], Tensor]:
        """PIL picture -> float32 (3, size, size) as this network wants it.

        With ``train``, a random crop of 90 to 100 % of the area first: colours and most of the garment stay.
        """
        from open_clip.transform import PreprocessCfg, image_transform_v2

        return image_transform_v2(PreprocessCfg(**self.preprocessing), is_train=train)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Size, mean, deviation, interpolation and resize mode, as open_clip names them."""
        return dict(self.network.visual.preprocess_cfg)

    def describe(self) -> str:
        """One line: source, parameters, what happens to a picture and to a sentence."""
        cfg = self.preprocessing
        size = cfg["size"][0] if isinstance(cfg["size"], (tuple, list)) else cfg["size"]
        millions = sum(value.numel() for value in self.network.parameters()) / 1e6
        tokens = self.architecture["text_cfg"].get("context_length", 77)
        return (
            f"{self.source} ({millions:.1f} M parameters; pictures {size} px, {_RESIZE[cfg['resize_mode']]}, "
            f"{cfg['interpolation']}; sentences up to {tokens} tokens)"
        )

    def save(self, folder: Path, half: bool = False) -> Path:
        """Write a folder that ``open_clip.create_model("local-dir:FOLDER")`` reads; complete or absent.

        With ``half``, weights are stored in float16: half the size, and `load` computes in float32 again.
        """
        beside = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        try:
            self._write(beside, half)
            outputs.put_in_place(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return folder

    def _write(self, folder: Path, half: bool) -> None:
        from safetensors.torch import save_file

        weights = {
            name: (value.half() if half and value.is_floating_point() else value).cpu().clone().contiguous()
            for name, value in self.network.state_dict().items()
        }
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        if hasattr(self.tokenizer, "save_pretrained"):
            self.tokenizer.save_pretrained(str(folder))
            _write_portable_tokenizer_class(folder)
        config = {"model_cfg": self.architecture, "preprocess_cfg": self.preprocessing}
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        outputs.open_to_readers(folder)


def _write_portable_tokenizer_class(folder: Path) -> None:
    """transformers 5 writes a class name that transformers 4 does not know; both know the older one."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = PORTABLE_TOKENIZER
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


# --------------------------------------------------------------------------------------------------
# finding and loading


def load(model: str) -> ClipModel:
    """Load a model with its weights onto the CPU; never a random one.

    Args:
        model: ``NAME:TAG`` or ``NAME:WEIGHTS_FILE`` (open_clip's names), a folder in open_clip's format or a
            run folder, a weights file beside its open_clip_config.json, ``hf-hub:org/repository``, ``tiny``.

    Raises:
        ModelError: unknown, unreadable or unreachable, with what to write instead.
    """
    name, tag = _resolve(model)
    if _is_local(name, tag):
        return _try_create(model, name, tag)
    with hub.without_waiting() as answers:
        return _try_create(model, name, tag, "" if answers else " and the hub cannot be reached")


def _try_create(source: str, name: str, tag: str | None, network: str = "") -> ClipModel:
    try:
        return _create(source, name, tag)
    except ModelError:
        raise
    except Exception as error:
        first = reason(error)
        if _is_local(name, tag):
            raise ModelError(f"model {source} cannot be read: {first}") from None
        state = f"is not in this machine's cache{network}" if network else f"cannot be fetched ({first})"
        raise ModelError(f"model {source} {state}; {_how_to_get(name, tag)}") from None


def _is_local(name: str, tag: str | None) -> bool:
    return name.startswith("local-dir:") or (tag is not None and Path(tag).is_file())


def _create(source: str, name: str, tag: str | None) -> ClipModel:
    import open_clip

    architecture = open_clip.get_model_config(name)
    if "multimodal_cfg" in architecture:
        raise ModelError(
            f"model {source}: CoCa also writes sentences, which is not trained here; choose a CLIP model"
        )
    file = Path(tag) if tag and Path(tag).is_file() else None
    cfg = open_clip.get_pretrained_cfg(name, tag) if tag and file is None else {}
    if cfg.get("quick_gelu"):  # open_clip only warns: with the wrong activation the weights mean little
        architecture["quick_gelu"] = True
    in_folder = name.startswith("local-dir:") and file is not None
    network = open_clip.create_model(
        name,
        pretrained=None if in_folder else tag,
        load_weights=not in_folder,
        require_pretrained=not in_folder,
        force_quick_gelu=architecture.get("quick_gelu", False),
    )
    if in_folder:
        open_clip.load_checkpoint(network, str(file))
    return ClipModel(network.float().eval(), open_clip.get_tokenizer(name), architecture, source)


def _resolve(model: str) -> tuple[str, str | None]:
    """(open_clip's model name, pretrained tag or weights file) of what the user wrote."""
    if model == TINY:
        return _folder(_ASSETS / "tiny-clip", "the tiny CLIP"), None
    if model.startswith("hf-hub:"):
        return model, None
    path = Path(model.removeprefix("local-dir:")).expanduser()
    if path.is_dir():
        inner = path / "model"
        return _folder(inner if inner.is_dir() else path, f"model {model}"), None
    if path.is_file():
        return _folder(path.parent, f"the weights file {model}"), str(path)
    return _known_name(model)


def _folder(folder: Path, what: str) -> str:
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(
            f"{what}: no {CONFIG_FILE} in {folder}; name a folder that open_clip or clip-finetune wrote, "
            "or NAME:WEIGHTS_FILE"
        )
    return f"local-dir:{folder}"


def _known_name(model: str) -> tuple[str, str]:
    import open_clip

    name, _, tag = model.partition(":")
    names, tags = open_clip.list_models(), open_clip.list_pretrained_tags_by_model(name)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        raise ModelError(
            f"model {model}: no such file or folder, and open_clip knows no '{name}'"
            + (f" (it knows {', '.join(close)})" if close else "")
            + "; write NAME:TAG, a folder, hf-hub:ORG/REPOSITORY or tiny"
        )
    if open_clip.get_pretrained_cfg(name, tag) or Path(tag).is_file():
        return name, tag
    close = difflib.get_close_matches(tag, tags, n=3, cutoff=0.3) or tags[:5]
    wrong = f"unknown tag '{tag}'" if tag else "a name alone has random weights"
    raise ModelError(
        f"model {model}: {wrong}; write {name}:TAG with TAG one of {', '.join(close)}, or a file"
    )


def _how_to_get(name: str, tag: str | None) -> str:
    import open_clip

    cfg = open_clip.get_pretrained_cfg(name, tag or "") or {}
    repository = name.removeprefix("hf-hub:") if name.startswith("hf-hub:") else cfg.get("hf_hub", "")
    place = f"`hf download {repository.rstrip('/')}`" if repository else cfg.get("url", "its address")
    return f"fetch it where there is a network ({place}) and pass --model FOLDER or --model NAME:WEIGHTS_FILE"


# --------------------------------------------------------------------------------------------------
# encoding


@torch.no_grad()
def encode_pictures(model: ClipModel, batches: Iterable[Tensor]) -> Tensor:
    """(N, width) float32 on the CPU, of unit length, from batches of transformed pictures (B, 3, H, W)."""
    device = next(model.network.parameters()).device
    features = [
        model.network.encode_image(batch.to(device, non_blocking=True), normalize=True) for batch in batches
    ]
    return torch.cat(features).float().cpu()


@torch.no_grad()
def encode_sentences(model: ClipModel, sentences: Sequence[str], batch_size: int = 256) -> Tensor:
    """(sentences, width) float32 on the CPU, of unit length. Give each distinct sentence once."""
    device = next(model.network.parameters()).device
    features = []
    for start in range(0, len(sentences), batch_size):
        tokens = model.tokenizer(list(sentences[start : start + batch_size])).to(device)
        features.append(model.network.encode_text(tokens, normalize=True))
    return torch.cat(features).float().cpu()


class Pictures(torch.utils.data.Dataset):
    """Transformed pictures of some rows of a data set, in order; for a `torch.utils.data.DataLoader`.

    One that cannot be read is a `DataError` that names its row.
    """

    def __init__(self, dataset: Any, rows: Sequence[int], transform: Callable[[Any], Tensor]) -> None:
        self.dataset, self.rows, self.transform = dataset, rows, transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Tensor:
        return self.transform(row_of(self.dataset, int(self.rows[place]))["image"])
