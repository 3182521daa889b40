"""open_clip models: loaded, used to encode, saved as open_clip reads them (`fsynth.clip_folder` says how)."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fsynth import clip_folder, hub, outputs
from fsynth.clip_folder import CONFIG_FILE, DEFAULT, RECORD_FILE, TINY, WEIGHTS_FILE, Found, Origin
from fsynth.data.row_pictures import row_of
from fsynth.errors import ModelError, reason

__all__ = ["CONFIG_FILE", "DEFAULT", "TINY", "WEIGHTS_FILE", "ClipModel", "Pictures", "load"]

RELOAD_TOLERANCE = 1e-4
"""What features of unit length may differ by, once saved and loaded; on a CPU they are equal to the bit."""

_RESIZE = {"shortest": "centre of the picture", "longest": "padded to a square", "squash": "made square"}


@dataclass(frozen=True)
class ClipModel:
    """A network with all that belongs to it.

    Attributes:
        network: open_clip's module, float32, in evaluation mode.
        tokenizer: list of sentences -> int64 (sentences, context length).
        architecture: open_clip's ``model_cfg``, complete.
        source: what the user wrote.
        origin: what it came from; a model without is its own base.
        note: what to say of its activation.
    """

    network: nn.Module
    tokenizer: Callable[[list[str]], Tensor]
    architecture: dict[str, Any]
    source: str
    origin: Origin | None = None
    note: str = ""

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

    @property
    def complete_architecture(self) -> dict[str, Any]:
        """`architecture` as this network is: activation, context length and logit bias written out."""
        bias = getattr(self.network, "logit_bias", None)
        return clip_folder.complete(self.architecture, None if bias is None else bias.item())

    def describe(self) -> str:
        """One line: source, parameters, activation, what happens to a picture and to a sentence."""
        cfg, architecture = self.preprocessing, self.complete_architecture
        size = cfg["size"][0] if isinstance(cfg["size"], (tuple, list)) else cfg["size"]
        millions = sum(value.numel() for value in self.network.parameters()) / 1e6
        return (
            f"{self.source} ({millions:.1f} M parameters; {self._activation()}; pictures {size} px, "
            f"{_RESIZE[cfg['resize_mode']]}, {cfg['interpolation']}; sentences up to "
            f"{architecture['text_cfg']['context_length']} tokens)"
        )

    def _activation(self) -> str:
        return clip_folder.activation(self.complete_architecture["quick_gelu"]) + self.note

    def save(self, folder: Path, half: bool = False, training: dict[str, Any] | None = None) -> Path:
        """Write a folder that ``open_clip.create_model("local-dir:FOLDER")`` reads; complete or absent.

        Args:
            half: store weights in float16: half the size, and `load` computes in float32 again.
            training: what was learnt since the model was loaded, for its record.
        """
        beside = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        try:
            self.write(beside, half, training)
            outputs.put_in_place(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return folder

    def save_checked(
        self, folder: Path, pictures: Pictures, sentences: Sequence[str], training: dict[str, Any]
    ) -> ClipModel:
        """`save`, load it as a user will, and compare features of a few pictures and sentences.

        Returns:
            the model as loaded, on this one's device.

        Raises:
            ModelError: the features differ by more than `RELOAD_TOLERANCE`.
        """
        self.save(folder, training=training)
        again = load(str(folder))
        again.network.to(next(self.network.parameters()).device)
        self.network.eval()
        batch = torch.stack([pictures[place] for place in range(len(pictures))])
        mine, its = (
            torch.cat([encode_pictures(model, [batch]), encode_sentences(model, sentences)])
            for model in (self, again)
        )
        difference = (mine - its).abs().max().item()
        if not difference <= RELOAD_TOLERANCE:
            raise ModelError(f"{folder}, loaded again, gives features that differ by {difference:g}")
        return again

    def write(self, folder: Path, half: bool = False, training: dict[str, Any] | None = None) -> None:
        """`save` into a folder that is there and empty, file by file."""
        from safetensors.torch import save_file

        weights = {
            name: (value.half() if half and value.is_floating_point() else value).cpu().clone().contiguous()
            for name, value in self.network.state_dict().items()
        }
        config = {"model_cfg": self.complete_architecture, "preprocess_cfg": self.preprocessing}
        save_file(weights, folder / WEIGHTS_FILE, metadata=clip_folder.header(config))
        if hasattr(self.tokenizer, "save_pretrained"):
            self.tokenizer.save_pretrained(str(folder))
            clip_folder.make_tokenizer_portable(folder)
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        origin = self.origin or Origin(self.source)
        if training is not None:
            origin = dataclasses.replace(origin, trainings=(*origin.trainings, training))
        outputs.write_json(folder / RECORD_FILE, clip_folder.record(self.architecture, origin))
        outputs.open_to_readers(folder)


# --------------------------------------------------------------------------------------------------
# loading


def load(model: str) -> ClipModel:
    """Load a model with its weights onto the CPU; never a random one.

    Args:
        model: see `clip_folder.find`. Of ``NAME:WEIGHTS_FILE`` the file's own activation and preprocessing
            are used, where it brings them along; `ClipModel.describe` says so.

    Raises:
        ModelError: unknown, unreadable or unreachable, with what to write instead.
    """
    found = clip_folder.find(model)
    if found.is_local:
        return _try_create(found)
    with hub.without_waiting() as answers:
        return _try_create(found, "" if answers else " and the hub cannot be reached")


def _try_create(found: Found, network: str = "") -> ClipModel:
    try:
        with found.described() as name:
            return _create(found, name)
    except ModelError:
        raise
    except Exception as error:
        first = reason(error)
        if found.is_local:
            raise ModelError(f"model {found.source} cannot be read: {first}") from None
        state = f"is not in this machine's cache{network}" if network else f"cannot be fetched ({first})"
        raise ModelError(f"model {found.source} {state}; {found.how_to_get()}") from None


@contextlib.contextmanager
def _text_tower_in_reach(found: Found, architecture: Mapping[str, Any]) -> Iterator[None]:
    """Of a text tower of transformers, open_clip asks the hub for the layout, also where weights are here."""
    tower = architecture["text_cfg"].get("hf_model_name")
    if not (found.is_local and tower):
        yield
        return
    with hub.without_waiting():
        try:
            yield
        except OSError as error:
            raise ModelError(
                f"model {found.source}: the layout of its text tower {tower} cannot be fetched "
                f"({reason(error)}); put it into the cache where there is a network: `hf download {tower} "
                "config.json`"
            ) from None


def _create(found: Found, name: str) -> ClipModel:
    import open_clip

    architecture = open_clip.get_model_config(name)
    if "multimodal_cfg" in architecture:
        raise ModelError(
            f"model {found.source}: CoCa also writes sentences, which is not trained here; choose a CLIP "
            "model"
        )
    if found.tag and open_clip.get_pretrained_cfg(name, found.tag).get("quick_gelu"):
        architecture["quick_gelu"] = True  # open_clip only warns, and the weights mean little without
    architecture, note = clip_folder.reconciled(found, architecture)
    in_folder = name.startswith("local-dir:") and found.file is not None
    with _text_tower_in_reach(found, architecture):
        network = open_clip.create_model(
            name,
            pretrained=None if in_folder else found.tag or (str(found.file) if found.file else None),
            load_weights=not in_folder,
            require_pretrained=not in_folder,
            force_quick_gelu=architecture.get("quick_gelu", False),
            force_preprocess_cfg=(found.carried or {}).get("preprocess_cfg"),
            **({"quick_gelu": architecture["quick_gelu"]} if note else {}),
        )
    if in_folder:
        open_clip.load_checkpoint(network, str(found.file))
    tokenizer = open_clip.get_tokenizer(name)
    origin = clip_folder.origin_of(found)
    return ClipModel(network.float().eval(), tokenizer, architecture, found.source, origin, note)


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
