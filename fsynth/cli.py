"""The command table, turned into a Typer application.

Imports neither torch nor a command until one runs, so that help appears at once.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
import typer.core

import fsynth
from fsynth import config as configs
from fsynth import console, flags, loading, outputs, settings
from fsynth.errors import FsynthError
from fsynth.stopping import Stopped

COMMANDS: dict[str, tuple[type, str]] = {
    "demo": (configs.DemoConfig, "Start here"),
    "doctor": (configs.DoctorConfig, "Start here"),
    "data-make": (configs.DataMakeConfig, "Data"),
    "data-check": (configs.DataCheckConfig, "Data"),
    "data-labels": (configs.DataLabelsConfig, "Data"),
    "data-report": (configs.DataReportConfig, "Data"),
    "data-export": (configs.DataExportConfig, "Data"),
    "sd-cache": (configs.SDCacheConfig, "Train"),
    "sd-train": (configs.SDTrainConfig, "Train"),
    "clip-finetune": (configs.ClipFinetuneConfig, "Train"),
    "clip-eval": (configs.ClipEvalConfig, "Sample and score"),
    "sample": (configs.SampleConfig, "Sample and score"),
    "score": (configs.ScoreConfig, "Sample and score"),
    "report": (configs.ReportConfig, "Sample and score"),
    "export": (configs.ExportConfig, "Sample and score"),
}
"""Command name -> (config class, help panel). The code is fsynth/commands/<name>.py, main(config)."""

SEVERAL_PROCESSES = {"clip-finetune", "sd-cache", "sd-train"}
"""Commands that share their work between the processes of a launch; the others run in its first one."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 something the user can fix, 2 wrong usage, 75 a training run that a
    signal stopped and --resume takes up."""
    signal.signal(signal.SIGTERM, _end)  # a launcher ends its workers so: let them tidy up
    if _processes() == 1:
        sys.exit(run(arguments))
    _run_among_several(arguments)


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _run_among_several(arguments: list[str] | None) -> None:
    """`main` in a process of a launch. One that fails ends at once, whereupon the launcher ends the others:
    no library's clean-up at exit may wait for them, who wait for this one."""
    try:
        code: Any = run(arguments)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        os._exit(code)
    sys.exit()


def _end(*_: Any) -> None:
    if hasattr(signal, "SIGCHLD"):  # torch's handler would raise where its loader workers end, too
        signal.signal(signal.SIGCHLD, lambda *_: None)
    who = "ended by SIGTERM" if _processes() == 1 else "ended by the launcher (SIGTERM)"
    raise Stopped(who, 143)


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code (for tests and other callers in the same process)."""
    try:
        code = build_app()(args=arguments, prog_name="fsynth", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except FsynthError as error:
        if os.environ.get("FSYNTH_TRACEBACK"):
            raise
        return _complain("; ".join([str(loading.cleared(error) or error), *_notes(error)]), 1)
    except Stopped as error:
        if console.is_main_process():  # each process of a launch is stopped; one says so
            _complain("; ".join([error.what, *_notes(error.__cause__ or error)]), error.code)
        return error.code
    except Exception as error:
        if hasattr(error, "format_message"):  # Typer's usage errors, whichever click it carries
            if type(error).__name__ == "NoArgsIsHelpError":
                print(error.format_message(), end="", file=sys.stderr)  # empty where Typer has shown the help
                return error.exit_code
            return _complain(_usage_text(error), error.exit_code)
        if type(error).__name__ == "Abort":  # Typer's name for the end of the input at a prompt
            return _complain("stopped by the keyboard", 130)
        if _lost_the_others(error) and not os.environ.get("FSYNTH_TRACEBACK"):
            reason = str(error).split(". ")[0] or type(error).__name__
            return _complain(f"lost the other processes; the one that ended first says why ({reason})", 1)
        problem = outputs.write_problem(error)
        if problem is not None and not os.environ.get("FSYNTH_TRACEBACK"):
            return _complain("; ".join([problem, *_notes(error), "free some room or name another place"]), 1)
        raise


def _lost_the_others(error: Exception) -> bool:
    """Whether this process waited for others of its launch in vain: torch's and gloo's errors."""
    return _processes() > 1 and (type(error).__name__.startswith("Dist") or "gloo" in str(error))


def _notes(error: BaseException) -> list[str]:
    """What commands said of their folder when the error came by, e.g. how to go on with a run."""
    return list(getattr(error, "__notes__", []))


def _complain(text: str, code: int) -> int:
    console.close_bars()
    rank = os.environ.get("RANK", "0")
    prefix = "fsynth: " if rank == "0" else f"fsynth (rank {rank}): "
    print(prefix + " ".join(text.split()), file=sys.stderr, flush=True)
    return code


def _usage_text(error: Any) -> str:
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "fsynth"
    return f"{error.format_message()} (see: {where} --help)"


def build_app() -> typer.Typer:
    """The Typer application with every command of `COMMANDS`."""
    app = typer.Typer(
        cls=_Group,
        help="Teach a text-to-image model fashion: data, CLIP, Stable Diffusion, samples, scores.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_root)
    for name, (kind, panel) in COMMANDS.items():
        needs = any(settings.is_required(field) for field in dataclasses.fields(kind))
        app.command(name, cls=_Command, rich_help_panel=panel, no_args_is_help=needs)(
            _typer_function(name, kind)
        )
    return app


class _PlainHelp:
    """A command whose ``--help`` does not say that it is a ``<bool>``."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.metavar = ""
        return option


class _Command(_PlainHelp, typer.core.TyperCommand): ...


class _Group(_PlainHelp, typer.core.TyperGroup): ...


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version and exit.",
            is_eager=True,
            callback=lambda on: _version(on),
            metavar="",
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
        typed = flags.values(kind, given)
        if recipe is None and "resume" in typed:
            recipe = outputs.recipe_of(typed["resume"])
        values = settings.read_recipe(recipe) if recipe else None
        config = settings.load(kind, values, sets, typed, origin=str(recipe) if recipe else "recipe")
        try:
            _run_command(name, config, as_json)
        except KeyboardInterrupt as error:
            raise Stopped("stopped by the keyboard", 130) from error

    parameters = flags.parameters(kind, _recipe_help(name, kind))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__doc__ = kind.__doc__
    return call


def _recipe_help(name: str, kind: type) -> str:
    """recipes/ is in the repository and the source distribution, not in the installed package."""
    if issubclass(kind, configs.TrainSettings):
        return f"YAML file of settings: any run's run.yaml, or one of recipes/{name}/ in the repository"
    return "YAML file of settings"


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
    if failure := getattr(result, "failure", ""):  # shown whole first; then the exit code says so, too
        raise FsynthError(failure)


def _alone_in_first_process(name: str) -> bool:
    """Make rank 0 of a launch an ordinary single process; False in the other ranks."""
    if _processes() > 1:
        if not console.is_main_process():
            return False
        console.say(f"{name} works in one process; the others of this launch end here")
        for variable in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            os.environ.pop(variable, None)
    return True
