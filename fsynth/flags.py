"""A config dataclass as parameters of a Typer command, and what was typed as values for `settings.load`."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fsynth import settings

GROUPS = ("Options", "Training", "Evaluation", "Data", "Scores", "Hardware", "Output", "Recipe")
"""Help panels in their order."""

_METAVARS = {int: "INTEGER", float: "FLOAT", str: "TEXT", Path: "PATH", bool: ""}


def parameters(kind: type, recipe_help: str) -> list[inspect.Parameter]:
    """The parameters of a command: its own settings before those that it shares, panel by panel."""
    hints = settings.hints(kind)
    own = inspect.get_annotations(kind)
    fields = sorted(dataclasses.fields(kind), key=lambda field: field.name not in own)
    flagged = [field for field in fields if not dataclasses.is_dataclass(hints[field.name])]
    flagged = [field for field in flagged if field.metadata["setting"].flag]
    flagged.sort(key=lambda field: GROUPS.index(field.metadata["setting"].group))
    return [_parameter(field, hints[field.name]) for field in flagged] + _common(recipe_help, _groups(kind))


def values(kind: type, given: dict[str, Any]) -> dict[str, Any]:
    """What was typed, converted and checked; without what was not.

    Raises:
        typer.BadParameter: a value of the wrong type or out of its range.
    """
    typed = {key: value for key, value in given.items() if value not in (None, [], ())}
    return {key: _checked(kind, key, value) for key, value in typed.items()}


def _checked(kind: type, key: str, value: Any) -> Any:
    field = next(field for field in dataclasses.fields(kind) if field.name == key)
    try:
        return settings.convert(value, settings.hints(kind)[key], field.metadata["setting"])
    except ValueError as error:
        raise typer.BadParameter(f"{settings.flag_name(key)}: {error}") from None


def _parameter(field: dataclasses.Field, hint: Any) -> inspect.Parameter:
    info: settings.Setting = field.metadata["setting"]
    wanted = _without_none(hint)
    if info.positional:
        argument = typer.Argument(help=info.help, show_default=False, metavar=field.name.upper())
        return _keyword(field.name, Annotated[wanted, argument], inspect.Parameter.empty)
    text, metavar = info.help + _default_text(field), None
    if typing.get_origin(wanted) is Literal:
        metavar = "[" + "|".join(map(str, typing.get_args(wanted))) + "]"
        wanted = str
    if typing.get_origin(wanted) is tuple:
        element = _without_none(typing.get_args(wanted)[0])
        metavar, wanted = _METAVARS[element], list[element]  # type: ignore[valid-type]
    names = [settings.flag_name(field.name)]
    if wanted is bool:
        names = [f"{names[0]}/--no-{names[0][2:]}"]
    metavar = _METAVARS[wanted] if metavar is None else metavar
    option = typer.Option(*names, help=text, show_default=False, rich_help_panel=info.group, metavar=metavar)
    return _keyword(field.name, Annotated[wanted | None, option], None)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _without_none(hint: Any) -> Any:
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    union = typing.get_origin(hint) is typing.Union or type(hint).__name__ == "UnionType"
    return kinds[0] if union else hint


def _default_text(field: dataclasses.Field) -> str:
    default = field.default
    if settings.is_required(field):
        return " (required)"
    if default is None or default is False or default == ():
        return ""
    if default is True:
        return f" (default: {settings.flag_name(field.name)})"
    return f" (default: {', '.join(default) if isinstance(default, tuple) else default})"


def _groups(kind: type) -> str:
    """The groups that only a recipe and --set know, with their keys."""
    nested = {name: hint for name, hint in settings.hints(kind).items() if dataclasses.is_dataclass(hint)}
    keys = {name: [field.name for field in dataclasses.fields(hint)] for name, hint in nested.items()}
    named = [f"{name} ({', '.join(some)})" for name, some in keys.items()]
    return f", GROUP one of {', '.join(named)}" if named else ""


def _common(recipe_help: str, groups: str) -> list[inspect.Parameter]:
    as_json = typer.Option(
        "--json", help="print the result as JSON on standard output", rich_help_panel="Output", metavar=""
    )
    recipe = typer.Option("--recipe", help=recipe_help, rich_help_panel="Recipe", metavar="FILE")
    sets = typer.Option(
        "--set",
        help=f"one setting over the recipe, also GROUP.KEY=VALUE{groups}; may be repeated",
        rich_help_panel="Recipe",
        metavar="KEY=VALUE",
    )
    return [
        _keyword("json_", Annotated[bool, as_json], False),
        _keyword("recipe", Annotated[Path | None, recipe], None),
        _keyword("sets", Annotated[list[str] | None, sets], None),
    ]
