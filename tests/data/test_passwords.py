"""Where the archive's password comes from, and where it never shows."""

from __future__ import annotations

import getpass
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsynth.data import passwords
from fsynth.errors import PasswordError

REPO = Path(__file__).resolve().parents[2]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", "")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def typed(monkeypatch):
    """Someone at a terminal who types this."""
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "typed in")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nsecond line\n"])
def test_the_first_line_of_the_file_is_the_password(tmp_path, end):
    (tmp_path / "password.txt").write_bytes(b" open s\xc3\xa9same " + end)
    assert passwords.find_password(tmp_path / "password.txt") == b" open s\xc3\xa9same "


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\nlater\n", "secret".encode("utf-16")])
def test_a_file_without_a_usable_first_line_is_named(tmp_path, content):
    (tmp_path / "password.txt").write_bytes(content)
    with pytest.raises(PasswordError, match=r"first line of the password file .*password\.txt") as caught:
        passwords.find_password(tmp_path / "password.txt")
    assert "secret" not in str(caught.value).replace("\0", "")


def test_the_mark_that_windows_editors_write_is_no_part_of_it(tmp_path):
    (tmp_path / "password.txt").write_text("open sésame\n", encoding="utf-8-sig")
    assert passwords.find_password(tmp_path / "password.txt") == "open sésame".encode()


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for place in (tmp_path / "nowhere.txt", tmp_path):
        with pytest.raises(PasswordError, match=f"cannot read the password file {place}"):
            passwords.find_password(place)


def test_file_then_environment_then_prompt(tmp_path, monkeypatch, typed):
    (tmp_path / "password.txt").write_text("from the file\n")
    assert passwords.find_password() == b"typed in"
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", "from outside")
    assert passwords.find_password() == b"from outside"
    assert passwords.find_password(tmp_path / "password.txt") == b"from the file"


def test_it_asks_only_when_allowed_and_in_a_single_process(monkeypatch, typed):
    assert passwords.find_password(prompt=False) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert passwords.find_password() is None
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert passwords.find_password() == b"typed in"


def test_it_does_not_ask_without_a_terminal(monkeypatch, typed):
    monkeypatch.setattr(sys, "stdin", io.StringIO("piped in\n"))
    assert passwords.find_password() is None


def test_nothing_typed_is_no_password(monkeypatch, typed):
    def end_of_file(prompt):
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", end_of_file)
    assert passwords.find_password() is None
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "")
    assert passwords.find_password() is None


def test_it_rather_does_not_ask_than_echo(monkeypatch, typed):
    def echoing(prompt):
        import warnings

        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        return "seen by everyone"

    monkeypatch.setattr(getpass, "getpass", echoing)
    assert passwords.find_password() is None


@pytest.mark.parametrize("password", [b"plain", "sésame".encode(), b"\xff\xfe latin"])
def test_a_remembered_password_is_kept_byte_for_byte(tmp_path, password):
    passwords.remember_password(password, tmp_path / "img.zip")
    assert passwords.current_password(tmp_path / "img.zip") == password
    passwords.forget_password(tmp_path / "img.zip")
    assert passwords.current_password(tmp_path / "img.zip") is None


def test_each_archive_has_its_own_and_the_users_variable_is_left_alone(tmp_path, monkeypatch, typed):
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", "from outside")
    (tmp_path / "link.zip").symlink_to(tmp_path / "a.zip")
    passwords.remember_password(b"of a", tmp_path / "a.zip")
    assert passwords.current_password(tmp_path / "link.zip") == b"of a"
    assert passwords.find_password(archive=tmp_path / "a.zip") == b"of a"
    assert passwords.current_password(tmp_path / "b.zip") == b"from outside"
    assert os.environ["FSYNTH_ZIP_PASSWORD"] == "from outside"
    monkeypatch.delenv("FSYNTH_ZIP_PASSWORD")
    assert passwords.find_password(archive=tmp_path / "b.zip") == b"typed in"


def test_child_processes_inherit_a_remembered_password(tmp_path):
    passwords.remember_password(b"\xff\xfe latin", tmp_path / "img.zip")
    show = (
        "import sys; from pathlib import Path; from fsynth.data import passwords\n"
        "sys.stdout.buffer.write(passwords.current_password(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", show, str(tmp_path / "img.zip")]
    child = subprocess.run(command, cwd=REPO, capture_output=True, check=True)
    assert child.stdout == b"\xff\xfe latin"


def test_what_no_environment_can_hold_is_refused(tmp_path):
    for password in (b"", b"a\0b"):
        with pytest.raises(PasswordError, match=r"the password of .*img\.zip"):
            passwords.remember_password(password, tmp_path / "img.zip")
    assert passwords.current_password(tmp_path / "img.zip") is None
