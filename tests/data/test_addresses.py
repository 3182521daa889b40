"""What ``--data`` says: a path, or addresses; what messages show of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsynth.config import SDTrainConfig
from fsynth.data import addresses
from fsynth.errors import ConfigError, DataError
from fsynth.settings import dump, load

HTTPS = "https://host:8443/data/train-{00..02}.tar"


def test_a_path_stays_a_path_and_an_address_text(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.chdir(tmp_path)
    assert addresses.read("~/pictures") == Path("/home/somebody/pictures")
    assert addresses.read("org/name") == Path("org/name")
    assert addresses.read(HTTPS) == HTTPS
    assert addresses.read("a-{0..1}.tar::~/b.tar::s3://c/d.tar") == (
        f"{tmp_path}/a-{{0..1}}.tar::/home/somebody/b.tar::s3://c/d.tar"
    )
    (tmp_path / "odd{name}").mkdir()
    assert addresses.read("odd{name}") == Path("odd{name}")


def test_patterns_expand_in_their_order():
    far = [f"https://host:8443/data/train-0{number}.tar" for number in range(3)]
    assert addresses.expand(HTTPS) == far
    assert addresses.expand(f"{HTTPS}::/b/{{x,y}}.tar") == [*far, "/b/x.tar", "/b/y.tar"]
    with pytest.raises(ConfigError, match=r"the braces of https://h/train-\{0\.\.3\.tar do not match"):
        addresses.expand("https://h/train-{0..3.tar")


def test_a_list_names_addresses_and_paths_beside_it(tmp_path):
    file = tmp_path / "shards.txt"
    file.write_text(f"\ufeff{HTTPS}\n\n  near/{{a,b}}.tar\n")
    far = addresses.expand(HTTPS)
    assert addresses.read_list(file) == [*far, f"{tmp_path}/near/a.tar", f"{tmp_path}/near/b.tar"]
    file.write_text("\n")
    with pytest.raises(DataError, match=f"{file} names no files; write one address or path a line"):
        addresses.read_list(file)


def test_messages_show_no_signature_and_passwords_are_refused():
    shown = addresses.shown("https://host/a.tar?sig=secret::/near/b.tar")
    assert shown == "https://host/a.tar::/near/b.tar"
    for owner in ("me:secret", "me:p@secret", "me:secret@", "me:secret?x"):
        with pytest.raises(ConfigError) as error:
            addresses.read(f"https://{owner}@host/a.tar?sig=secret")
        assert str(error.value).startswith("https://...@host/a.tar holds a name or password")
        assert "secret" not in str(error.value)
    with pytest.raises(ConfigError) as error:
        addresses.expand("https://h/{0..3.tar?sig=secret")
    assert "secret" not in str(error.value)


def test_an_address_that_lost_a_slash_in_a_path_is_refused():
    with pytest.raises(ConfigError) as error:
        addresses.read(Path(f"{HTTPS}?sig=secret"))
    assert "secret" not in str(error.value)
    assert "lost a slash in Path(); give the address as text: https://..." in str(error.value)


@pytest.mark.parametrize("given", [HTTPS, f"{HTTPS}::/near/b.tar", "/some/folder"])
def test_a_recipe_keeps_an_address_as_it_is(given):
    config = load(SDTrainConfig, {"data": given})
    assert str(config.data) == given and dump(config)["data"] == given
    assert dump(load(SDTrainConfig, flags={"data": given}))["data"] == given
