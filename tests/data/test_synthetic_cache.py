"""The cache of drawn archives: drawn once, anew when damaged, whole or absent."""

from __future__ import annotations

import threading

import pytest

from fsynth import machine
from fsynth.data import drawing_workers, drawn_archive, figure, synthetic
from fsynth.errors import OutputError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "cores", lambda: 0)
    return tmp_path / "cache"


@pytest.fixture
def drawn(monkeypatch):
    """Counts the archives that are drawn."""
    calls, write = [], drawn_archive.write
    monkeypatch.setattr(drawn_archive, "write", lambda *a, **k: (calls.append(a), write(*a, **k))[1])
    return calls


def test_the_cached_archive_is_drawn_once_by_whoever_comes_first(cache, drawn):
    found = []
    askers = [threading.Thread(target=lambda: found.append(synthetic.cached_archive(8))) for _ in range(3)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(drawn) == 1 and len(found) == 3 and len(set(found)) == 1
    assert cache in found[0].parents and all((found[0] / name).is_file() for name in drawn_archive.FILES)


def test_other_arguments_and_versions_are_other_archives(cache, monkeypatch):
    keys = {
        synthetic._key(*parts) for parts in ((8, 0, "catalogue"), (9, 0, "catalogue"), (8, 1, "catalogue"))
    }
    keys.add(synthetic._key(8, 0, "street"))
    monkeypatch.setattr(figure, "DRAWING_VERSION", figure.DRAWING_VERSION + 1)
    keys.add(synthetic._key(8, 0, "catalogue"))
    assert len(keys) == 5


def test_a_cached_archive_that_lost_a_file_is_drawn_anew(cache, drawn):
    folder = synthetic.cached_archive(8)
    (folder / "Img/img.zip").unlink()
    assert synthetic.cached_archive(8) == folder and (folder / "Img/img.zip").is_file()
    assert len(drawn) == 2


def test_an_interrupted_drawing_leaves_nothing(cache, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(drawing_workers, "draw_one", stop)
        synthetic.cached_archive(8)
    assert not [path for path in (cache / "archives").iterdir() if path.suffix != ".lock"]
    assert synthetic.cached_archive(8).is_dir()


def test_remains_of_a_killed_drawing_are_cleared_away(cache):
    name = synthetic._key(8, 0, "catalogue")
    remains = cache / "archives" / f".{name}.12345.part"
    remains.mkdir(parents=True)
    synthetic.cached_archive(8)
    assert not remains.exists()


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot create"):
        synthetic.cached_archive(8)
