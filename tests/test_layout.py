"""The rules of the layout: who imports whom, which names are taken, one name in all its places."""

from __future__ import annotations

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest

from fsynth import cli

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fsynth"
OPTIONAL = {"wandb", "xformers", "bitsandbytes", "tensorboard", "gradio", "clip", "evaluate", "webdataset"}
HEAVY = {"torch", "torchvision", "diffusers", "transformers", "datasets", "peft", "accelerate", "open_clip"}
LAYERS = ({"__main__"}, {"cli", "flags"}, {"commands"}, {"run"}, set(), {"config", "settings"}, {"errors"})
LIBRARY = 4
"""The index of the layer of all modules that are not named there."""
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def _imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = _outside_functions(tree) if top_level_only else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import: `python fsynth` could not run it"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _outside_functions(tree: ast.AST):
    for node in ast.iter_child_nodes(tree):
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or guarded:
            continue
        yield node
        yield from _outside_functions(node)


def test_no_module_is_named_like_another_package():
    """`accelerate launch fsynth` puts fsynth/ on the path: such a name would hide the real one."""
    ours = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "__pycache__"
    }
    taken = set(sys.stdlib_module_names) | set(metadata.packages_distributions()) | OPTIONAL
    assert not ours & (taken - {"fsynth", "__init__", "__main__"})


def _layer(part: str) -> int:
    """0 at the top: the index of the layer of a module or folder directly in fsynth/."""
    named = (layer for layer, names in enumerate(LAYERS) if part in names)
    return next(named, LIBRARY)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_layers(path):
    where = path.relative_to(PACKAGE).with_suffix("")
    parts = {name.split(".")[1] for name in _imports(path) if name.startswith("fsynth.")}
    parts = {part for part in parts if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()}
    own = _layer(where.parts[0])
    assert not {part for part in parts if _layer(part) < own}
    if where.name not in ("demo", "cli"):
        assert "commands" not in parts, "commands never import each other"
    if own >= LIBRARY - 1 and where.parts[0] != "config":
        assert "config" not in parts, "config objects stop at the command"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_importing_a_module_does_nothing(path):
    """It imports, defines and names values; what it names may not be a loop, a condition or a bare call."""
    harmless = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for node in ast.parse(path.read_text(encoding="utf-8")).body if path.name != "__main__.py" else []:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        assert isinstance(node, harmless) or text or types, f"{path}, line {node.lineno}"


def test_the_command_line_imports_nothing_heavy_at_start():
    light = [
        "__init__.py",
        "__main__.py",
        "cli.py",
        "config/__init__.py",
        "console.py",
        "errors.py",
        "flags.py",
        "outputs.py",
        "stopping.py",
        "keyed.py",
    ]
    for name in light:
        assert not {module.split(".")[0] for module in _imports(PACKAGE / name, True)} & HEAVY, name


@pytest.mark.parametrize("folder", ["fsynth", "scripts", "tests"])
def test_files_stay_short(folder):
    lengths = {path.name: len(path.read_bytes().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert lengths and not {name: length for name, length in lengths.items() if length > 400}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_has_one_name_in_all_its_places(name):
    stem = name.replace("-", "_")
    kind, _ = cli.COMMANDS[name]
    assert (PACKAGE / "commands" / f"{stem}.py").is_file()
    assert kind.__name__.lower() == stem.replace("_", "") + "config"
    assert (ROOT / "tests" / "commands" / f"test_{stem}.py").is_file()
    assert f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_module_is_in_the_table():
    stems = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - {"__init__"}
    assert stems == {name.replace("-", "_") for name in cli.COMMANDS}
