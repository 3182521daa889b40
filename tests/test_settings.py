"""Settings: strict, converted by field type, all problems in one line, recipe below flag."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from fsynth import cli
from fsynth import config as configs
from fsynth.errors import ConfigError
from fsynth.settings import Checked, dump, hints, load, setting


@dataclass(frozen=True, kw_only=True)
class Objective(Checked):
    snr_gamma: float = setting(5.0, "weighting", least=0.0)
    kind: Literal["a", "b"] = setting("a", "which")


@dataclass(frozen=True, kw_only=True)
class Toy(Checked):
    """A toy command."""

    lr: float = setting(1e-4, "rate", above=0.0)
    epochs: int = setting(1, "passes", least=1)
    precision: Literal["no", "bf16"] = setting("no", "autocast")
    name: str | None = setting(None, "a name")
    where: Path = setting(Path("here"), "a place")
    models: tuple[str, ...] = setting((), "models")
    full: bool = setting(False, "all of it")
    objective: Objective = setting(Objective(), "the loss")


def test_a_bare_on_or_off_of_yaml_is_meant_as_written():
    for text, value in (("on", "on"), ("off", "off"), ("auto", "auto")):
        config = load(configs.SDTrainConfig, None, [f"buckets.enabled={text}"])
        assert config.buckets.enabled == value
        assert load(configs.SDTrainConfig, dump(config)) == config
    with pytest.raises(ConfigError, match="split_by: expected one of official, garment, got False"):
        load(configs.SDTrainConfig, None, ["split_by=off"])


def test_what_python_gives_is_converted_and_checked_too():
    assert Toy(where="here").where == Path("here") and Toy(models=["one"]).models == ("one",)
    assert Toy(objective=Objective(kind="b")).objective.kind == "b"
    with pytest.raises(ConfigError) as error:
        Toy(epochs=0, lr="fast", objective={"kind": "b"})
    assert str(error.value) == (
        "Toy: lr: expected a number, got 'fast'; Toy: epochs: must be at least 1, got 0; "
        "Toy: objective: expected Objective(...), got {'kind': 'b'}"
    )
    with pytest.raises(ConfigError, match="SDTrainConfig: split_by: expected one of official, garment"):
        configs.SDTrainConfig(split_by="foo")
    address = "https://host/0.tar"
    assert configs.DoctorConfig(data=address).data == address
    assert configs.DoctorConfig(data=Path("here")).data == Path("here")


def test_every_config_is_checked():
    kinds = [kind for kind in vars(configs).values() if isinstance(kind, type)]
    assert len(kinds) > 20 and all(issubclass(kind, Checked) for kind in kinds)


def test_help_names_the_groups_that_have_no_flags(capsys):
    cli.run(["sd-train", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    groups = (
        "augment (flip, rotation, scale, color), tracking (to, project), buckets (enabled, step, max_ratio)"
    )
    assert f"{groups}, objective" in shown


def test_yaml_traps_are_read_by_field_type():
    assert load(Toy, {"lr": "1e-4"}).lr == 1e-4
    assert load(Toy, {"lr": 1}).lr == 1.0
    assert load(Toy, {"name": 12}).name == "12"
    assert load(Toy, {"models": "one"}).models == ("one",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lerning_rate": 1, "lr": 1}, "r.yaml: unknown key 'lerning_rate'"),
        ({"epoch": 2}, "r.yaml: unknown key 'epoch'; did you mean 'epochs'?"),
        (
            {"objective": {"snr_gama": 1}},
            "r.yaml: unknown key 'objective.snr_gama'; did you mean 'snr_gamma'?",
        ),
        ({"precision": False}, "expected one of no, bf16, got False (write no in quotes"),
        ({"epochs": 1.5}, "r.yaml: epochs: expected a whole number, got 1.5"),
        ({"epochs": True}, "r.yaml: epochs: expected a whole number, got True"),
        ({"epochs": 0}, "r.yaml: epochs: must be at least 1, got 0"),
        ({"lr": 0}, "r.yaml: lr: must be above 0, got 0"),
        ({"lr": "fast"}, "r.yaml: lr: expected a number, got 'fast'"),
        ({"lr": float("nan")}, "r.yaml: lr: expected a finite number, got nan"),
        ({"lr": "inf"}, "r.yaml: lr: expected a finite number, got inf"),
        ({"where": "~nobody-of-that-name/x"}, "r.yaml: where: nobody's home folder is known for ~nobody"),
        ({"full": "yes"}, "r.yaml: full: expected true or false, got 'yes'"),
        ({"objective": 3}, "r.yaml: objective: expected a group of keys, got 3"),
    ],
)
def test_a_bad_recipe_names_the_key_and_the_value(given, message):
    with pytest.raises(ConfigError) as caught:
        load(Toy, given, origin="r.yaml")
    assert message in str(caught.value)


def test_all_problems_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        load(Toy, {"epochs": 0, "lr": "x", "nope": 1}, origin="r.yaml")
    assert str(caught.value).count("r.yaml:") == 3


def test_default_recipe_set_flag_override_in_that_order():
    recipe = {"epochs": 2, "lr": 0.5, "objective": {"snr_gamma": 1.0, "kind": "b"}}
    config = load(Toy, recipe, ["objective.snr_gamma=7", "epochs=3"], {"epochs": 4})
    assert (config.lr, config.epochs) == (0.5, 4)
    assert config.objective == Objective(snr_gamma=7.0, kind="b")


def test_a_set_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="--set epochs: expected key=value"):
        load(Toy, None, ["epochs"])


def test_a_dumped_config_loads_to_the_same():
    config = load(Toy, {"where": "a/b", "models": ["x", "y"], "objective": {"kind": "b"}})
    assert load(Toy, dump(config)) == config


@pytest.mark.parametrize("kind", [kind for kind, _ in cli.COMMANDS.values()])
def test_every_setting_of_every_command_has_a_help_text(kind):
    import dataclasses

    assert kind.__doc__ and not kind.__doc__.startswith(kind.__name__ + "(")
    for field in dataclasses.fields(kind):
        assert len(field.metadata["setting"].help) > 5, field.name


@pytest.mark.parametrize("kind", [kind for kind, _ in cli.COMMANDS.values()])
def test_no_command_line_grows_past_about_25_options(kind):
    import dataclasses

    plain = [f for f in dataclasses.fields(kind) if not dataclasses.is_dataclass(hints(kind)[f.name])]
    assert len([f for f in plain if f.metadata["setting"].flag]) <= 30


@pytest.mark.parametrize("given, reading", [(0, None), (3, 3)])
def test_who_reads_training_pictures_alone_cleans_in_several_processes(given, reading):
    assert configs.SDTrainConfig(drop_duplicates=True, workers=given).source()["workers"] == reading
