"""doctor: what it finds, and the launch line of a machine."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from fsynth import cli
from fsynth.commands import doctor
from fsynth.config import DoctorConfig


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(socket, "create_connection", refuse)


def _by_subject(result):
    return {finding.subject: finding for finding in result.findings}


def test_without_data_it_says_that_commands_run_on_drawn_data(monkeypatch, no_network):
    monkeypatch.delenv("FSYNTH_DATA", raising=False)
    monkeypatch.delenv("FSYNTH_ZIP_PASSWORD", raising=False)
    found = _by_subject(doctor.main(DoctorConfig()))
    assert found["data"].state == "note" and "drawn data" in found["data"].found
    assert found["password"].state == "note" and "FSYNTH_ZIP_PASSWORD" in found["password"].fix
    assert found["packages"].state == "ok" and "diffusers" in found["packages"].found


def test_a_missing_data_folder_is_a_failure_with_its_path(tmp_path, no_network):
    found = _by_subject(doctor.main(DoctorConfig(data=tmp_path / "nowhere")))
    assert found["data"].state == "fail" and "nowhere" in found["data"].found


def test_a_hub_that_does_not_answer_is_a_note_with_the_way_around(monkeypatch, no_network):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    finding = doctor._hub()
    assert finding.state == "note" and "--model" in finding.fix


@pytest.mark.parametrize(
    ("endpoint", "state", "found"),
    [
        ("http://127.0.0.1:{port}", "ok", "127.0.0.1:{port} answers"),
        ("http://127.0.0.1:9", "note", "127.0.0.1:9 cannot be reached"),
        ("nonsense", "fail", "HF_ENDPOINT: no host in nonsense"),
    ],
)
def test_the_hub_is_asked_at_the_port_of_its_address(monkeypatch, endpoint, state, found):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(constants, "ENDPOINT", endpoint.format(port=port))
        finding = doctor._hub()
    assert (finding.state, finding.found) == (state, found.format(port=port))


def test_the_launch_line_fits_the_number_of_gpus():
    assert "--num_processes 4 fsynth" in doctor.launch_line(4)
    assert doctor.launch_line(1).startswith("accelerate launch fsynth")
    assert doctor.launch_line(0).startswith("fsynth sd-train")


def test_json_goes_to_standard_output_and_talk_does_not(capsys, no_network):
    assert cli.run(["doctor", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {row["subject"] for row in shown["findings"]} >= {"python", "packages", "hub", "data"}


@pytest.mark.usefixtures("no_password")
def test_an_archive_that_opens_is_described_and_its_password_not_shown(benchmark_folder, no_network, capsys):
    config = DoctorConfig(data=benchmark_folder, password_file=benchmark_folder / "password.txt")
    found = _by_subject(doctor.main(config))
    assert found["data"].state == "ok" and "18 for training" in found["data"].found
    assert found["password"] == doctor.Finding("password", "ok", "from --password-file")
    talk = capsys.readouterr()
    assert (benchmark_folder / "password.txt").read_text().strip() not in talk.out + talk.err


def test_a_password_file_without_a_password_is_a_failure(tmp_path, no_network):
    (tmp_path / "empty.txt").write_text("")
    for file in (tmp_path / "empty.txt", tmp_path / "nowhere.txt"):
        found = doctor._password(DoctorConfig(password_file=file))
        assert found.state == "fail" and file.name in found.found


def test_brackets_in_a_path_are_shown_as_they_are(tmp_path, no_network, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    doctor.main(DoctorConfig(data=Path("a[/b][red]")))
    assert "a[/b][red]" in capsys.readouterr().err
