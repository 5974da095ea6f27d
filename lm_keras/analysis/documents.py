"""A vector for each document: doc2vec by gensim."""

import functools
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from lm_keras.analysis.terms import term_lists
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import write_tensors
from lm_keras.utils.checks import check_choice, check_seed, check_sizes
from lm_keras.utils.saved_kinds import read_kind

SAMPLE = 1e-3  # words more frequent than this share are skipped at times (Mikolov et al. 2013, section 2.3)
_KIND = "doc2vec"


class Neighbor(NamedTuple):
    """A training document by its place, and the cosine of its vector with the one asked for."""

    index: int
    cosine: float


class DocumentVectors:
    """Paragraph vectors (Le & Mikolov 2014), trained by `train_doc2vec`.

    Args:
        vectors: float32 [N, D], those of the training documents.
        words: The V words.
        counts: int64 [V], how often each occurs.
        output: float32 [V, D], what predicts a word from a vector.
        inputs: float32 [V, D], the word vectors, which only method "dm" has.
        settings: Those of the training.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        words: Iterable[str],
        counts: np.ndarray,
        output: np.ndarray,
        inputs: np.ndarray | None = None,
        *,
        settings: dict,
    ) -> None:
        self.vectors, self.words, self.counts = vectors, list(words), counts
        self.output, self.inputs, self.settings = output, inputs, settings

    def infer(self, texts: Iterable[str | Sequence[str]], epochs: int | None = None) -> np.ndarray:
        """Returns vectors of new texts, float32 [N, D], by training each one alone.

        A row depends on its text alone and is the same at every call. A text of new words only stays near 0.

        Args:
            texts: Strings, or lists of words.
            epochs: How often each text is gone through. None: as in training.
        """
        epochs = self.settings["epochs"] if epochs is None else epochs
        check_sizes(epochs=epochs)
        lists = term_lists(texts, self.settings["language"], content=False)
        rows = [self._infer(words, epochs) for words in lists]
        return np.array(rows, "float32").reshape(len(rows), self.vectors.shape[1])

    def similar(self, document: str | Sequence[str] | int, n: int = 10) -> list[Neighbor]:
        """Returns the training documents nearest to a document, nearest first.

        Args:
            document: A text, or the place of a training document.
            n: How many.

        Returns:
            A list of `Neighbor(index, cosine)`.

        Raises:
            InputError: For a text without any word of the training, and a place that is none.
        """
        check_sizes(n=n)
        place = None
        if isinstance(document, str | list | tuple):
            words = term_lists([document], self.settings["language"], content=False)[0]
            if not set(words) & set(self.words):
                raise InputError("no word of the document was in the texts of training: nothing is known of it")
            query = self.infer([document])[0]
        else:
            check_sizes(0, document=document)
            if document >= len(self.vectors):
                raise InputError(f"there is no document {document}; places go from 0 to {len(self.vectors) - 1}")
            place, query = document, self.vectors[document]
        cosines = unit_rows(self.vectors) @ unit_rows(query[None])[0]
        order = [i for i in np.argsort(-cosines, kind="stable").tolist() if i != place]
        return [Neighbor(i, float(cosines[i])) for i in order[:n]]

    def save(self, path: str | os.PathLike) -> None:
        """Writes one safetensors file, which `load` reads."""
        tensors = {"vectors": self.vectors, "counts": self.counts, "output": self.output}
        if self.inputs is not None:
            tensors["inputs"] = self.inputs
        write_tensors(path, tensors, {"kind": _KIND, "words": self.words, "settings": self.settings})

    @classmethod
    def load(cls, path: str | os.PathLike) -> "DocumentVectors":
        """Reads the file that `save` wrote; InputError for another file."""
        tensors, facts = read_kind(path, "document vectors", "DocumentVectors.load")
        try:
            words, vectors, output, settings = (
                facts["words"],
                tensors["vectors"],
                tensors["output"],
                facts["settings"],
            )
            missing = {"method", "epochs", "window", "negative", "language", "seed"} - settings.keys()
            if facts["kind"] != _KIND or missing or output.shape != (len(words), vectors.shape[1]):
                raise KeyError("kind")
            counts, inputs = tensors["counts"], tensors["inputs"] if settings["method"] == "dm" else None
            if len(counts) != len(words) or (inputs is not None and inputs.shape != output.shape):
                raise KeyError("counts")
            return cls(vectors, words, counts, output, inputs, settings=settings)
        except (KeyError, TypeError, AttributeError):
            raise InputError(
                f"{path} holds no document vectors; give a file that DocumentVectors.save wrote"
            ) from None

    def _infer(self, words, epochs):
        # gensim's infer_vector starts from the hash of the text, another one in every process, and goes on with
        # random numbers of the calls before; this is the same loop from a seed.
        from gensim.models import doc2vec

        model, settings = self._model, self.settings
        step = doc2vec.train_document_dm if settings["method"] == "dm" else doc2vec.train_document_dbow
        model.random = np.random.RandomState(settings["seed"])
        size = self.vectors.shape[1]
        vector = ((np.random.RandomState(settings["seed"]).rand(1, size) - 0.5) / size).astype("float32")
        free = np.ones(1, "float32")
        for rate in np.linspace(model.alpha, model.min_alpha, epochs).tolist():
            step(model, words, [0], rate, learn_words=False, learn_hidden=False, doctag_vectors=vector,
                 doctags_lockf=free)  # fmt: skip
        return vector[0]

    @functools.cached_property
    def _model(self):
        model = _gensim(self.vectors.shape[1], **self.settings)
        model.build_vocab_from_freq(dict(zip(self.words, self.counts.tolist(), strict=True)))
        model.syn1neg[...] = self.output
        if self.inputs is not None:
            model.wv.vectors[...] = self.inputs
        return model


def train_doc2vec(
    texts: Iterable[str | Sequence[str]],
    embedding_dim: int = 100,
    *,
    language: str | None = "en",
    method: str = "dbow",
    epochs: int = 40,
    window: int = 5,
    min_count: int = 2,
    negative: int = 5,
    seed: int = 0,
    progress: bool = True,
) -> DocumentVectors:
    """Trains a vector for each document, with gensim's doc2vec (Le & Mikolov 2014).

    Words are lower case, stop words stay. What follows the 10,000th word of a text is left out. One thread, so that
    the same seed gives the same vectors. Short or few texts need more `epochs`, about 100: as long as unrelated texts
    have a cosine near 1, the vectors have not come apart yet.

    Args:
        texts: Strings, or lists of words.
        embedding_dim: D, numbers of a vector.
        language: Of texts that are strings.
        method: "dbow": the vector predicts the words of its document (section 2.3 of the paper). "dm": it does so
            together with the words before and after (2.2).
        epochs: How often the texts are gone through.
        window: Words on each side, of "dm".
        min_count: Words that occur less often are left out.
        negative: Noise words for each true one.
        seed: Of the random numbers.
        progress: Whether a progress bar is shown.

    Returns:
        `DocumentVectors`.

    Raises:
        InputError: Where no word occurs often enough.
    """
    check_choice("method", method, ("dbow", "dm"))
    check_sizes(embedding_dim=embedding_dim, epochs=epochs, window=window, min_count=min_count, negative=negative)
    check_seed(seed)
    from gensim.models.doc2vec import TaggedDocument

    settings = {"method": method, "epochs": epochs, "window": window, "negative": negative}
    settings |= {"language": language, "seed": seed}
    documents = [TaggedDocument(words, [i]) for i, words in enumerate(term_lists(texts, language, content=False))]
    model = _gensim(embedding_dim, min_count=min_count, **settings)
    if documents:
        model.build_vocab(documents)
    if not documents or not len(model.wv):
        raise InputError(f"no word occurs {min_count} times in the {len(documents)} texts; give more, or min_count=1")
    with tqdm(total=epochs, desc="doc2vec", unit=" epochs", disable=not progress, leave=False) as bar:
        model.train(documents, total_examples=len(documents), epochs=epochs, callbacks=[_each_epoch(bar)])
    words = model.wv.index_to_key
    counts = np.array([model.wv.get_vecattr(word, "count") for word in words], "int64")
    inputs = model.wv.vectors if method == "dm" else None
    return DocumentVectors(model.dv.vectors, words, counts, model.syn1neg, inputs, settings=settings)


def load_doc2vec(path: str | os.PathLike) -> DocumentVectors:
    """Returns the `DocumentVectors` that their `save` wrote.

    Raises:
        InputError: For another file.
    """
    return DocumentVectors.load(path)


def _each_epoch(bar):
    from gensim.models.callbacks import CallbackAny2Vec

    callback = CallbackAny2Vec()
    callback.on_epoch_end = lambda model: bar.update()
    return callback


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Each row divided by its length; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _gensim(size, *, method, epochs, window, negative, seed, language, min_count=1):
    from gensim.models import Doc2Vec

    # Not sorted: the rows of the output matrix stay in the order of the words when it is built again from a file.
    settings = {"epochs": epochs, "window": window, "negative": negative, "seed": seed, "min_count": min_count}
    return Doc2Vec(vector_size=size, dm=int(method == "dm"), sample=SAMPLE, workers=1, sorted_vocab=0, **settings)
