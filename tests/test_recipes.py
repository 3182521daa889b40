"""Every shipped recipe loads into its command's settings and says what the catalogue says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsynth import cli
from fsynth.config import TrainSettings
from fsynth.settings import load, read_recipe

ANNOTATIONS = Path(__file__).resolve().parents[2] / "shared/data/fashion-synthesis-annotations"
FOLDER = Path(__file__).resolve().parents[1] / "recipes"
RECIPES = sorted(FOLDER.glob("*/*.yaml"))


def test_the_commands_whose_help_names_recipes_have_some():
    trained = {name for name, (kind, _) in cli.COMMANDS.items() if issubclass(kind, TrainSettings)}
    assert trained == {path.parent.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recipe_fits_its_command(path):
    kind, _ = cli.COMMANDS[path.parent.name]
    given = read_recipe(path)
    config = load(kind, given, origin=str(path))
    assert all(getattr(config, key) == value for key, value in given.items() if not isinstance(value, dict))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recipe_has_its_header_and_its_row(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    keys = [line[2:].partition(":")[0] for line in lines[1:5]]
    assert keys == ["command", "hardware", "time", "score"]
    assert f"--recipe {path.relative_to(FOLDER.parent)}" in lines[1]
    assert f"({path.relative_to(FOLDER)})" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not ANNOTATIONS.is_dir(), reason="needs the real annotation")
def test_the_ceilings_beside_the_published_numbers_are_those_of_the_annotation():
    from datasets import concatenate_datasets

    from fsynth import caption_groups, ceilings
    from fsynth.data.sources import open_source
    from fsynth.order import choose_rows
    from fsynth.score_names import AT

    source = open_source(ANNOTATIONS)
    everything = concatenate_datasets([source.train, source.test])
    for rows, data in {"all rows": everything, "the held-out rows": source.test}.items():
        found: dict[str, list[list[float]]] = {"ceiling": [], "attributes": []}
        for seed in range(6):
            texts = data.select_columns("text")[choose_rows(len(data), 5000, seed)]["text"]
            captions = caption_groups.find(texts)
            limits = ceilings.bounds(captions.sentence, captions.group, captions.group)["pair"]
            for ideal, numbers in found.items():
                numbers.append([100 * limits["image_to_text"][f"{ideal}@{k}"] for k in AT])
        for ideal, name in (("ceiling", "ceiling"), ("attributes", "perfect eye")):
            columns = zip(*found[ideal], strict=True)
            cells = " | ".join(f"{min(column):.1f} to {max(column):.1f} %" for column in columns)
            row = f"| {name}, 5,000 of {rows}, six draws | {cells} |"
            assert row in (FOLDER / "README.md").read_text(encoding="utf-8")
