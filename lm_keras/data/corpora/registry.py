"""Named corpora: load a split, find or fetch the files."""

import contextlib
import difflib
import gzip
import hashlib
import io
import os
import tarfile
import zipfile
import zlib
from pathlib import Path
from urllib.parse import quote

from lm_keras.data.corpora.corpus import MAX_SIZE, part, unpack
from lm_keras.data.corpora.evaluation import EVALUATION
from lm_keras.data.corpora.labels import LABELLED, TAGGED
from lm_keras.data.corpora.moderated import MODERATED
from lm_keras.data.corpora.questions import QUESTIONS
from lm_keras.data.corpora.related import RELATED
from lm_keras.data.corpora.running_text import DUMP, TABLES, TEXTS, WORDS, embedded_file, wiki_paragraphs
from lm_keras.data.corpora.text_pairs import DIALOGUES, PAIRS, SUMMARIES
from lm_keras.errors import InputError, naming
from lm_keras.utils.atomic_files import locked


def available() -> list[str]:
    """Returns the names that `load` knows."""
    return list(CORPORA)


def splits(name: str) -> tuple[str, ...]:
    """Returns the splits that `load(name, split)` knows."""
    return _find(name).splits


def describe(name: str) -> str:
    """Returns one line on a corpus: what it is, its licence, its splits, and where it lies, if on this machine."""
    corpus = _find(name)
    place = locate(name) or ("to be fetched" if corpus.url else "not on this machine")
    return f"{name:<18} {corpus.description} [{corpus.licence}] splits: {', '.join(corpus.splits)}; {place}"


def classes(name: str) -> tuple[str, ...]:
    """Returns the classes of a labelled corpus, in the order of its labels; () where texts have no labels."""
    return _find(name).classes


def load(name: str, split: str = "train") -> list:
    """Returns the records of one split of a named corpus. Never uses the network.

    docs/corpora.md has a table of the sets: records, splits and their sizes, licence, source.

    Args:
        name: One of `available()`.
        split: One of `splits(name)`. They are the official ones where these exist; otherwise one record in ten is
            "validation", by `split_texts(records, 0.1, seed=0)`, but for copies of what is in "train", which go
            there, and "all" is both. A novel is cut at 90 %.

    Returns:
        A list of str for running text, else of named tuples: `Labelled(text, label)`, `TaggedSentence`,
        `QuestionAnswer`, `Translation`, `Dialogue`, `Summary`, `Relation`, `Hypotheses`, ... A label is a place in
        `classes(name)`.

    Raises:
        InputError: For an unknown name or split, a set that is not on this machine, and for glove-6b-50d and
            gpt2-bpe, which hold no texts: their path is `fetch(name)`.
    """
    corpus = _find(name)
    if corpus.read_by:
        raise InputError(f"{name} holds no texts; read it by {corpus.read_by}")
    if split not in corpus.splits:
        raise InputError(f"{name} has no split {split!r}; choose from {', '.join(corpus.splits)}")
    if corpus.embedded == DUMP:
        return part(wiki_paragraphs(cache_folder()), split)
    if corpus.embedded:
        return corpus.read(embedded_file(corpus.embedded).read_text("utf-8"), split)
    files = corpus.files[split]
    files = [files] if isinstance(files, str) else files
    if None in [_locate(corpus, file) for file in files]:
        raise InputError(_how_to_get(corpus))
    return corpus.read(*(_read(file, corpus) for file in files), split)


def fetch(name: str) -> Path:
    """Returns the path of a named corpus, after downloading it into the cache if need be.

    What is there is checked against its known sha256, as is a download, which shows a progress bar. Nothing is kept
    of a failure, but for the bytes before a cut or Ctrl-C, from which the next call goes on.

    Args:
        name: One of `available()`.

    Returns:
        The path of its file, or of the folder that holds all its files.

    Raises:
        InputError: Where there is no public address, the download fails, or a file is not the one expected.
    """
    corpus = _find(name)
    found = locate(name)
    if found is not None:
        for file in corpus.sha256:
            _content(file, corpus)
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


def locate(name: str) -> Path | None:
    """Returns where a named corpus lies on this machine: a file, a folder that holds all its files, or None.

    $LM_KERAS_DATA is looked into first, then the cache.
    """
    corpus = _find(name)
    if corpus.embedded:
        return embedded_file(corpus.embedded)
    for folder in _folders(corpus):
        paths = [_in(folder, file) for file in corpus.sha256]
        if None not in paths:
            return paths[0] if len(paths) == 1 else folder
    return None


def cache_folder() -> Path:
    """Returns the folder that downloads go to."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("lm_keras"))


def _find(name):
    if isinstance(name, str) and name in CORPORA:
        return CORPORA[name]
    near = difflib.get_close_matches(str(name).lower(), CORPORA, n=1)
    said = f"did you mean {near[0]!r}? Known" if near else "known"
    raise InputError(f"unknown corpus {name!r}; {said} are {', '.join(CORPORA)}")


def _folders(corpus):
    ours = os.environ.get("LM_KERAS_DATA")
    # Path.expanduser would raise where there is no such user.
    folders = [Path(os.path.expanduser(ours))] if ours else []  # noqa: PTH111
    return [folder / corpus.folder for folder in (*folders, cache_folder())]


def _in(folder, file):
    """The path of a file in a folder, as it is or packed once more, or None."""
    with contextlib.suppress(OSError):  # a folder that may not be looked into
        return next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)
    return None


def _locate(corpus, file):
    return next(filter(None, (_in(folder, file) for folder in _folders(corpus))), None)


def _download(corpus, folder):
    from lm_keras.data.corpora.download import download  # the libraries of the network are loaded only here

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


def _content(file, corpus):
    """The bytes of one file, after a look at its sha256."""
    path = _locate(corpus, file)
    data = bytearray()
    again = f"run lm-keras data fetch {corpus.name}" if corpus.url else f"get it again from {corpus.source}"
    try:
        with path.open("rb") if path.name == file else gzip.open(path) as stream:
            while len(data) <= MAX_SIZE and (block := stream.read(2**20)):
                data += block
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); delete it and {again}") from error
    if len(data) > MAX_SIZE:
        raise InputError(f"{path}: more than {MAX_SIZE:,} bytes, so not {corpus.name}; delete it and {again}")
    expected, found = corpus.sha256[file], hashlib.sha256(data).hexdigest()
    if found != expected:
        raise InputError(
            f"{path}: not the {corpus.name} that is expected (sha256 {found[:12]}..., not {expected[:12]}...);"
            f" delete it and {again}"
        )
    return data


def _read(file, corpus):
    """The text of one file; of an archive, a dict from the name of each member to its text."""
    data = _content(file, corpus)
    if ".tar." in file:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = [member for member in archive if member.isfile()]
            return {member.name: _decode(archive.extractfile(member).read(), corpus) for member in members}
    if file.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            return {member.filename: _decode(archive.read(member), corpus) for member in members}
    return _decode(gzip.decompress(data) if file.endswith(".gz") else data, corpus)


def _decode(data, corpus):
    # A few bytes of cmu-qa are no UTF-8; the function that reads it knows what they are.
    return data.decode(corpus.encoding, "surrogateescape").replace("\r\n", "\n")


def _how_to_get(corpus):
    where = os.environ.get("LM_KERAS_DATA") or "not set"
    missing = [f"{corpus.folder}/{file}" for file in corpus.sha256 if _locate(corpus, file) is None]
    half = f"; missing: {', '.join(missing)}" if len(missing) < len(corpus.sha256) else ""
    text = f"{corpus.name} is not on this machine (LM_KERAS_DATA is {where}{half}); "
    if corpus.url:
        return text + f"run lm-keras data fetch {corpus.name}, or set LM_KERAS_DATA to a folder that holds it"
    return text + (
        f"it cannot be fetched ({corpus.why or corpus.licence}): get it from {corpus.source} and put"
        f" {', '.join(missing)} into $LM_KERAS_DATA"
    )


# === The table of the named corpora ===

KINDS = (
    *(TEXTS, LABELLED, MODERATED, TAGGED, RELATED, QUESTIONS, DIALOGUES, SUMMARIES, PAIRS, EVALUATION, WORDS),
    TABLES,
)
CORPORA = {corpus.name: corpus for kind in KINDS for corpus in kind}
