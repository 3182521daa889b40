"""The command line: quick help, one-line errors, exit codes, all ways of starting it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fsynth
from fsynth import cli
from fsynth.config import TrainSettings
from tests import launches

ROOT = Path(__file__).resolve().parents[1]


def test_the_folder_runs_without_installation_and_help_imports_nothing_heavy():
    """`python fsynth` is what `accelerate launch fsynth` runs."""
    command = [sys.executable, "-X", "importtime", "fsynth", "sd-train", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "--lora-rank" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "fsynth.cli" in imported
    assert not imported & {
        "torch",
        "numpy",
        "datasets",
        "diffusers",
        "transformers",
        "fsynth.commands.sd_train",
    }


def test_help_lists_every_command(capsys):
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_shows_its_help(name, capsys):
    assert cli.run([name, "--help"]) == 0
    assert f"Usage: fsynth {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_shows_types_as_typer_users_know_them_and_defaults_as_they_are_typed(name, capsys):
    cli.run([name, "--help"])
    shown = capsys.readouterr().out
    assert "<bool>" not in shown and "<list" not in shown and "('" not in shown
    assert ("recipes/" in shown) == issubclass(cli.COMMANDS[name][0], TrainSettings)


def test_help_says_what_is_required(capsys):
    cli.run(["score", "--help"])
    shown = capsys.readouterr().out
    assert "*    folder" in shown.lower() and "[required]" in shown
    assert "(default: is)" in " ".join(shown.replace("│", " ").split())
    cli.run(["sample", "--help"])
    prompts = capsys.readouterr().out.split("--model")[0]
    assert "(required)" in prompts


@pytest.mark.parametrize("name", ["score", "report", "sample"])
def test_a_command_that_needs_something_shows_its_help_when_given_nothing(name, capsys):
    assert cli.run([name]) == 2
    shown = "".join(capsys.readouterr())
    assert f"Usage: fsynth {name}" in shown and "fsynth: " not in shown and "see:" not in shown


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["sd-train", "--lrr", "1"], 2, "No such option"),
        (["sd-train", "--epochs", "two"], 2, "--epochs"),
        (["sd-train", "--epochs", "0"], 2, "--epochs: must be at least 1, got 0"),
        (["sd-train", "--image-source", "tar"], 2, "expected one of zip, hdf5, got 'tar'"),
        (["sd-train", "--set", "nope=1"], 1, "unknown key 'nope'"),
        (["sd-train", "--recipe", "missing.yaml"], 1, "recipe missing.yaml: No such file"),
        (["score", "--json"], 2, "Missing argument 'FOLDER'"),
        (["sample", "--json"], 1, "--prompts is missing"),
        (["sd-train", "--resume", "no/run"], 1, "--resume no/run: no run.yaml there; name a run folder"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(words, code, text, capsys):
    assert cli.run(words) == code
    shown = capsys.readouterr().err
    assert text in shown
    assert shown.startswith("fsynth: ")
    assert shown.count("\n") == 1


def test_an_unknown_recipe_key_suggests_the_nearest(tmp_path, capsys):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("epoch: 3\n")
    assert cli.run(["sd-train", "--recipe", str(recipe)]) == 1
    assert f"{recipe}: unknown key 'epoch'; did you mean 'epochs'?" in capsys.readouterr().err


def test_an_error_of_a_loader_worker_is_one_line_too(monkeypatch, capsys):
    from torch._utils import ExceptionWrapper

    from fsynth.commands import doctor
    from fsynth.errors import DataError

    def fail(config):
        try:
            raise DataError("img.zip: a.jpg is not a picture")
        except DataError:
            ExceptionWrapper(where="in DataLoader worker process 0").reraise()

    monkeypatch.setattr(doctor, "main", fail)
    assert cli.run(["doctor"]) == 1
    assert capsys.readouterr().err == "fsynth: img.zip: a.jpg is not a picture\n"


@pytest.fixture
def failing(monkeypatch):
    """`fsynth doctor` raises what this is called with."""
    from fsynth.commands import doctor

    def raises(error):
        def fail(config):
            raise error

        monkeypatch.setattr(doctor, "main", fail)

    return raises


def test_the_keyboard_and_sigterm_are_one_line_with_what_can_be_done(failing, capsys, monkeypatch):
    for error, code, what in (
        (KeyboardInterrupt(), 130, "stopped by the keyboard"),
        (cli.Stopped("ended by SIGTERM", 143), 143, "ended by SIGTERM"),
    ):
        error.add_note("runs/a is unfinished")
        failing(error)
        assert cli.run(["doctor"]) == code
        assert capsys.readouterr().err == f"fsynth: {what}; runs/a is unfinished\n"
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(cli, "_run_command", lambda *_: cli._end())
    assert cli.run(["doctor"]) == 143
    assert capsys.readouterr().err == ""


def test_an_error_of_ours_ends_with_what_can_be_done(failing, capsys):
    from fsynth.errors import DataError

    error = DataError("a process that read pictures has ended")
    error.add_note("runs/a is unfinished; go on with --resume runs/a")
    failing(error)
    assert cli.run(["doctor"]) == 1
    said = "a process that read pictures has ended; runs/a is unfinished; go on with --resume runs/a"
    assert capsys.readouterr().err == f"fsynth: {said}\n"


def test_a_full_disk_is_one_line_with_the_place(failing, capsys, monkeypatch):
    monkeypatch.delenv("FSYNTH_TRACEBACK", raising=False)
    error = OSError(errno.ENOSPC, "No space left on device", "out/a.png")
    error.add_note("nothing is left of out")
    failing(error)
    assert cli.run(["doctor"]) == 1
    assert capsys.readouterr().err == (
        "fsynth: out/a.png: No space left on device; nothing is left of out; free some room or name another "
        "place\n"
    )
    failing(OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output error"):
        cli.run(["doctor"])


def test_no_arguments_show_the_help_and_no_error(capsys):
    assert cli.run([]) == 2
    shown = capsys.readouterr()
    assert "Usage: fsynth" in shown.out + shown.err
    assert "fsynth: " not in shown.err


def test_the_package_lists_what_it_loads_lazily():
    assert {"load_dataset", "__version__"} <= set(dir(fsynth))


def test_one_process_that_fails_ends_the_launch_and_says_why(tmp_path):
    output = launches.torchrun(2, ROOT / "tests/failing_process.py", tmp_path / "run", fails=True)
    lines = [line for line in output.splitlines() if line.startswith("fsynth")]
    assert "fsynth (rank 1): row" in output and "cannot be read" in output
    assert not any("Traceback" in line for line in output.splitlines() if line.startswith("[rank")), lines
    assert not (tmp_path / "run").exists()


def test_who_is_ended_does_not_complain_that_its_workers_are():
    def complain(*_):
        raise RuntimeError("DataLoader worker (pid) is killed by signal: Terminated.")

    before = signal.signal(signal.SIGCHLD, complain)
    try:
        with pytest.raises(cli.Stopped):
            cli._end()
        os.kill(os.getpid(), signal.SIGCHLD)
    finally:
        signal.signal(signal.SIGCHLD, before)
