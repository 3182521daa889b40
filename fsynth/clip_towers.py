"""Where each parameter of a CLIP network stands: in which tower, and how far up in it.

A tower has embeddings at level 0, its blocks at 1, 2, ... and above them what makes features of the last
block's answer: final norms, pool, projection. open_clip builds towers of five kinds, each with names of its
own; what is asked of a tower (lock it, adapt it, slow its lower blocks down) is asked of these levels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from fsynth.errors import ModelError

Tower = Literal["image", "text"]
Level = Callable[[str], int | None]
"""Name of a parameter within its tower -> level, None for what stands above the blocks."""

TOWERS: tuple[Tower, Tower] = ("image", "text")
_ABOVE = ("ln_post", "proj", "attn_pool", "ln_final", "text_projection")


@dataclass(frozen=True)
class Place:
    """``level`` is 0 for embeddings, 1 to ``blocks`` for blocks, ``blocks + 1`` for what stands above."""

    tower: Tower
    level: int
    blocks: int

    @property
    def depth(self) -> int:
        """Levels below the top of the tower."""
        return self.blocks + 1 - self.level

    @property
    def in_block(self) -> bool:
        return 1 <= self.level <= self.blocks


def module_of(network: nn.Module, tower: Tower) -> nn.Module:
    """The module whose class says what kind the tower is; the text tower of a plain CLIP is the network."""
    return network.visual if tower == "image" else getattr(network, "text", network)


def kind(network: nn.Module, tower: Tower) -> str:
    """The tower's kind for messages: its class, of timm's and transformers' the model's own."""
    module = module_of(network, tower)
    inside = getattr(module, "trunk", None) or (
        getattr(module, "transformer", None) if _is_hf(module) else None
    )
    return type(module if inside is None else inside).__name__


def places(network: nn.Module) -> dict[str, Place]:
    """Name -> place of every parameter that is in a tower; the logit scale and bias are in none.

    Names that adapters or wrappers inside blocks add do not matter: a block is known by its own name.

    Raises:
        ModelError: a tower of a kind whose blocks are not known here.
    """
    names: dict[Tower, dict[str, str]] = {"image": {}, "text": {}}
    for name, _ in network.named_parameters():
        if name.startswith("visual."):
            names["image"][name.removeprefix("visual.")] = name
        elif not name.startswith("logit_"):
            names["text"][name.removeprefix("text.")] = name
    found: dict[str, Place] = {}
    for tower, own in names.items():
        levels = _levels(network, tower, list(own))
        blocks = max((level for level in levels.values() if level is not None), default=0)
        for inner, level in levels.items():
            found[own[inner]] = Place(tower, blocks + 1 if level is None else level, blocks)
    return found


def _levels(network: nn.Module, tower: Tower, names: list[str]) -> Mapping[str, int | None]:
    module = module_of(network, tower)
    if hasattr(module, "trunk"):
        return _timm_levels(module, names)
    if _is_hf(module):
        return _hf_levels(module, names)
    if hasattr(module, "layer4") and hasattr(module, "attnpool"):
        return _resnet_levels(module, names)
    if hasattr(getattr(module, "transformer", None), "resblocks"):
        return {
            name: _numbered(name, r"transformer\.resblocks\.(\d+)\.", name.startswith(_ABOVE))
            for name in names
        }
    raise ModelError(
        f"the {tower} tower ({kind(network, tower)}) has no blocks that are known here; train all of it"
    )


def _numbered(name: str, blocks: str, above: bool) -> int | None:
    found = re.match(blocks, name)
    if found:
        return int(found[1]) + 1
    return None if above else 0


def _is_hf(module: nn.Module) -> bool:
    """open_clip's wrapper of a text model of transformers."""
    return hasattr(getattr(module, "transformer", None), "config")


def _hf_levels(module: nn.Module, names: list[str]) -> dict[str, int | None]:
    lists = (name for name, part in module.named_modules() if isinstance(part, nn.ModuleList))
    blocks = rf"{re.escape(next(lists, ''))}\.(\d+)\."  # the outermost list: T5 has more within its blocks
    return {name: _numbered(name, blocks, "embed" not in name) for name in names}


def _resnet_levels(module: nn.Module, names: list[str]) -> dict[str, int | None]:
    """open_clip's ModifiedResNet: bottlenecks are counted through its four stages."""
    sizes = [len(getattr(module, f"layer{stage}")) for stage in (1, 2, 3, 4)]
    levels: dict[str, int | None] = {}
    for name in names:
        found = re.match(r"layer(\d)\.(\d+)\.", name)
        before = sum(sizes[: int(found[1]) - 1]) if found else 0
        levels[name] = before + int(found[2]) + 1 if found else (None if name.startswith("attnpool.") else 0)
    return levels


def _timm_levels(module: nn.Module, names: list[str]) -> dict[str, int | None]:
    """timm's own groups, as it uses them for layer decay: the first is the stem, each further one a block.

    timm counts a final norm to the last block, or makes a group of it: what has no number in its name there
    stands above the blocks.
    """
    from timm.models import group_parameters

    groups = group_parameters(module.trunk, module.trunk.group_matcher(coarse=False))
    last = max(groups)
    levels: dict[str, int | None] = dict.fromkeys(names)  # open_clip's own head is above
    for number, group in groups.items():
        for name in group:
            above = number == last and not re.search(r"\.\d+\.", name)
            levels[f"trunk.{name}"] = None if above else number
    return levels
