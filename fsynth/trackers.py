"""metrics.jsonl, mirrored to TensorBoard, Weights & Biases or Comet by accelerate's trackers.

The run's folder stays the record. A mirror shows numbers and drawn pictures; it is not told where data and
passwords lie, is never shown pictures of the data, and may fail without costing the run anything.
"""

from __future__ import annotations

import importlib.util
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth import outputs
from fsynth.console import say
from fsynth.errors import ConfigError, MissingPackage, reason

if TYPE_CHECKING:
    from PIL import Image

PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "comet": "comet_ml"}
"""Tracker -> the package that it needs, as it is imported."""

_INSTALLED_AS = {"comet_ml": "comet-ml"}
_CLASSES = {"comet": "comet_ml"}  # accelerate's names, where they differ
_IDENTITY = "trackers.json"
_HIDDEN = ("data", "password_file", "zero_shot", "fingerprint", "output", "resume", "tracking")
"""Settings that name places, or say nothing of what is trained."""


def chosen(setting: str) -> tuple[str, ...]:
    """The trackers that ``tracking.to`` asks for.

    Args:
        setting: names with commas between; ``none``; ``auto`` for TensorBoard where it is installed.

    Raises:
        ConfigError: a name that is none.
        MissingPackage: a tracker whose package is not installed.
    """
    if setting == "auto":
        return ("tensorboard",) if _installed("tensorboard") else ()
    names = tuple(dict.fromkeys(name.strip() for name in setting.split(",")))
    if names == ("none",):
        return ()
    for name in names:
        if name not in PACKAGES:
            raise ConfigError(
                f"tracking.to: no tracker '{name}'; there are {', '.join(PACKAGES)} (several with commas "
                "between), none and auto"
            )
        if not _installed(PACKAGES[name]):
            package = _INSTALLED_AS.get(PACKAGES[name], PACKAGES[name])
            raise MissingPackage(
                f"tracking.to: {name} needs the package {package}: pip install {package}, or leave it out"
            )
    return names


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


class Mirror:
    """The trackers of a run, in its first process.

    Args:
        names: as `chosen` gives them.
        folder: the run's; its name is the run's name there, too.
        project: under which a tracker on the web files the run.
        recipe: the run's settings.
        step: after which a resumed run goes on.

    Raises:
        ConfigError: a tracker that does not start.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = (),
        project: str = "fsynth",
        recipe: Mapping[str, Any] | None = None,
        step: int = 0,
    ) -> None:
        self.trackers: list[Any] = []
        identity = _identity(folder) if set(names) - {"tensorboard"} else ""
        for name in names:
            try:
                self.trackers.append(_started(name, folder, project, identity, step))
                if not step:
                    self.trackers[-1].store_init_configuration(shown_settings(recipe or {}))
            except Exception as error:  # whatever a client of a service raises
                raise ConfigError(
                    f"tracking.to: {name} does not start ({reason(error)}); leave it out to go without"
                ) from None

    def log(self, row: Mapping[str, Any]) -> None:
        """Show the numbers of a line of metrics.jsonl at its step."""
        numbers = {name: value for name, value in row.items() if isinstance(value, (int, float))}
        step = numbers.pop("step")
        numbers.pop("steps", None)
        self._each(lambda tracker: tracker.log(numbers, step=step) if numbers else None)

    def show(self, title: str, files: Sequence[Path], step: int) -> None:
        """Show pictures that were drawn."""
        if files:
            self._each(lambda tracker: _show(tracker, title, files, step))

    def _each(self, do: Any) -> None:
        for tracker in list(self.trackers):
            try:
                do(tracker)
            except Exception as error:
                self.trackers.remove(tracker)
                say(f"note: {tracker.name} is told no more ({reason(error)}); metrics.jsonl goes on")

    def finish(self) -> None:
        """Send what is left."""
        self._each(lambda tracker: tracker.finish())


def shown_settings(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings as trackers take them: flat, without lists, places and what was not set."""
    shown: dict[str, Any] = {}
    for name, value in recipe.items():
        if not prefix and name in _HIDDEN:
            continue
        if isinstance(value, Mapping):
            shown |= shown_settings(value, f"{prefix}{name}.")
        elif isinstance(value, (bool, int, float, str)):
            is_place = isinstance(value, str) and Path(value).is_absolute()
            shown[prefix + name] = Path(value).name if is_place else value
    return shown


def _identity(folder: Path) -> str:
    """Under which services know this run, also when it is resumed."""
    file = folder / _IDENTITY
    if not file.exists():
        outputs.write_json(file, {"id": uuid.uuid4().hex})
    return json.loads(file.read_text(encoding="utf-8"))["id"]


def _started(name: str, folder: Path, project: str, identity: str, step: int) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind = LOGGER_TYPE_TO_CLASS[_CLASSES.get(name, name)]
    if name == "tensorboard":
        tracker = kind("tensorboard", logging_dir=folder, purge_step=step + 1 if step else None)
    elif name == "wandb":
        quiet = {"console": "off", "x_disable_meta": True, "disable_git": True, "save_code": False}
        about = {"id": identity, "resume": "allow", "name": folder.name, "dir": str(folder)}
        tracker = kind(project, settings=quiet, **about)
    else:
        tracker = kind(
            project, experiment_key=identity, mode="get_or_create", experiment_config=_quiet_comet(folder)
        )
    if hasattr(tracker, "start"):  # older ones have started
        tracker.start()
    return tracker


def _quiet_comet(folder: Path) -> Any:
    """By itself it would also send the command line, the output, the code and what the machine is called."""
    from comet_ml import ExperimentConfig

    kept = dict.fromkeys(
        (
            "log_code",
            "log_graph",
            "log_git_metadata",
            "log_git_patch",
            "log_env_details",
            "parse_args",
            "auto_param_logging",
            "auto_metric_logging",
        ),
        False,
    )
    return ExperimentConfig(name=folder.name, auto_output_logging=False, **kept)


def _show(tracker: Any, title: str, files: Sequence[Path], step: int) -> None:
    from PIL import Image

    if tracker.name == "comet_ml":
        for number, file in enumerate(files, 1):
            tracker.tracker.log_image(str(file), name=f"{title}-{number}", step=step)
        return
    pictures = [Image.open(file).convert("RGB") for file in files]
    if tracker.name == "wandb":
        tracker.log_images({title: pictures}, step=step)
        return
    import numpy as np

    arrays = np.stack([np.asarray(picture) for picture in _of_one_size(pictures)])
    tracker.log_images({title: arrays}, step=step, dataformats="NHWC")


def _of_one_size(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """In the middle of white ones as wide and high as the widest and highest: TensorBoard takes no others."""
    from PIL import Image

    whole = tuple(max(sides) for sides in zip(*(picture.size for picture in pictures), strict=True))
    found = []
    for picture in pictures:
        ground = Image.new("RGB", whole, "white")
        ground.paste(picture, ((whole[0] - picture.width) // 2, (whole[1] - picture.height) // 2))
        found.append(ground)
    return found
