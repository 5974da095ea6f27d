"""How well each entry of an index fits a question: an inverted index of words, or the cosines of vectors.

`Postings` keeps, word after word, the entries that have it (compressed sparse rows: the entries of word w are
`entries[splits[w]:splits[w + 1]]`), so a question costs what its own words have. `Cosines` keeps a vector an entry.
Nothing is trained: `lm_keras.tasks.retrieval_index` computes the weights.
"""

import math

import keras
import tensorflow as tf
from keras import layers

from lm_keras.utils.checks import check_choice, check_number, check_sizes

SCHEMES = ("tfidf", "bm25")


def idf(scheme: str, num_entries: int, count: float) -> float:
    """Returns what a word weighs that `count` of the entries have.

    "tfidf": log((1 + N) / (1 + n)) + 1, as scikit-learn's TfidfVectorizer. "bm25":
    log(1 + (N - n + 0.5) / (n + 0.5)), Robertson & Zaragoza's (2009) with 1 added inside of the logarithm, so that no
    word weighs less than 0.

    Args:
        scheme: "tfidf" or "bm25".
        num_entries: N.
        count: n; 0 of a word that is in no entry.
    """
    if scheme == "tfidf":
        return math.log((1 + num_entries) / (1 + count)) + 1
    return math.log1p((num_entries - count + 0.5) / (count + 0.5))


def mean_direction(states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the mean of states [B, T, D] where mask [B, T] is 1, scaled to length 1: float32 [B, D]."""
    total = tf.reduce_sum(tf.cast(states, tf.float32) * tf.cast(mask, tf.float32)[..., None], 1)
    return tf.math.l2_normalize(total, -1)  # of the mean it is the same


@keras.saving.register_keras_serializable("lm_keras")
class Postings(layers.Layer):
    """Words of questions, int32 [B, T], below 0: none -> the score of each entry, float32 [B, N].

    With c the number of times that word w is in the question:

    - "tfidf": sum over w of c idf(w) v(w, e), divided by the length of the vector of all c idf(w): the cosine of both
      vectors, as v(w, e) is the same of the entry, divided by its length.
    - "bm25": sum over w of c v(w, e), v(w, e) = idf(w) f (k1 + 1) / (f + k1 (1 - b + b L / mean L)) with f the number
      of times that w is in the entry and L the number of words of it (Robertson & Zaragoza 2009).
      It is divided by what an entry would have that is the question itself.

    A word that no entry has adds nothing above and its own weight below: so a question of other things has a low
    score. Words that are not known cannot be told apart: each is another one. Marks have the idf 0 and count nowhere.

    Weights: `splits` int32 [V + 1], `entries` int32 and `values` [P], `idf` [V].

    Args:
        num_entries: N.
        vocab_size: V.
        num_postings: P, the number of pairs of an entry and a different word of it.
        scheme: "tfidf" or "bm25".
        unknown_id: The id of words that are not known, or None.
        k1: Of bm25: how soon more of the same word counts no more.
        b: Of bm25: how much longer entries are held to be so by chance, from 0 to 1.
        mean_length: Of bm25: the mean number of words of an entry.

    Raises:
        InputError: For impossible numbers.
    """

    def __init__(
        self, num_entries, vocab_size, num_postings, *, scheme="tfidf", unknown_id=None, k1=1.2, b=0.75,
        mean_length=1.0, **kwargs,
    ):  # fmt: skip
        super().__init__(trainable=kwargs.pop("trainable", False), **kwargs)
        check_sizes(num_entries=num_entries, vocab_size=vocab_size, num_postings=num_postings)
        check_choice("scheme", scheme, SCHEMES)
        check_number("k1", k1, least=0), check_number("b", b, least=0, most=1)
        check_number("mean_length", mean_length, above=0)
        self.sizes = {"num_entries": num_entries, "vocab_size": vocab_size, "num_postings": num_postings}
        self.scheme, self.unknown_id = scheme, unknown_id
        self.k1, self.b, self.mean_length = k1, b, mean_length

    def build(self, ids_shape):
        n, v, p = self.sizes.values()
        self.splits, self.entries = (
            self.add_weight(shape=(size,), name=name, initializer="zeros", dtype="int32", trainable=False)
            for name, size in (("splits", v + 1), ("entries", p))
        )
        options = {"initializer": "zeros", "dtype": "float32", "trainable": False, "autocast": False}
        self.values = self.add_weight(shape=(p,), name="values", **options)
        self.idf = self.add_weight(shape=(v,), name="idf", **options)

    def call(self, ids):
        # A row after the other: the memory of a batch is that of its longest question.
        spec = tf.TensorSpec([self.sizes["num_entries"]], tf.float32)
        return tf.map_fn(self._scores, ids, fn_output_signature=spec)

    def _scores(self, ids):
        """Of one question, ids [T] -> [N]."""
        words, _, count = tf.unique_with_counts(tf.boolean_mask(ids, ids >= 0))
        count, weight = tf.cast(count, tf.float32), tf.gather(self.idf.value, words)
        new = idf(self.scheme, self.sizes["num_entries"], 0)
        unknown = tf.reduce_sum(tf.where(words == (-1 if self.unknown_id is None else self.unknown_id), count, 0.0))
        if self.scheme == "tfidf":
            asked = count * weight
            most = tf.sqrt(tf.reduce_sum(asked**2) + unknown * new**2)
        else:
            asked = count
            length = tf.reduce_sum(tf.where(weight > 0, count, 0.0)) + unknown
            more = self.k1 * (1 - self.b + self.b * length / self.mean_length)
            own = tf.reduce_sum(count * weight * count / (count + more)) + unknown * new / (1 + more)
            most = (self.k1 + 1) * own
        splits = self.splits.value
        places = tf.ragged.range(tf.gather(splits, words), tf.gather(splits, words + 1))
        values = tf.gather(self.values.value, places.flat_values) * tf.gather(asked, places.value_rowids())
        entries = tf.gather(self.entries.value, places.flat_values)
        found = tf.math.unsorted_segment_sum(values, entries, self.sizes["num_entries"])
        return tf.math.divide_no_nan(found, most)

    def is_whole(self) -> bool:
        """Returns whether the weights are an index: places in order, and entries that are there."""
        splits, entries = (weight.numpy() for weight in (self.splits, self.entries))
        n, _, p = self.sizes.values()
        in_order = splits[0] == 0 and splits[-1] == p and (splits[1:] >= splits[:-1]).all()
        return bool(in_order and (entries >= 0).all() and (entries < n).all())

    def compute_output_spec(self, ids):
        return keras.KerasTensor((ids.shape[0], self.sizes["num_entries"]), "float32")

    def get_config(self):
        names = ("scheme", "unknown_id", "k1", "b", "mean_length")
        return super().get_config() | self.sizes | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("lm_keras")
class Cosines(layers.Layer):
    """States [B, T, D] of an encoder and the mask [B, T] -> the cosine of their mean and each entry, float32 [B, N].

    Weights: `vectors` [N, D], each of length 1.

    Args:
        num_entries: N.
    """

    def __init__(self, num_entries, **kwargs):
        super().__init__(trainable=kwargs.pop("trainable", False), **kwargs)
        check_sizes(num_entries=num_entries)
        self.num_entries = num_entries

    def build(self, states_shape, mask_shape=None):
        options = {"initializer": "zeros", "dtype": "float32", "trainable": False, "autocast": False}
        self.vectors = self.add_weight(shape=(self.num_entries, states_shape[-1]), name="vectors", **options)

    def call(self, states, mask):
        return tf.matmul(mean_direction(states, mask), self.vectors.value, transpose_b=True)

    def compute_output_spec(self, states, mask):
        return keras.KerasTensor((states.shape[0], self.num_entries), "float32")

    def get_config(self):
        return super().get_config() | {"num_entries": self.num_entries}
