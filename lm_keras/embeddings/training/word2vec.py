"""Word vectors of your own texts: word2vec and fastText, trained by gensim."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

from lm_keras.embeddings.training.encoded_sentences import EncodedSentences
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_choice, check_number, check_positive, check_seed, check_sizes

if TYPE_CHECKING:
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import FastTextKeyedVectors

ALGORITHMS = ("skip-gram", "cbow")


def train_word2vec(
    sentences: Iterable[str | Sequence[str]],
    embedding_dim: int = 100,
    window: int = 5,
    min_count: int = 5,
    algorithm: str = "skip-gram",
    negatives: int = 5,
    epochs: int = 5,
    seed: int = 0,
    progress: bool = True,
    *,
    language: str | None = "en",
    learning_rate: float = 0.025,
    subsample: float | None = 1e-3,
    workers: int = 1,
) -> "KeyedVectors":
    """Trains word2vec with negative sampling, by gensim (Mikolov et al. 2013).

    The learning rate falls linearly. The same seed gives the same vectors with one worker, not with more.

    Args:
        sentences: An iterable, read once, of lists of words, or of strings, which `lk.text.words` splits. For a file:
            `lk.data.read_texts(path)`.
        embedding_dim: Numbers of a vector.
        window: Words on each side that a word is trained with.
        min_count: Words that occur less often are left out.
        algorithm: "skip-gram" predicts the words around a word, "cbow" the word from those around it.
        negatives: Noise words for each true one.
        epochs: How often the sentences are gone through.
        seed: Of the random numbers.
        progress: Whether a progress bar is shown.
        language: Of sentences that are strings.
        learning_rate: At the start.
        subsample: Words whose share of the text is larger are dropped at random. None: none.
        workers: Threads.

    Returns:
        gensim's `KeyedVectors`, the most frequent word first.

    Raises:
        InputError: For empty input, one string or path, no word that is frequent enough, and impossible sizes.
    """
    from gensim.models import Word2Vec

    told = _arguments(embedding_dim, window, algorithm, negatives, seed, learning_rate, subsample, workers)
    return _trained(Word2Vec, told, sentences, language, min_count, epochs, progress)


def train_fasttext(
    sentences: Iterable[str | Sequence[str]],
    embedding_dim: int = 100,
    window: int = 5,
    min_count: int = 5,
    min_n: int = 3,
    max_n: int = 6,
    algorithm: str = "skip-gram",
    negatives: int = 5,
    epochs: int = 5,
    seed: int = 0,
    progress: bool = True,
    *,
    buckets: int = 200_000,
    language: str | None = "en",
    learning_rate: float = 0.025,
    subsample: float | None = 1e-3,
    workers: int = 1,
) -> "FastTextKeyedVectors":
    """Trains fastText, by gensim: words and their n-grams of characters (Bojanowski et al. 2017).

    A word's vector is the mean of its own and those of its n-grams, with marks at both ends of the word, so every
    word has one. To keep the n-grams: `save_vectors(vectors, "my.bin", format="fasttext")`.

    Args:
        sentences: As for `train_word2vec`, as are all arguments that are not named here.
        embedding_dim: Numbers of a vector.
        window: Words on each side that a word is trained with.
        min_count: Words that occur less often are left out.
        min_n: Characters of the shortest n-grams.
        max_n: Characters of the longest n-grams.
        algorithm: "skip-gram" or "cbow".
        negatives: Noise words for each true one.
        epochs: How often the sentences are gone through.
        seed: Of the random numbers.
        progress: Whether a progress bar is shown.
        buckets: Vectors that the n-grams share by a hash. The paper has 2,000,000 of them, 800 MB at 100 dimensions;
            a text of some millions of words has fewer n-grams than 200,000.
        language: Of sentences that are strings.
        learning_rate: At the start.
        subsample: Words whose share of the text is larger are dropped at random. None: none.
        workers: Threads.

    Returns:
        gensim's `FastTextKeyedVectors`, the most frequent word first.

    Raises:
        InputError: As `train_word2vec` does.
    """
    from gensim.models import FastText

    check_sizes(min_n=min_n, max_n=max_n, buckets=buckets)
    if min_n > max_n:
        raise InputError(f"min_n is {min_n} and max_n {max_n}; min_n must not be above max_n")
    told = _arguments(embedding_dim, window, algorithm, negatives, seed, learning_rate, subsample, workers)
    told |= {"min_n": min_n, "max_n": max_n, "bucket": buckets}
    return _trained(FastText, told, sentences, language, min_count, epochs, progress)


def _arguments(embedding_dim, window, algorithm, negatives, seed, learning_rate, subsample, workers):
    """What gensim calls them. Its `hashfxn` is not used any more: where vectors start depends on the seed alone."""
    check_choice("algorithm", algorithm, ALGORITHMS)
    check_sizes(embedding_dim=embedding_dim, window=window, negatives=negatives, workers=workers)
    check_seed(seed)
    check_positive(learning_rate=learning_rate)
    if subsample is not None:
        check_number("subsample", subsample, above=0, below=1)
    return {
        "vector_size": embedding_dim,
        "window": window,
        "sg": int(algorithm == "skip-gram"),
        "negative": negatives,
        "seed": seed,
        "alpha": learning_rate,
        "min_alpha": min(1e-4, learning_rate),
        "sample": subsample or 0,
        "workers": workers,
    }


def _trained(make, told, sentences, language, min_count, epochs, progress):
    check_sizes(min_count=min_count, epochs=epochs)
    corpus = EncodedSentences(sentences, language, progress)
    corpus.frequent(min_count)  # or an InputError
    model = make(min_count=min_count, **told)
    counts = dict(zip(corpus.words, corpus.counts.tolist(), strict=True))
    model.build_vocab_from_freq(counts)
    with tqdm(
        total=epochs * corpus.num_words, desc=make.__name__, unit=" words", unit_scale=True, disable=not progress
    ) as bar:
        watched = _Watched(corpus, bar)
        model.train(watched, total_words=corpus.num_words, epochs=epochs)
    if watched.error:
        raise watched.error
    return model.wv


class _Watched:
    """The sentences, as often as they are asked for; tells the progress bar."""

    def __init__(self, corpus, bar):
        self.corpus, self.bar, self.error = corpus, bar, None

    def __iter__(self):
        try:
            for words in self.corpus:
                yield words
                self.bar.update(len(words))
        except Exception as error:  # noqa: BLE001 gensim reads in a thread: should that die, the others wait for ever
            self.error = error
