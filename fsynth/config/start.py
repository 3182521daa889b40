"""Settings of the commands to start with."""

from __future__ import annotations

from dataclasses import dataclass

from fsynth.config.shared import OutputSettings, RowSettings
from fsynth.settings import Checked, setting


@dataclass(frozen=True, kw_only=True)
class DemoSizes(Checked):
    pairs: int | None = setting(
        2400, "pictures that CLIP learns from; null takes the training split", least=2
    )
    pair_epochs: int = setting(2, "times that CLIP sees each of them", least=1)
    images: int = setting(384, "pictures that Stable Diffusion learns from", least=1)
    image_epochs: int = setting(9, "times that Stable Diffusion sees each of them", least=1)
    prompts: int = setting(24, "pictures made from held-out sentences", least=1)
    steps: int = setting(25, "denoising steps of a picture", least=1, most=1000)


@dataclass(frozen=True, kw_only=True)
class DemoConfig(OutputSettings):
    """See everything once: drawn data, tiny models, one report; offline, on a CPU, in minutes."""

    seed: int = setting(0, "every random draw derives from it", least=0)
    sizes: DemoSizes = setting(DemoSizes(), "how much of everything")


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(RowSettings):
    """Show what this machine can do, with the fix beside each shortfall."""
