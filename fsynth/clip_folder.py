"""CLIP models as files: what a model's name means, and the folder that open_clip reads.

A folder is open_clip's ``local-dir:`` format: open_clip_config.json, open_clip_model.safetensors and, where
the model has one, its own tokenizer. Weights alone do not say which activation they were trained with (a ViT
of OpenAI's with GELU instead of its quick GELU still answers, but worse), nor how pictures and sentences were
prepared: the configuration says all of it, also where open_clip would take it for granted, and stands in the
header of the weights file once more, which may leave its folder. fsynth.json says where the model came from.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fsynth import records
from fsynth.errors import ModelError

DEFAULT = "ViT-B-32:laion2b_s34b_b79k"
"""The model for real pictures: the base that FashionCLIP 2.0 moved to."""

TINY = "tiny"
"""The model that ships with the package, for drawn pictures."""

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
RECORD_FILE = "fsynth.json"
PORTABLE_TOKENIZER = "PreTrainedTokenizerFast"
CONTEXT_LENGTH = 77
"""Tokens of a sentence where open_clip's configuration names no number."""

_HEADER = "open_clip_config"
_ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Found:
    """What the name of a model means.

    Attributes:
        source: what the user wrote.
        name: open_clip's: an architecture, ``hf-hub:...`` or ``local-dir:FOLDER``; empty for a weights file
            that is described by its own header alone.
        tag: of pretrained weights of that architecture.
        file: weights to be read instead of those that ``name`` has.
        carried: the configuration that ``file`` brings along.
    """

    source: str
    name: str
    tag: str | None = None
    file: Path | None = None
    carried: dict[str, Any] | None = None

    @property
    def is_local(self) -> bool:
        return self.file is not None or self.name.startswith("local-dir:")

    @property
    def folder(self) -> Path | None:
        """Where its records would be, on this disk."""
        if self.file is not None:
            return self.file.parent
        return Path(self.name.removeprefix("local-dir:")) if self.is_local else None

    @contextlib.contextmanager
    def described(self) -> Iterator[str]:
        """The name under which open_clip finds the configuration."""
        if self.name:
            yield self.name
            return
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, CONFIG_FILE).write_text(json.dumps(self.carried), encoding="utf-8")
            yield f"local-dir:{folder}"

    def how_to_get(self) -> str:
        """What to do where the weights are neither here nor in reach."""
        import open_clip

        cfg = open_clip.get_pretrained_cfg(self.name, self.tag or "") or {}
        hub = self.name.removeprefix("hf-hub:") if self.name.startswith("hf-hub:") else cfg.get("hf_hub", "")
        place = f"`hf download {hub.rstrip('/')}`" if hub else cfg.get("url", "its address")
        return (
            f"fetch it where there is a network ({place}) and pass --model FOLDER or --model "
            "NAME:WEIGHTS_FILE"
        )


def find(model: str) -> Found:
    """What a user's name of a model means; reads no weights.

    Args:
        model: ``NAME:TAG`` or ``NAME:WEIGHTS_FILE`` (open_clip's names), a folder in open_clip's format or a
            run folder, a weights file that has its configuration in its header or beside it,
            ``hf-hub:org/repository``, ``tiny``.

    Raises:
        ModelError: unknown, with what to write instead.
    """
    if model == TINY:
        return Found(model, _folder(_ASSETS / "tiny-clip", "the tiny CLIP"))
    if model.startswith("hf-hub:"):
        return Found(model, model)
    path = Path(model.removeprefix("local-dir:")).expanduser()
    if path.is_dir():
        inner = path / "model"
        return Found(model, _folder(inner if inner.is_dir() else path, f"model {model}"))
    if path.is_file():
        return _weights_file(model, path)
    if model.startswith("local-dir:"):
        raise ModelError(f"model {model}: there is no folder {path}")
    return _known_name(model)


def absolute(model: str) -> str:
    """The same model for whoever reads it in another working folder: paths are made whole, names are kept."""
    name, colon, file = model.partition(":")
    if model != TINY and Path(model).expanduser().exists():
        return str(Path(model).expanduser().resolve())
    path = Path(file).expanduser()
    is_path = colon and (path.is_file() or (name == "local-dir" and path.is_dir()))
    return f"{name}:{path.resolve()}" if is_path else model


def _folder(folder: Path, what: str) -> str:
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(
            f"{what}: no {CONFIG_FILE} in {folder}; name a folder that open_clip or clip-finetune wrote, "
            "or NAME:WEIGHTS_FILE"
        )
    return f"local-dir:{folder}"


def _weights_file(model: str, path: Path) -> Found:
    if (path.parent / CONFIG_FILE).is_file():
        return Found(model, f"local-dir:{path.parent}", file=path)
    carried = carried_config(path)
    if carried is None:
        return Found(model, _folder(path.parent, f"the weights file {model}"))
    return Found(model, "", file=path, carried=carried)


def _known_name(model: str) -> Found:
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
    if open_clip.get_pretrained_cfg(name, tag):
        return Found(model, name, tag=tag)
    file = Path(tag).expanduser()
    if file.is_file():
        return Found(model, name, file=file, carried=carried_config(file))
    close = difflib.get_close_matches(tag, tags, n=3, cutoff=0.3) or tags[:5]
    wrong = f"unknown tag '{tag}', and no such file" if tag else "a name alone has random weights"
    raise ModelError(
        f"model {model}: {wrong}; write {name}:TAG with TAG one of {', '.join(close)}, or a file"
    )


# --------------------------------------------------------------------------------------------------
# the configuration, and what a file says of itself


def complete(architecture: Mapping[str, Any], bias: float | None = None) -> dict[str, Any]:
    """A model's architecture with what open_clip would take for granted: activation and context length.

    Args:
        architecture: open_clip's ``model_cfg``.
        bias: the logit bias that the network has; the configuration must announce one.
    """
    text = architecture["text_cfg"]
    written = {
        **architecture,
        "quick_gelu": bool(architecture.get("quick_gelu", False)),
        "text_cfg": {**text, "context_length": text.get("context_length") or CONTEXT_LENGTH},
    }
    if bias is not None:
        written.setdefault("init_logit_bias", bias)
    return written


def header(config: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a weights file: all that open_clip_config.json says, and safetensors' own."""
    return {"format": "pt", _HEADER: json.dumps(config)}


def carried_config(file: Path) -> dict[str, Any] | None:
    """The configuration that a weights file brings along, in its header or beside it; None without.

    Raises:
        ModelError: a broken one.
    """
    from safetensors import SafetensorError, safe_open

    text = None
    if file.suffix == ".safetensors":
        with contextlib.suppress(SafetensorError, OSError), safe_open(file, "pt") as opened:
            text = (opened.metadata() or {}).get(_HEADER)
    if text is not None:
        return _read_header(file, text)
    beside = file.parent / CONFIG_FILE
    return records.read(beside, ModelError, "remove it or write it again") if beside.is_file() else None


def _read_header(file: Path, text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        if isinstance(config := json.loads(text), dict):
            return config
    raise ModelError(f"{file}: the configuration in its header is broken; write or download it again")


def reconciled(found: Found, named: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The architecture of ``NAME:WEIGHTS_FILE``, where the file brings a configuration along.

    Args:
        named: the architecture that open_clip has under the name.

    Returns:
        ``named`` with the file's activation, and what to say of it where the two differ.

    Raises:
        ModelError: the file is of another architecture. open_clip would stretch position embeddings
            without a word.
    """
    if found.carried is None:
        return named, ""
    its = _flat(complete(found.carried.get("model_cfg", found.carried)))
    ours = _flat(complete(named))
    differ = sorted(key for key in its | ours if its.get(key) != ours.get(key))
    if differ == ["quick_gelu"]:
        quick = its["quick_gelu"]
        note = f", as the file says, not {activation(not quick)} as {found.name}"
        return {**named, "quick_gelu": quick}, note
    if differ:
        key = differ[0]
        raise ModelError(
            f"model {found.source}: the file is of another architecture than {found.name} ({key} is "
            f"{its.get(key)}, not {ours.get(key)}); name the file alone: --model {found.file}"
        )
    return named, ""


_OF_NO_WEIGHT = {"vision_cfg.timm_model_pretrained", "text_cfg.hf_model_pretrained"}


def _flat(architecture: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in architecture.items():
        name = before + key
        if isinstance(value, Mapping) and key.endswith("_cfg"):
            flat |= _flat(value, f"{name}.")
        elif name not in _OF_NO_WEIGHT:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat


def activation(quick: bool) -> str:
    return "quick GELU" if quick else "GELU"


def known_as(architecture: Mapping[str, Any]) -> str | None:
    """The name under which open_clip builds exactly this architecture, e.g. ``ViT-B-32-quickgelu``."""
    import open_clip

    flat = _flat(complete(architecture))
    for name in open_clip.list_models():
        if _flat(complete(open_clip.get_model_config(name))) == flat:
            return name
    return None


# --------------------------------------------------------------------------------------------------
# where a model came from


@dataclass(frozen=True)
class Origin:
    """What a model came from.

    Attributes:
        base: the first model of the chain, as it was named; of a path the last part.
        trainings: what each fine-tuning since was, the oldest first.
    """

    base: str
    trainings: tuple[dict[str, Any], ...] = ()


def origin_of(found: Found) -> Origin:
    """What the record beside a model says of where it came from; without one, the model is a base.

    Raises:
        ModelError: the record is broken.
    """
    record: dict[str, Any] = {}
    if found.folder is not None and (found.folder / RECORD_FILE).is_file():
        record = records.read(found.folder / RECORD_FILE, ModelError, "remove it or write it again")
    base, trainings = record.get("base"), record.get("trainings")
    if isinstance(base, str) and isinstance(trainings, list):
        return Origin(base, tuple(trainings))
    return Origin(_without_places(found))


def _without_places(found: Found) -> str:
    if found.file is not None:
        named = bool(found.name) and not found.name.startswith("local-dir:")
        return f"{found.name}:{found.file.name}" if named else found.file.name
    path = Path(found.source.removeprefix("local-dir:")).expanduser()
    return path.resolve().name if path.is_dir() else found.source


def record(architecture: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    """What fsynth.json says: names, origin, and the versions that wrote it."""
    import fsynth

    return {
        "fsynth": fsynth.__version__,
        "libraries": {name: metadata.version(name) for name in ("open_clip_torch", "torch")},
        "model": known_as(architecture),
        "base": origin.base,
        "trainings": list(origin.trainings),
    }


def make_tokenizer_portable(folder: Path) -> None:
    """transformers 5 writes a class name that transformers 4 does not know; both know the older one."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = PORTABLE_TOKENIZER
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
