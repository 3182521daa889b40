"""The README's commands exist, its Python runs as far as names go, its files are there."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from fsynth import cli
from fsynth.settings import flag_name

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMON = {"--recipe", "--set", "--json", "--help", "--version"}


def _commands() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.S)
    lines = [line.split(" #")[0] for block in blocks for line in block.splitlines()]
    parts = [shlex.split(part) for line in lines for part in line.split("&&")]
    return [words[words.index("fsynth") + 1 :] for words in parts if "fsynth" in words]


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_every_command_of_the_readme_exists_with_its_flags(words):
    kind, _ = cli.COMMANDS[words[0]]
    known = {flag_name(field.name) for field in dataclasses.fields(kind)} | COMMON
    assert {word for word in words if word.startswith("--")} <= known


def test_the_readme_has_exactly_two_set_up_commands():
    set_up = README.split("## Set up")[1].split("## ")[0]
    assert len(re.findall(r"^pip install .*$", set_up, re.M)) == 2


def test_ci_runs_the_test_command_of_the_readme():
    command = re.search(r"pip install -e '\.\[test\]'.*?&& (.*)$", README, re.M).group(1)
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_python_of_the_readme_names_what_exists():
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    compile(block, "README.md", "exec")
    imports = "\n".join(line for line in block.splitlines() if line.startswith(("import ", "from ")))
    names: dict = {}
    exec(imports, names)
    fields = {field.name for field in dataclasses.fields(names["sd_train"].SDTrainResult)}
    assert set(re.findall(r"result\.(\w+)", block)) <= fields


def test_every_file_that_the_readme_links_to_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert links and all((ROOT / link).exists() for link in links)
