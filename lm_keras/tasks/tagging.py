"""Names, places and other spans in a text: a class for each word."""

import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.serving.served import Served, example_texts, signature, utf8
from lm_keras.tasks.model_inputs import ModelInputs, checked_classes, in_batches
from lm_keras.tasks.spans import as_json, spans, tf_spans
from lm_keras.tasks.windows import WORDS, by_pieces, tf_words_of, tokens_of, windows, words_of
from lm_keras.text.codepoints import valid
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_texts
from lm_keras.utils.traced import function


@register_text_model
class TextTagger(TextModel):
    """A tagger, keras.Model of tokens -> logits [B, T, C] (`token_classifier`), its tokenizer and its tags.

    `classes`: the tags in the order of the labels, such as "O", "B-PER", "I-PER". A text is cut into words
    (`text.word_places`), a word's tag is that of its first token, and words of one label that follow each other are a
    span (`tasks.spans`). A text longer than `max_length` tokens (None: the encoder's) is read in windows that overlap
    by half; a word is told from the window that has it in its middle. `lk.export` writes the signature `tag`.
    """

    def __init__(self, model, tokenizer, classes, *, max_length=None):
        if not tokenizer.cuts_at_words:  # of others, the tokens of a text are not those of its words
            kind = type(tokenizer).__name__
            raise InputError(
                f"a tagger needs a tokenizer that cuts at words; give a WordPieceTokenizer, not a {kind}"
            )
        self.tokenizer, self.classes = tokenizer, checked_classes(model, 3, classes)
        super().__init__(model, {"tokenizer": tokenizer}, {"classes": self.classes, "max_length": max_length})
        self._inputs = ModelInputs(model, tokenizer, max_length)
        self._compiled = function(self._tags, input_signature=[WORDS])

    def tag(self, texts):
        """The Spans of each text, a list of lists."""

        def run(some):
            words, places = words_of(self.tokenizer, some)
            tags, scores = (part.numpy().tolist() for part in self._compiled(words))
            found, at = [], 0
            for text, row in zip(some, places, strict=True):
                mine = slice(at, at + len(row))
                names = [self.classes[i] if i >= 0 else "O" for i in tags[mine]]
                found.append(spans(text, row, names, scores[mine]))
                at += len(row)
            return found

        return in_batches([valid(text) for text in check_texts(texts)], run)

    def _tags(self, words):
        """The tag of each word, int32 [W] (-1: it has no token), and its probability."""
        ids = words.of_texts()
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        room, marks = self._inputs.room(), int(self._inputs.bert)
        found = windows(lengths, tf.fill(tf.shape(lengths), room))

        def probabilities(some):
            """Of all tokens of some windows, one after the other."""
            places = tokens_of(ids, some)
            inputs = self._inputs(places.with_flat_values(tf.gather(ids.flat_values, places.flat_values)))
            logits = tf.cast(self.model(inputs, training=False), tf.float32)[:, marks:]
            real = tf.sequence_mask(places.row_lengths(), tf.shape(logits)[1])
            return (tf.nn.softmax(tf.boolean_mask(logits, real)),)

        (p,) = by_pieces(probabilities, found, [tf.TensorSpec([None, len(self.classes)], tf.float32)])

        # Of each token, the place in `p` of the window that has it in its middle.
        row = tf.cast(ids.value_rowids(), tf.int32)
        place = tf.range(tf.size(row)) - tf.cast(tf.gather(ids.row_splits, row), tf.int32)  # in its text
        middle = (place - room // 4) // max(room // 2, 1)
        window = tf.gather(found.first, row) + tf.clip_by_value(middle, 0, tf.gather(found.count, row) - 1)
        before = tf.cumsum(found.end - found.start, exclusive=True)  # tokens of the windows before
        place += tf.gather(before - found.start, window)

        has = words.tokens.row_lengths() > 0
        first = tf.where(has, words.tokens.row_splits[:-1], 0)
        p = tf.gather(tf.pad(p, [[0, 1], [0, 0]]), tf.gather(tf.concat([place, [0]], 0), first))  # never empty
        return tf.where(has, tf.argmax(p, -1, tf.int32), -1), tf.reduce_max(p, -1)

    def signatures(self) -> Served:
        """What `export` writes: `tag`, text -> spans, the JSON text of a list of Spans."""

        def tag(text):
            text = utf8(text)
            words, starts, ends = tf_words_of(self.tokenizer, text)
            tags, scores = self._tags(words)
            return {"spans": tf_spans(text, self.classes, words.splits, starts, ends, tags, scores)}

        def answer(name, inputs):
            return {"spans": [as_json(found) for found in self.tag(inputs["text"])]}

        return Served(
            signatures={"tag": signature(tag, ("text", tf.string))},
            examples={"tag": {"text": example_texts(self.tokenizer)}},
            answer=answer,
            facts={"classes": self.classes, "max_length": self._inputs.max_length},
        )
