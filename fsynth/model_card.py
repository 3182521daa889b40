"""The README.md of an exported diffusion model: what it is, how to draw with it, what it learnt, how it
scored, and under whose terms it stands. No place on this machine is named in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsynth
from fsynth import records, samples
from fsynth.comparison import LossComparison
from fsynth.data import terms
from fsynth.errors import ModelError
from fsynth.lineage import Lineage
from fsynth.sd_folder import Found

FILE = "README.md"
MOST_PROMPTS = 4
UNKNOWN = "unknown"
_LICENCES = {
    r"(CompVis|runwayml|stable-diffusion-v1-5)/stable-diffusion-.*": "creativeml-openrail-m",
    r"stabilityai/(stable-diffusion-2|stable-diffusion-xl-base-1\.0).*": "openrail++",
    r"stabilityai/stable-diffusion-3.*": "stabilityai-ai-community",
    r"tiny": "mit",
}
"""Licences of published models, by name."""
_TRAINED = ("n_images", "epochs", "lr", "batch_size", "resolution", "lora_rank", "seed")
"""Settings of a run that its card shows."""
_HINTS = {
    "diffusers": "pipeline = DiffusionPipeline.from_pretrained({place!r})",
    "single-file": "the file goes into the folder for checkpoints (models/checkpoints in ComfyUI)",
    "lora": "pipeline = DiffusionPipeline.from_pretrained({base!r})\npipeline.load_lora_weights({place!r})",
    "kohya": "the file goes into the folder for LoRA, beside the base model {base}",
    "comfyui": "the file goes into models/loras, beside the base model {base}",
}


@dataclass(frozen=True)
class Facts:
    """What is known of a model.

    Attributes:
        base: the model that was there first: a hub name, ``tiny``, or the last part of a folder's name.
        on_hub: ``base`` is a hub name.
        licence: of the base, as the hub spells it; ``unknown``.
        terms: of the pictures that were learnt (`terms.of_model`); empty where no run is known.
        settings: of the newest run.
        prompts: that were drawn for that run.
        scores: sentences.
    """

    base: str
    on_hub: bool
    licence: str
    terms: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    prompts: Sequence[str] = ()
    scores: Sequence[str] = ()

    @property
    def conditions(self) -> str:
        """Under whose terms the model stands, in a line."""
        licence = "the base model's licence is not known here: look it up"
        if self.licence != UNKNOWN:
            licence = f"the base model's licence ({self.licence}) holds"
        return f"{licence}; {self.terms}" if self.terms else licence


def facts(found: Found, origin: Lineage) -> Facts:
    """Gather what the model, its base and its runs say.

    Raises:
        ModelError: a record of a run that cannot be read.
    """
    on_hub = bool(re.fullmatch(r"[\w.-]+/[\w.-]+", origin.base))
    base = origin.base if on_hub else Path(origin.base).name
    licence = _licence(origin.base, found)
    if not origin.runs:
        return Facts(base, on_hub, licence)
    run = origin.runs[0]
    settings, result = (
        records.read(run / name, ModelError, "train again") for name in ("run.yaml", "result.json")
    )
    learnt = result.get("terms") or (terms.DRAWN if origin.drawn else terms.OTHER)
    return Facts(
        base,
        on_hub,
        licence,
        terms.of_model(learnt),
        {name: settings[name] for name in _TRAINED if settings.get(name) is not None},
        _prompts(run / "samples" / samples.ROWS),
        [_loss(result["validation"])] if result.get("validation") else [],
    )


def _licence(base: str, found: Found) -> str:
    for pattern, licence in _LICENCES.items():
        if re.fullmatch(pattern, base):
            return licence
    card = found.pipeline / FILE
    said = card.read_text(encoding="utf-8") if card.is_file() else ""
    named = re.match(r"---\n(?:.*\n)*?license:\s*(\S+)", said)
    return named[1] if named else UNKNOWN


def _prompts(file: Path) -> list[str]:
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(json.loads(line)["text"] for line in lines))[:MOST_PROMPTS]


def _loss(validation: Mapping[str, Any]) -> str:
    return LossComparison(**validation).text()


def text(
    known: Facts,
    *,
    name: str,
    format: str,
    place: str,
    v_prediction: bool,
    safety_checker: str | None = None,
) -> str:
    """The card.

    Args:
        name: heads the card.
        place: what a reader loads: the hub's name of the repository, else the folder's or file's name.
        v_prediction: the network predicts v, which some tools must be told.
        safety_checker: the class of the one in the folder.
    """
    adapter = format in ("lora", "kohya", "comfyui")
    what = "LoRA adapters for" if adapter else "A model fine-tuned from"
    parts = [
        _head(known, adapter),
        f"# {name}\n\n{what} {known.base}, made by fsynth {fsynth.__version__}.",
        f"## Use\n\n{_use(known, format, place)}",
    ]
    if v_prediction and format != "diffusers":
        parts.append("The model predicts v: choose v-prediction where your tool asks.")
    if known.prompts:
        parts.append("## Prompts\n\nSentences like those it learnt:\n\n" + _bullets(known.prompts))
    if known.settings:
        rows = [f"{setting.replace('_', ' ')}: {value}" for setting, value in known.settings.items()]
        parts.append("## Training\n\n" + _bullets(rows))
    parts.append("## Scores\n\n" + (_bullets(known.scores) if known.scores else "None were taken."))
    checker = f"comes along ({safety_checker})" if safety_checker else "is not included"
    parts.append(f"## Terms\n\n{_sentence(known.conditions)} A safety checker {checker}.")
    return "\n\n".join(parts) + "\n"


def _head(known: Facts, adapter: bool) -> str:
    learnt_freely = known.terms in ("", terms.of_model(terms.DRAWN))
    lines = [f"license: {known.licence if known.licence != UNKNOWN and learnt_freely else 'other'}"]
    if not learnt_freely:
        lines.append("license_name: terms-of-the-base-model-and-of-the-pictures")
    lines += [f"base_model: {known.base}"] if known.on_hub else []
    lines += ["library_name: diffusers", "pipeline_tag: text-to-image", "tags:"]
    lines += [f"- {tag}" for tag in ("text-to-image", "stable-diffusion", "fashion", *(["lora"] * adapter))]
    return "\n".join(["---", *lines, "---"])


def _use(known: Facts, format: str, place: str) -> str:
    hint = _HINTS[format].format(place=place, base=known.base)
    if "pipeline" not in hint:
        return _sentence(hint)
    prompt = known.prompts[0] if known.prompts else "a red dress"
    code = ["from diffusers import DiffusionPipeline", "", hint, f"image = pipeline({prompt!r}).images[0]"]
    return "\n".join(["```python", *code, "```"])


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."
