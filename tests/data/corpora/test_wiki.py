"""The embedded excerpt of Wikipedia: extracted, cleaned, kept in the cache."""

import gzip
import hashlib
from itertools import islice
from pathlib import Path

import pytest
from gensim.corpora import wikicorpus

from lm_keras.data.corpora import registry, running_text
from lm_keras.data.corpora.registry import load


@pytest.fixture(scope="session")
def wiki_cache(tmp_path_factory):
    """A cache with what the cache of this machine holds: the extraction, of seconds, is made once for all tests."""
    folder, paragraphs = tmp_path_factory.mktemp("cache"), running_text._cached_paragraphs(registry.cache_folder())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running_text, "_extract", lambda dump: paragraphs)
        running_text._cached_paragraphs(folder / "lm_keras")
    return folder


def test_wiki_excerpt(wiki_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(wiki_cache))
    texts = load("wiki-excerpt", "all")
    assert len(texts) == 5591
    assert texts[0].startswith("Anarchism is a political philosophy that advocates self-governed societies")
    for mark in ("''", "\u00a0", "  ", "()", "( ", " )", "{{", "[[", "\n"):
        assert not [text for text in texts if mark in text], mark
    assert all(text[-1] in '.!?"' and text == text.strip() for text in texts)
    monkeypatch.setattr(registry, "wiki_paragraphs", lambda cache: texts)  # cleaned once is enough
    train, valid = load("wiki-excerpt"), load("wiki-excerpt", "validation")
    assert (len(train), len(valid)) == (5032, 559)
    assert sorted(train + valid) == sorted(texts)


def test_what_is_extracted_is_what_the_cache_holds(wiki_cache, monkeypatch):
    cached = running_text._cached_paragraphs(wiki_cache / "lm_keras")
    pages = wikicorpus.extract_pages
    monkeypatch.setattr(wikicorpus, "extract_pages", lambda *args, **kwargs: islice(pages(*args, **kwargs), 12))
    found = running_text._extract(running_text.gensim_file(running_text.DUMP))
    assert len(found) > 100 and found == cached[: len(found)]


def test_wiki_cache_is_used_damaged_and_remade(wiki_cache, monkeypatch):
    (file,) = (wiki_cache / "lm_keras").iterdir()
    whole, paragraphs, calls = file.read_bytes(), running_text._cached_paragraphs(file.parent), []
    monkeypatch.setattr(running_text, "_extract", lambda dump: calls.append(dump) or paragraphs)
    assert len(paragraphs) == 5591
    planted = gzip.compress(b"Something that another one has written here.")
    endless = gzip.compress(bytes(9_000_000), 1)
    for content in (whole[:-30], b"no gzip", planted, endless):
        calls.clear()
        file.write_bytes(content)
        assert running_text._cached_paragraphs(file.parent) == paragraphs
        assert running_text._cached_paragraphs(file.parent) == paragraphs
        assert len(calls) == 1, "made again, once"
        assert gzip.decompress(file.read_bytes()) == gzip.decompress(whole)
    assert list(file.parent.iterdir()) == [file], "no temporary file stays"


def test_another_extraction_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(running_text, "_extract", lambda dump: ["One paragraph ''only''."])
    for _ in range(2):
        assert running_text.wiki_paragraphs(tmp_path) == ["One paragraph only."]
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(running_text, "_extract", lambda dump: ["One paragraph."])
    monkeypatch.setattr(running_text, "SHA256", hashlib.sha256(b"One paragraph.").hexdigest())
    (tmp_path / "file").write_text("a file where a folder should be")
    assert running_text.wiki_paragraphs(tmp_path / "file" / "lm_keras") == ["One paragraph."]

    def refuse(self, target):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(Path, "replace", refuse)
    assert running_text.wiki_paragraphs(tmp_path / "new") == ["One paragraph."]
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    "raw, clean",
    [
        ("* '''Albedo''' () or '''reflection coefficient''', derived", "Albedo or reflection coefficient, derived"),
        ("'''Lincoln''' (; February 12, 1809 – 1865) was", "Lincoln (February 12, 1809 – 1865) was"),
        ("'''Achilles''' (; , ''Akhilleus'', ) was", "Achilles (Akhilleus) was"),
        ("from the Greek , i.e. ''anarchy'' . ", "from the Greek, i.e. anarchy."),
        ("''The Times'''s view  of 1.58\u00a0million", "The Times's view of 1.58 million"),
        ("in Greek , , that is , .", "in Greek, that is."),
        ("and ... so on (''a'', .5 of b)", "and ... so on (a, .5 of b)"),
    ],
)
def test_clean_markup(raw, clean):
    assert running_text.clean_markup(raw) == clean
