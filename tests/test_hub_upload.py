"""Uploads ask first, are private unless told otherwise, and leave the export where they fail. No network."""

from __future__ import annotations

import io
from types import SimpleNamespace

import huggingface_hub
import pytest

from fsynth import hub, hub_upload
from fsynth.errors import ConfigError, OutputError


class Hub:
    """Remembers what it is asked; repositories by name with whether they are private."""

    def __init__(self, there=None):
        self.there, self.uploaded = dict(there or {}), []

    def create_repo(self, name, *, private, exist_ok, repo_type):
        assert exist_ok and repo_type == "model"
        self.there.setdefault(name, private)
        return f"https://hub/{name}"

    def repo_info(self, name, *, repo_type):
        return SimpleNamespace(private=self.there[name])

    def upload_folder(self, *, repo_id, folder_path, repo_type, commit_message):
        self.uploaded.append((repo_id, sorted(path.name for path in folder_path.iterdir())))


@pytest.fixture
def use(monkeypatch):
    def client(there=None):
        made = Hub(there)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)
        return made

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "token")
    monkeypatch.setattr(hub, "reachable", lambda: True)
    return client


def _folder(tmp_path):
    (tmp_path / "README.md").write_text("a card")
    return tmp_path


def test_a_repository_is_made_private(use, tmp_path):
    client = use()
    assert hub_upload.upload(_folder(tmp_path), "me/dress", public=False) == "https://hub/me/dress"
    assert client.there == {"me/dress": True} and client.uploaded == [("me/dress", ["README.md"])]
    assert hub_upload.upload(_folder(tmp_path), "me/hat", public=True)
    assert client.there["me/hat"] is False


def test_nothing_goes_where_all_can_see_it_unasked(use, tmp_path):
    client = use({"me/dress": False})
    with pytest.raises(OutputError, match=r"me/dress is there already, and all can see it; add --public"):
        hub_upload.upload(_folder(tmp_path), "me/dress", public=False)
    assert client.uploaded == []


def test_a_refusal_is_one_line_and_the_folder_stays(use, tmp_path, monkeypatch):
    client = use()

    def refuse(*_, **__):
        raise RuntimeError("403 Forbidden: you are not in me\nRequest id 5")

    monkeypatch.setattr(client, "create_repo", refuse)
    with pytest.raises(OutputError) as caught:
        hub_upload.upload(_folder(tmp_path), "me/dress", public=False)
    assert str(caught.value) == (
        f"the hub did not take me/dress (403 Forbidden: you are not in me); the export is whole in {tmp_path}"
        f": upload it with `hf upload me/dress {tmp_path}`"
    )


@pytest.mark.parametrize("name", ["dress", "me/", "/dress", "a/b/c", "me/dress it"])
def test_names_that_are_none_are_refused(use, name):
    use()
    with pytest.raises(ConfigError, match=r"expected ORG/NAME"):
        hub_upload.check(name)


def test_who_is_not_logged_in_or_has_no_network_learns_it_first(use, monkeypatch):
    use()
    hub_upload.check("me/dress")
    monkeypatch.setattr(hub, "reachable", lambda: False)
    with pytest.raises(OutputError, match=r"the hub cannot be reached; leave it out"):
        hub_upload.check("me/dress")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(ConfigError, match=r"nobody is logged in to the hub"):
        hub_upload.check("me/dress")


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y\n", True), ("yes\n", True), ("\n", False), ("n\n", False)]
)
def test_it_asks_with_the_terms(monkeypatch, answer, agreed):
    said = _Terminal()
    monkeypatch.setattr("sys.stdin", _Terminal(answer))
    monkeypatch.setattr("sys.stderr", said)
    if agreed:
        hub_upload.confirm("me/dress", "for research only", public=False, yes=False)
    else:
        with pytest.raises(ConfigError, match=r"nothing is uploaded: the answer was no"):
            hub_upload.confirm("me/dress", "for research only", public=False, yes=False)
    text = said.getvalue()
    assert "me/dress, private; for research only" in text and text.endswith("upload it? [y/N] ")


def test_nobody_to_ask_is_a_no(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigError, match=r"nothing is uploaded before somebody agrees; add --yes"):
        hub_upload.confirm("me/dress", "terms", public=True, yes=False)
    assert "me/dress, for all to see; terms" in capsys.readouterr().err
    hub_upload.confirm("me/dress", "terms", public=True, yes=True)
