"""Named corpora: load a split, find or fetch the files."""

import gzip
import hashlib
import os
import zlib
from pathlib import Path
from urllib.parse import quote

from lm_keras.data.archives import unpack
from lm_keras.data.corpus_table import CORPORA, part
from lm_keras.data.wiki import DUMP, gensim_file, wiki_paragraphs
from lm_keras.errors import InputError, naming
from lm_keras.files import locked


def available():
    """The names that `load` knows."""
    return list(CORPORA)


def splits(name):
    """The splits that `load(name, split)` knows."""
    return _find(name).splits


def describe(name):
    """One line on a corpus: what it is, its licence, its splits, and where it lies, if on this machine."""
    corpus = _find(name)
    place = locate(name) or ("to be fetched" if corpus.url else "not on this machine")
    return f"{name:<16} {corpus.description} [{corpus.licence}] splits: {', '.join(corpus.splits)}; {place}"


def classes(name):
    """The names of the classes of a labelled corpus, in the order of its labels; () where texts have no labels."""
    return _find(name).classes


def load(name, split="train"):
    """Returns the records of one split of a named corpus. Never uses the network.

    The splits of each set are in `CORPORA[name].splits`: the official ones where they exist
    (ptb; tinyshakespeare as in nanoGPT: first 90 % of the characters, last 10 %). Otherwise one
    text in ten is "validation", by `split_texts(texts, 0.1, seed=0)`; a novel is cut at 90 %.
    wiki-excerpt, lee-news, tang-poems, ptb: a list of str, one paragraph, item, poem, sentence a text.
    tinyshakespeare, hongloumeng, shuihu: a list of one str, newlines kept.
    mr, sms-spam: a list of `Labelled(text, label)`; the label is the place in `classes(name)`.
    Raises InputError for an unknown name or split, or a set that is not on this machine.
    """
    corpus = _find(name)
    if split not in corpus.splits:
        raise InputError(f"{name} has no split {split!r}; choose from {', '.join(corpus.splits)}")
    if corpus.embedded == DUMP:
        return part(wiki_paragraphs(cache_folder()), split)
    if corpus.embedded:
        return corpus.texts(gensim_file(corpus.embedded).read_text("utf-8"), split)
    files = corpus.files[split]
    paths = [_locate(corpus, file) for file in ([files] if isinstance(files, str) else files)]
    if None in paths:
        raise InputError(_how_to_get(corpus))
    return corpus.texts(*(_read(path, corpus) for path in paths), split)


def fetch(name):
    """Returns the path of a named corpus (see `locate`), after downloading it into the cache if need be.

    Downloads show a progress bar and are checked against a known sha256; nothing is kept of a failure, but for
    the bytes before a cut or Ctrl-C, from which the next call goes on (see `download`).
    Raises InputError where there is no public address, or the download fails.
    """
    corpus = _find(name)
    found = locate(name)
    if found is not None:
        return found
    if not corpus.url:
        raise InputError(_how_to_get(corpus))
    folder = cache_folder() / corpus.folder
    busy = f"another process fetches to {folder}; wait for it, then try again"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with naming(name), locked(folder, busy):
            if locate(name) is None:
                _download(corpus, folder)
    except OSError as error:
        raise InputError(f"{name}: {folder} cannot be written ({error})") from error
    return locate(name)


def locate(name):
    """Where a named corpus lies on this machine: a file, a folder for several files, or None."""
    corpus = _find(name)
    if corpus.embedded:
        return gensim_file(corpus.embedded)
    paths = [_locate(corpus, file) for file in corpus.sha256]
    if None in paths:
        return None
    return paths[0] if len(paths) == 1 else paths[0].parent


def cache_folder():
    import platformdirs

    return Path(platformdirs.user_cache_dir("lm_keras"))


def _find(name):
    if name not in CORPORA:
        raise InputError(f"unknown corpus {name!r}; known are {', '.join(CORPORA)}")
    return CORPORA[name]


def _locate(corpus, file):
    folders = [Path(os.environ["LM_KERAS_DATA"]).expanduser()] if os.environ.get("LM_KERAS_DATA") else []
    for folder in [*folders, cache_folder()]:
        for path in (folder / corpus.folder / file, folder / corpus.folder / f"{file}.gz"):
            if path.is_file():
                return path
    return None


def _download(corpus, folder):
    from lm_keras.data.download import download  # the libraries of the network are loaded only here

    if corpus.archive is None:
        for file, sha256 in corpus.sha256.items():
            url = corpus.url + quote(file) if corpus.url.endswith("/") else corpus.url
            download(url, folder / file, sha256)
        return
    archive = folder / f"{corpus.name}.archive"
    try:
        download(corpus.url, archive, corpus.archive.sha256)
        unpack(archive, corpus.archive.members, folder, corpus.sha256)
    finally:
        archive.unlink(missing_ok=True)


def _read(path, corpus):
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); get {corpus.name} again") from error
    expected, found = corpus.sha256[path.name.removesuffix(".gz")], hashlib.sha256(data).hexdigest()
    if found != expected:
        raise InputError(
            f"{path}: not the {corpus.name} that is expected (sha256 {found[:12]}..., not {expected[:12]}...);"
            f" get it again from {corpus.source}"
        )
    return data.decode(corpus.encoding).replace("\r\n", "\n")


def _how_to_get(corpus):
    where = os.environ.get("LM_KERAS_DATA") or "not set"
    text = f"{corpus.name} is not on this machine (LM_KERAS_DATA is {where}); "
    if corpus.url:
        return text + f"run lm-keras data fetch {corpus.name}, or set LM_KERAS_DATA to a folder that holds it"
    file = next(iter(corpus.sha256))
    return text + (
        f"it cannot be fetched ({corpus.licence}): get it from {corpus.source} and put it at"
        f" $LM_KERAS_DATA/{corpus.folder}/{file}"
    )
