"""The rules of the layout: who imports whom, which names are taken, one name in five places."""

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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_layers(path):
    imported = _imports(path)
    where = path.relative_to(PACKAGE)
    is_command = where.parts[0] == "commands"
    if where.name not in ("__main__.py", "cli.py"):
        assert not any(name == "fsynth.cli" or name.startswith("fsynth.cli.") for name in imported)
    if where.name not in ("demo.py",):
        assert not any(name.startswith("fsynth.commands") for name in imported), (
            "commands never import each other"
        )
    if not is_command and where.name not in ("cli.py",):
        assert "fsynth.config" not in imported, "config objects stop at the command"


def test_the_command_line_imports_nothing_heavy_at_start():
    light = [
        "__init__.py",
        "__main__.py",
        "cli.py",
        "config.py",
        "console.py",
        "errors.py",
        "flags.py",
        "outputs.py",
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
