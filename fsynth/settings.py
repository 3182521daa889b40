"""What a setting is, and how a config is built from default, recipe, ``--set`` and flag.

The command line, the recipe's schema and the help texts derive from the dataclasses of `fsynth.config`.
Order: default < recipe < --set < flag; a flag that was not given never overwrites a recipe. A nested
dataclass is a group that is set in a recipe, or one-off as ``--set group.key=value``.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from fsynth.errors import ConfigError

Config = TypeVar("Config")


@dataclass(frozen=True)
class Setting:
    """What the dataclass field itself cannot say: help text, help group, range, how it is given."""

    help: str
    group: str = "Options"
    least: float | None = None
    above: float | None = None
    most: float | None = None
    positional: bool = False
    flag: bool = True


def setting(default: Any, help: str, group: str = "Options", **more: Any) -> Any:
    """A dataclass field with its `Setting`. ``default=...`` (Ellipsis) makes it required."""
    info = {"setting": Setting(help=help, group=group, **more)}
    if default is ...:
        return dataclasses.field(metadata=info)
    if dataclasses.is_dataclass(default) or isinstance(default, list):
        return dataclasses.field(default_factory=lambda: default, metadata=info)
    return dataclasses.field(default=default, metadata=info)


class Checked:
    """Base of every config: what Python gives is converted and checked as what a recipe gives is."""

    def __post_init__(self) -> None:
        problems = []
        for field in _fields(type(self)):
            value, wanted = getattr(self, field.name), hints(type(self))[field.name]
            try:
                converted = _checked_group(value, wanted) or convert(value, wanted, field.metadata["setting"])
            except ValueError as error:
                problems.append(f"{type(self).__name__}: {field.name}: {error}")
                continue
            object.__setattr__(self, field.name, converted)  # the classes are frozen
        if problems:
            raise ConfigError("; ".join(problems))


def _checked_group(value: Any, wanted: Any) -> Any:
    """A group, which has checked itself; None for what is no group."""
    if not dataclasses.is_dataclass(wanted):
        return None
    if not isinstance(value, typing.cast(type, wanted)):
        raise ValueError(f"expected {wanted.__name__}(...), got {value!r}")
    return value


def load(
    kind: type[Config],
    recipe: dict[str, Any] | None = None,
    sets: list[str] | None = None,
    flags: dict[str, Any] | None = None,
    origin: str = "recipe",
) -> Config:
    """Build a config of the given kind.

    Args:
        recipe: the parsed YAML mapping.
        sets: ``key=value`` or ``group.key=value`` texts from ``--set``; the value is read as YAML.
        flags: values from the command line; only those that were given.
        origin: how messages name the recipe.

    Raises:
        ConfigError: unknown keys (the nearest one is suggested), wrong types and values out of range,
            all of them in one line.
    """
    problems: list[str] = []
    values = _convert_mapping(kind, recipe or {}, origin, "", problems)
    for text in sets or []:
        _apply_set(kind, values, text, problems)
    values.update(flags or {})
    missing = [f.name for f in _fields(kind) if is_required(f) and f.name not in values]
    problems += [f"{flag_name(name)} is missing" for name in missing]
    if problems:
        raise ConfigError("; ".join(problems))
    return _build(kind, values)


def dump(config: Any) -> dict[str, Any]:
    """The config as plain YAML values; `load` of the result gives the same config."""
    plain: dict[str, Any] = {}
    for field in _fields(type(config)):
        value = getattr(config, field.name)
        plain[field.name] = dump(value) if dataclasses.is_dataclass(value) else _plain(value)
    return plain


def read_recipe(path: Path) -> dict[str, Any]:
    """Parse a recipe file into a mapping.

    Raises:
        ConfigError: when the file is missing, is not YAML or holds no mapping.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"recipe {path}: {error.strerror}; name an existing YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"recipe {path} is not YAML: {first}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"recipe {path} holds a {type(values).__name__}, not 'key: value' lines")
    return values


def flag_name(field: str) -> str:
    """``batch_size`` -> ``--batch-size``."""
    return "--" + field.replace("_", "-")


def _fields(kind: type) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(kind)


@functools.cache
def hints(kind: type) -> dict[str, Any]:
    """Field name -> resolved type."""
    return typing.get_type_hints(kind)


def is_required(field: dataclasses.Field) -> bool:
    """True when the field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _build(kind: type, values: dict[str, Any]) -> Any:
    built = {}
    for name, value in values.items():
        nested = hints(kind)[name]
        built[name] = (
            _build(nested, value) if dataclasses.is_dataclass(nested) and isinstance(value, dict) else value
        )
    return kind(**built)


def _convert_mapping(
    kind: type, given: dict, origin: str, prefix: str, problems: list[str]
) -> dict[str, Any]:
    known = {field.name: field for field in _fields(kind)}
    values: dict[str, Any] = {}
    for raw, value in given.items():
        name = str(raw).replace("-", "_")
        if name not in known:
            problems.append(f"{origin}: unknown key '{prefix}{raw}'{_nearest(name, known)}")
            continue
        wanted = hints(kind)[name]
        if dataclasses.is_dataclass(wanted):
            if isinstance(value, dict):
                values[name] = _convert_mapping(wanted, value, origin, f"{prefix}{name}.", problems)
            else:
                problems.append(f"{origin}: {prefix}{name}: expected a group of keys, got {value!r}")
            continue
        try:
            values[name] = convert(value, wanted, known[name].metadata["setting"])
        except ValueError as error:
            problems.append(f"{origin}: {prefix}{name}: {error}")
    return values


def _apply_set(kind: type, values: dict[str, Any], text: str, problems: list[str]) -> None:
    import yaml

    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        problems.append(f"--set {text}: expected key=value")
        return
    try:
        given: Any = yaml.safe_load(raw)
    except yaml.YAMLError:
        given = raw
    for part in reversed(key.strip().split(".")):
        given = {part: given}
    _merge(values, _convert_mapping(kind, given, "--set", "", problems))


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _nearest(name: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known keys: {', '.join(known)}"


def convert(value: Any, wanted: Any, info: Setting) -> Any:
    """Turn a YAML value into the field's type, strictly, and check its range.

    Raises:
        ValueError: with what was expected and what was given.
    """
    options = [kind for kind in typing.get_args(wanted) if kind is not type(None)]
    if isinstance(wanted, types.UnionType) or typing.get_origin(wanted) is typing.Union:
        own = [kind for kind in options if isinstance(kind, type) and isinstance(value, kind)]
        return None if value is None else convert(value, [*own, *options][0], info)
    if typing.get_origin(wanted) is Literal:
        return _one_of(value, typing.get_args(wanted))
    if typing.get_origin(wanted) is tuple:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(convert(item, options[0], info) for item in items)
    return _in_range(_scalar(value, wanted), info)


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    if value in allowed and not isinstance(value, bool):
        return value
    if isinstance(value, bool) and {"on", "off"} <= set(allowed):  # YAML reads a bare on or off so
        return "on" if value else "off"
    hint = (
        " (write no in quotes: YAML reads a bare no as false)" if value is False and "no" in allowed else ""
    )
    raise ValueError(f"expected one of {', '.join(map(str, allowed))}, got {value!r}{hint}")


def _scalar(value: Any, wanted: type) -> Any:
    if wanted is Path and isinstance(value, (str, Path)):
        return _at_home(Path(value))
    if wanted is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with _as_value_error(f"expected a number, got {value!r}"):
            return float(value)  # YAML reads 1e-4, without a dot, as text
    if wanted is int and isinstance(value, (int, str)) and not isinstance(value, bool):
        with _as_value_error(f"expected a whole number, got {value!r}"):
            return int(value)
    if type(value) is wanted:
        return value
    if wanted is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"expected {_TYPE_NAMES.get(wanted, wanted.__name__)}, got {value!r}")


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"nobody's home folder is known for {path}") from None


_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}


class _as_value_error:
    def __init__(self, text: str) -> None:
        self.text = text

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ValueError):
            raise ValueError(self.text) from None


def _in_range(value: Any, info: Setting) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}")
    if info.least is not None and value < info.least:
        raise ValueError(f"must be at least {info.least:g}, got {value!r}")
    if info.above is not None and value <= info.above:
        raise ValueError(f"must be above {info.above:g}, got {value!r}")
    if info.most is not None and value > info.most:
        raise ValueError(f"must be at most {info.most:g}, got {value!r}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
