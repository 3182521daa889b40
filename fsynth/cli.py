"""The command table, turned into a Typer application.

Imports neither torch nor a command until one runs, so that help appears at once.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import re
import signal
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import fsynth
from fsynth import config as configs
from fsynth import console, settings
from fsynth.errors import FsynthError

COMMANDS: dict[str, tuple[type, str]] = {
    "demo": (configs.DemoConfig, "Start here"),
    "doctor": (configs.DoctorConfig, "Start here"),
    "data-make": (configs.DataMakeConfig, "Data"),
    "data-labels": (configs.DataLabelsConfig, "Data"),
    "sd-train": (configs.SDTrainConfig, "Train"),
    "clip-finetune": (configs.ClipFinetuneConfig, "Train"),
    "clip-eval": (configs.ClipEvalConfig, "Sample and score"),
    "sample": (configs.SampleConfig, "Sample and score"),
    "score": (configs.ScoreConfig, "Sample and score"),
    "report": (configs.ReportConfig, "Sample and score"),
}
"""Command name -> (config class, help panel). The code is fsynth/commands/<name>.py, main(config)."""

SEVERAL_PROCESSES = {"clip-finetune", "sd-train"}
"""Commands that share their work between the processes of a launch; the others run in its first one."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 something the user can fix, 2 wrong usage."""
    signal.signal(signal.SIGTERM, _end)  # a launcher ends its workers so: let them tidy up
    sys.exit(run(arguments))


def _end(*_: Any) -> None:
    sys.exit(143)


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code (for tests and other callers in the same process)."""
    try:
        code = build_app()(args=arguments, prog_name="fsynth", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except FsynthError as error:
        if os.environ.get("FSYNTH_TRACEBACK"):
            raise
        return _complain(_own_text(error), 1)
    except KeyboardInterrupt:
        return _complain("stopped by the keyboard", 130)
    except Exception as error:
        if hasattr(error, "format_message"):  # Typer's usage errors, whichever click it carries
            if not error.format_message():  # no arguments: the help has been shown
                return error.exit_code
            return _complain(_usage_text(error), error.exit_code)
        if type(error).__name__ == "Abort":
            return _complain("stopped by the keyboard", 130)
        raise


def _complain(text: str, code: int) -> int:
    rank = os.environ.get("RANK", "0")
    prefix = "fsynth: " if rank == "0" else f"fsynth (rank {rank}): "
    print(prefix + " ".join(text.split()), file=sys.stderr, flush=True)
    return code


def _own_text(error: FsynthError) -> str:
    """The error's line; from a loader worker torch brings it as the last line of a quoted traceback."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    return re.sub(r"^fsynth\.errors\.\w+: ", "", text.rstrip().splitlines()[-1])


def _usage_text(error: Any) -> str:
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "fsynth"
    return f"{error.format_message()} (see: {where} --help)"


def build_app() -> typer.Typer:
    """The Typer application with every command of `COMMANDS`."""
    app = typer.Typer(
        help="Teach a text-to-image model fashion: data, CLIP, Stable Diffusion, samples, scores.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_root)
    for name, (kind, panel) in COMMANDS.items():
        app.command(name, rich_help_panel=panel, no_args_is_help=_has_required(kind))(
            _typer_function(name, kind)
        )
    return app


def _has_required(kind: type) -> bool:
    return any(settings.is_required(field) for field in dataclasses.fields(kind))


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=lambda on: _version(on)
        ),
    ] = False,
) -> None:
    pass


def _version(on: bool) -> None:
    if on:
        print(f"fsynth {fsynth.__version__}")
        raise typer.Exit()


def _typer_function(name: str, kind: type) -> Callable[..., None]:
    def call(**given: Any) -> None:
        recipe, sets, as_json = given.pop("recipe"), given.pop("sets"), given.pop("json_")
        flags = {
            key: _from_flag(kind, key, value) for key, value in given.items() if value not in (None, [], ())
        }
        recipe = recipe or _recipe_to_resume(flags)
        values = settings.read_recipe(recipe) if recipe else None
        config = settings.load(kind, values, sets, flags, origin=str(recipe) if recipe else "recipe")
        _run_command(name, config, as_json)

    hints = settings.hints(kind)
    flagged = [field for field in dataclasses.fields(kind) if not dataclasses.is_dataclass(hints[field.name])]
    parameters = [_parameter(field, hints[field.name]) for field in flagged if field.metadata["setting"].flag]
    parameters += _common_parameters(name)
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__doc__ = kind.__doc__
    return call


def _recipe_to_resume(flags: dict[str, Any]) -> Path | None:
    return flags["resume"] / "run.yaml" if "resume" in flags else None


def _from_flag(kind: type, key: str, value: Any) -> Any:
    field = next(field for field in dataclasses.fields(kind) if field.name == key)
    try:
        return settings.convert(value, settings.hints(kind)[key], field.metadata["setting"])
    except ValueError as error:
        raise typer.BadParameter(f"{settings.flag_name(key)}: {error}") from None


def _parameter(field: dataclasses.Field, hint: Any) -> inspect.Parameter:
    info: settings.Setting = field.metadata["setting"]
    wanted = _without_none(hint)
    metavar = None
    if typing.get_origin(wanted) is Literal:
        metavar = "[" + "|".join(map(str, typing.get_args(wanted))) + "]"
        wanted = str
    if typing.get_origin(wanted) is tuple:
        wanted = list[_without_none(typing.get_args(wanted)[0])]  # type: ignore[misc]
    text = info.help + _default_text(field)
    if info.positional:
        option = typer.Argument(help=text, show_default=False)
    else:
        names = [settings.flag_name(field.name)]
        if wanted is bool:
            names = [f"{names[0]}/--no-{names[0][2:]}"]
        option = typer.Option(
            *names, help=text, show_default=False, rich_help_panel=info.group, metavar=metavar
        )
    annotation = Annotated[wanted | None, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _without_none(hint: Any) -> Any:
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    union = typing.get_origin(hint) is typing.Union or type(hint).__name__ == "UnionType"
    return kinds[0] if union else hint


def _default_text(field: dataclasses.Field) -> str:
    if field.default in (None, dataclasses.MISSING, ()) or isinstance(field.default, bool):
        return ""
    return f" (default: {field.default})"


def _common_parameters(name: str) -> list[inspect.Parameter]:
    group = "Recipe"
    options = {
        "recipe": (
            Path,
            typer.Option(
                "--recipe", help=f"YAML file of settings, as in recipes/{name}/", rich_help_panel=group
            ),
        ),
        "sets": (
            list[str],
            typer.Option(
                "--set", help="KEY=VALUE or GROUP.KEY=VALUE, over the recipe", rich_help_panel=group
            ),
        ),
        "json_": (
            bool,
            typer.Option(
                "--json", help="print the result as JSON on standard output", rich_help_panel="Output"
            ),
        ),
    }
    return [
        inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if kind is bool else None,
            annotation=Annotated[kind if kind is bool else kind | None, option],
        )
        for key, (kind, option) in options.items()
    ]


def _run_command(name: str, config: Any, as_json: bool) -> None:
    if name not in SEVERAL_PROCESSES and not _alone_in_first_process(name):
        return
    console.hush_libraries()
    module = importlib.import_module(f"fsynth.commands.{name.replace('-', '_')}")
    result = module.main(config)
    if not console.is_main_process() or result is None:
        return
    if as_json:
        print(json.dumps(dataclasses.asdict(result), default=str))
    elif getattr(result, "folder", None) is not None:
        print(result.folder)


def _alone_in_first_process(name: str) -> bool:
    """Make rank 0 of a launch an ordinary single process; False in the other ranks."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if not console.is_main_process():
            return False
        console.say(f"{name} works in one process; the others of this launch end here")
        for variable in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            os.environ.pop(variable, None)
    return True
