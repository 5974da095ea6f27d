"""Byte-level BPE inside a TensorFlow graph: the same ids as the `tokenizers` library gives.

A piece of text that BPE turns into one token is looked up as it is. Only the others are merged, each different one of
a batch once.
"""

import numpy as np

from lm_keras.text import bpe_merges, bpe_pipeline, codepoints
from lm_keras.text.bpe_pretokens import tf_pretokens


class Graph:
    """The lookup tables of one tokenizer, made outside of any function that is being traced, and what uses them.

    words: a whole piece to its id; pairs: what merging two ids gives; surfaces: id to bytes.
    """

    def __init__(self, tokens, merges, unk_token, alone, surfaces, pattern, lowercase):
        """`merges` [("a", "b"), ...]; `alone`: the ids that BPE gives for their own text; `surfaces` [V] bytes."""
        import tensorflow as tf

        ids = {token: i for i, token in enumerate(tokens)}
        pairs, results, self.any_marked = bpe_merges.merge_table(merges, ids)
        self.byte_ids = [ids.get(letter, ids.get(unk_token, -1)) for letter in bpe_pipeline.alphabet()]
        self.longest, self.joints = max(map(len, surfaces)), bpe_merges.joints(surfaces)
        self.pattern, self.lowercase, self._compiled = pattern, lowercase, None
        texts = np.array([*surfaces, b""], object)  # no piece is empty, but a table may not be
        with tf.init_scope():
            self.words = _table(texts[[*alone, -1]], [*alone, -1], tf.string, tf.int64, -1)
            self.pairs = _table(pairs, results, tf.int64, tf.int64, np.iinfo(np.int64).max)
            self.surfaces = _table(np.arange(len(surfaces)), texts[:-1], tf.int64, tf.string, "")

    def encode(self, strings):
        """Returns the ids of strings [B], ragged int32 [B, (n)]."""
        import tensorflow as tf

        strings = tf.convert_to_tensor(strings, tf.string)
        if not tf.executing_eagerly():
            return tf.autograph.experimental.do_not_convert(self._encode)(strings)
        if self._compiled is None:  # one by one, the many small operations of a round take 20 times as long
            spec = [tf.TensorSpec([None], tf.string)]
            self._compiled = tf.function(self._encode, input_signature=spec, autograph=False)
        return self._compiled(strings)

    def _encode(self, strings):
        import tensorflow as tf

        with tf.device("/CPU:0"):  # strings and tables are there; a GPU would only copy to and fro
            codes = tf.strings.unicode_decode(strings, "UTF-8", errors="replace")
            if self.lowercase:
                codes = tf.ragged.map_flat_values(codepoints.tf_lower_codes, codes)
            words, splits = tf_pretokens(codes, self.pattern)
            ids = self._ids(words)
            return tf.RaggedTensor.from_row_splits(ids.flat_values, tf.gather(ids.row_splits, splits), validate=False)

    def _ids(self, words):
        """The ids of words, strings [T], as ragged int32 [T, (n)]."""
        import tensorflow as tf

        ids = tf.cast(self.words.lookup(words), tf.int32)
        longer = tf.where(ids < 0)[:, 0]
        different, index = tf.unique(tf.gather(words, longer))
        pieces = bpe_merges.tf_merge(different, self.byte_ids, self.joints, self.pairs, self.any_marked, self.longest)
        # The parts are the ids of one-token words, each alone, then the merged words'; `part` says whose is which.
        single = tf.boolean_mask(ids, ids >= 0)
        lengths = tf.concat([tf.ones_like(single), tf.cast(pieces.row_lengths(), tf.int32)], axis=0)
        parts = tf.concat([single, pieces.flat_values], axis=0)
        parts = tf.RaggedTensor.from_row_lengths(parts, lengths, validate=False)
        part = tf.cumsum(tf.cast(ids >= 0, tf.int32)) - 1
        return tf.gather(parts, tf.tensor_scatter_nd_update(part, longer[:, None], tf.size(single) + index))

    def decode(self, ids):
        """Returns the texts [B] of ragged ids; what is not in the vocabulary is nothing."""
        import tensorflow as tf

        pieces = ids.with_flat_values(self.surfaces.lookup(tf.cast(ids.flat_values, tf.int64)))
        return codepoints.tf_valid(tf.strings.reduce_join(pieces, axis=1))


def _table(keys, values, key_type, value_type, default):
    import tensorflow as tf

    content = tf.lookup.KeyValueTensorInitializer(keys, values, key_type, value_type)
    return tf.lookup.StaticHashTable(content, default)
