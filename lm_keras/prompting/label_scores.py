"""Log-probabilities of label words: after a prompt, by a causal model; in the place of `[MASK]`, by a masked one."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.answers import score_answers
from lm_keras.generation.loop import pad_left
from lm_keras.generation.prompt_cache import PromptCache, sample_of_weights
from lm_keras.generation.sharing import IDS, WORTH_SHARING, batch_size, begun_spec
from lm_keras.language_model import LanguageModel
from lm_keras.prompting.encoder import PromptEncoder
from lm_keras.prompting.template import Piece, Template
from lm_keras.prompting.verbalizer import LabelWords
from lm_keras.serving.export.signatures import align_right
from lm_keras.tasks.inputs import BERT, checked_limits, in_batches, ragged
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.functions import TracedFunctions, function

RAGGED = tf.RaggedTensorSpec([None, None], tf.int32)


class UntilTrained:
    """Values that hold as long as weights are what they are.

    Args:
        sample: A function that gives some of their numbers, such as `Writer.sample`.
    """

    def __init__(self, sample: Callable[[], bytes]):
        self._sample, self._sampled, self._values = sample, None, {}

    def get(self, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the value of a key, `make()` where there is none since the weights have changed."""
        sampled = self._sample()
        if sampled != self._sampled:
            self._values, self._sampled = {}, sampled
        if key not in self._values:
            self._values[key] = make()
        return self._values[key]

    def put(self, key: str, value: np.ndarray) -> None:
        """Keeps a value of the weights of now, which was computed elsewhere."""
        self.get(key, lambda: value)


def tokenizer_of(model: LanguageModel | keras.Model, tokenizer: Tokenizer | None) -> Tokenizer:
    """The tokenizer of a LanguageModel, or the one that a masked model was given or has."""
    if isinstance(model, LanguageModel):
        if tokenizer is not None:
            raise InputError("a LanguageModel brings its tokenizer; leave out tokenizer=")
        tokenizer = model.tokenizer
    elif isinstance(model, keras.Model):
        tokenizer = tokenizer or getattr(model, "tokenizer", None)
    else:
        what = type(model).__name__
        raise InputError(f"a PromptClassifier takes a LanguageModel or a masked keras.Model, not a {what}")
    if not isinstance(tokenizer, Tokenizer):
        raise InputError(f"{model!r:.60} has no tokenizer; give it, tokenizer=...")
    return tokenizer


def labels_of(
    model: LanguageModel | keras.Model,
    tokenizer: Tokenizer,
    template: Template,
    words: LabelWords,
    begin: bool | None = None,
) -> "CausalLabels | MaskedLabels":
    """The `CausalLabels` or `MaskedLabels` of a model; InputError where the template is for the other kind.

    Args:
        model: A LanguageModel, or a masked model.
        tokenizer: Its tokenizer.
        template: The template: with one `{mask}` for a masked model, without for a LanguageModel.
        words: The label words.
        begin: See `PromptClassifier`.
    """
    if not isinstance(model, LanguageModel):
        if template.num_masks != 1:
            raise InputError(
                f"{template!r} has {template.num_masks} {{mask}}; a masked model needs one, where it guesses the "
                "label word"
            )
        return MaskedLabels(model, tokenizer, words)
    if template.num_masks:
        raise InputError(
            f"{template!r} has a {{mask}}, which a causal model does not know: leave it out, the label word follows "
            "the template"
        )
    if begin is None:
        begin = not isinstance(template.pieces(tokenizer)[0], int)
    return CausalLabels(model, words, begin)


# === Causal models: label words after the prompt ===
class CausalLabels:
    """Label words after prompts, by a LanguageModel.

    Args:
        language_model: The LanguageModel; its prompt, if it has one, stands before all.
        words: The label words.
        begin: Whether the begin mark stands before the prompt.
    """

    def __init__(self, language_model: LanguageModel, words: LabelWords, begin: bool):
        self.writer, self.words = language_model.writer, words
        self.before = self.writer.before(begin)
        self.tokenizer, self.kept = language_model.tokenizer, UntilTrained(self.writer.sample)

    def encoder(self, pieces: Sequence[Piece]) -> PromptEncoder:
        """The `PromptEncoder` of a template, which leaves room for the longest label word."""
        window, longest = self.writer.model.context_length, self.words.ids.shape[1]
        pieces = [self.writer.prompt, *pieces] if self.writer.prompt else pieces
        most = None if window is None else window - longest
        encoder = PromptEncoder(self.tokenizer, pieces, before=self.before, most=most)
        if encoder.base == self.writer.num_learned:
            raise InputError("the template has no token before its field; give it a text, or leave begin=False out")
        return encoder

    def cache(self, encoder: PromptEncoder) -> PromptCache | None:
        """What all rows of an encoder begin with, read once; None where it is not worth it."""
        ids = encoder.beginning()
        if len(ids) < WORTH_SHARING and self.writer.learned is None:
            return None
        return self.writer.kept_cache(ids)

    def log_probs(self, rows: Sequence[Sequence[int]], cache: PromptCache | None) -> np.ndarray:
        """log p of each word after each row of ids, float32 [N, A]."""
        answers = tf.constant(self.words.ids)
        memory = {} if cache is None else {"begun": cache}
        spec = {"ids": IDS, "answers": IDS}
        if memory:
            spec["begun"] = begun_spec(self.writer)
        run = self.writer.traced(word_log_probs, spec)
        size = batch_size(self.writer, rows, self.words.ids.shape[1] * len(self.words.ids), copied=True)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found = np.zeros([len(rows), len(self.words.ids)], np.float32)
        for start in range(0, len(rows), size):
            chosen = order[start : start + size]
            found[chosen] = run(ids=pad_left([rows[i] for i in chosen]), answers=answers, **memory).numpy()
        return found

    def tf_log_probs(self, ids: tf.RaggedTensor, cache: PromptCache | None) -> tf.Tensor:
        """The same in a graph, of ragged ids [B, (n)]: float32 [B, A]."""
        return word_log_probs(self.writer.model, align_right(ids), tf.constant(self.words.ids), cache)

    def training_data(self, rows: Sequence[Sequence[int]], which: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """`(x, y)` int32 [N, T] of rows, each with the word `which` after it: y counts at the word alone."""
        words = [ids[:n] for ids, n in zip(self.words.ids.tolist(), self.words.lengths.tolist(), strict=True)]
        first = self.writer.num_learned  # these ids are no tokens: who trains a learned prompt puts it before all
        whole = [[*row[first:], *words[word]] for row, word in zip(rows, which, strict=True)]
        length = max(map(len, whole), default=2) - 1
        x, y = (np.full([len(whole), length], -1, np.int32) for _ in range(2))
        for i, (row, word) in enumerate(zip(whole, which, strict=True)):
            x[i, : len(row) - 1] = row[:-1]
            first = len(row) - len(words[word])
            y[i, first - 1 : len(row) - 1] = row[first:]
        return x, y


def word_log_probs(
    model: keras.Model, ids: tf.Tensor, answers: tf.Tensor, begun: PromptCache | None = None
) -> tf.Tensor:
    """log p of each of the answers int32 [A, L] after each of the rows ids [B, T], float32 [B, A]."""
    return tf.reduce_sum(score_answers(model, ids, answers, begun, fits=True), -1)


# === Masked models: label words in the place of [MASK] ===
class MaskedLabels:
    """Label words at `{mask}`, by a masked model such as `bert_pretrainer`.

    A word of k tokens takes k masks; its log-probability is the sum over them, each given all k masks (Schick &
    Schuetze 2021, "It's Not Just Size That Matters", without its order of filling).

    Args:
        model: A `keras.Model` of BERT's inputs and "masked_positions" -> {"masked_lm": logits [B, M, V]}.
        tokenizer: Its tokenizer.
        words: The label words.
    """

    def __init__(self, model: keras.Model, tokenizer: Tokenizer, words: LabelWords):
        given, made = getattr(model, "input", None), getattr(model, "output", None)
        names = set(given) if isinstance(given, dict) else set()
        if names != BERT | {"masked_positions"} or not isinstance(made, dict) or "masked_lm" not in made:
            raise InputError(
                f"{getattr(model, 'name', model)!r:.60} guesses no masked words; give a LanguageModel, or a model of "
                "lk.models.bert_pretrainer with tokenizer=..."
            )
        if not tokenizer.encodes_pairs or tokenizer.mask_id is None:
            raise InputError(
                f"a {type(tokenizer).__name__} has no [CLS], [SEP] and [MASK]; give a WordPieceTokenizer"
            )
        self.model, self.tokenizer, self.words = model, tokenizer, words
        self.most, self.kept = checked_limits(model, tokenizer), UntilTrained(lambda: sample_of_weights(model))
        self.num_masks = words.ids.shape[1]
        self._traced = TracedFunctions()

    def encoder(self, pieces: Sequence[Piece]) -> PromptEncoder:
        """The `PromptEncoder` of a template, with as many masks as the longest label word has tokens."""
        marks = {"before": [self.tokenizer.cls_id], "after": [self.tokenizer.sep_id]}
        return PromptEncoder(self.tokenizer, pieces, most=self.most, num_masks=self.num_masks, **marks)

    def cache(self, encoder: PromptEncoder) -> None:
        """Nothing is read once: what stands before a text sees it."""

    def log_probs(self, rows: Sequence[Sequence[int]], cache: None = None) -> np.ndarray:
        """log p of each word in each row of ids, float32 [N, A]."""
        run = self._traced.get(self.model, "log_probs", lambda: function(self.tf_log_probs, input_signature=[RAGGED]))
        found = in_batches(list(rows), lambda some: run(ragged(some)).numpy())
        return np.array(found, np.float32).reshape(len(rows), len(self.words.ids))

    def tf_log_probs(self, ids: tf.RaggedTensor, cache: None = None) -> tf.Tensor:
        """The same in a graph, of ragged ids [B, (n)]: float32 [B, A]."""
        made, order = [], []
        for length in sorted(set(self.words.lengths.tolist())):
            chosen = np.flatnonzero(self.words.lengths == length)
            made.append(self._of_length(ids, length, self.words.ids[chosen, :length]))
            order += chosen.tolist()
        return tf.gather(tf.concat(made, 1), np.argsort(order), axis=1)

    def _of_length(self, ids, length, words):
        """log p [B, A] of words int32 [A, length]."""
        inputs = self._inputs(self._with_masks(ids, length), length)
        log_p = tf.nn.log_softmax(tf.cast(self.model(inputs, training=False)["masked_lm"], tf.float32))  # (B, L, V)
        return tf.add_n([tf.gather(log_p[:, i], words[:, i], axis=1) for i in range(length)])

    def _with_masks(self, ids, length):
        """Ids with `length` masks in the place of the most."""
        masks = tf.cast(ids == self.tokenizer.mask_id, tf.int32)
        number = tf.ragged.map_flat_values(tf.cumsum, masks) - tf.cast(
            tf.expand_dims(tf.range(ids.nrows()) * self.num_masks, 1), tf.int32
        )  # of a mask in its row
        return tf.ragged.boolean_mask(ids, (masks == 0) | (number <= length))

    def _inputs(self, ids, length):
        dense = ids.to_tensor(self.tokenizer.pad_id)
        places = tf.where(dense == self.tokenizer.mask_id)[:, 1]
        mask = tf.range(tf.shape(dense)[1])[None] < tf.cast(ids.row_lengths(), tf.int32)[:, None]
        return {
            "token_ids": dense,
            "segment_ids": tf.zeros_like(dense),
            "padding_mask": tf.cast(mask, tf.int32),
            "masked_positions": tf.reshape(tf.cast(places, tf.int32), [-1, length]),
        }

    def training_data(self, rows: Sequence[Sequence[int]], which: Sequence[int]) -> tuple[dict, dict]:
        """`(x, y)` of rows, each with as many masks as the word `which` has tokens; see `bert_pretrainer`."""
        lengths, mask = self.words.lengths[list(which)], self.tokenizer.mask_id
        cut = []
        for row, length in zip(rows, lengths.tolist(), strict=True):
            first = row.index(mask)
            cut.append([*row[: first + length], *row[first + self.num_masks :]])
        shape = [len(cut), max(map(len, cut), default=1)]
        x = {"token_ids": np.full(shape, self.tokenizer.pad_id, np.int32), "segment_ids": np.zeros(shape, np.int32)}
        x["padding_mask"] = np.zeros(shape, np.int32)
        x["masked_positions"] = np.zeros([len(cut), self.num_masks], np.int32)
        for i, row in enumerate(cut):
            x["token_ids"][i, : len(row)], x["padding_mask"][i, : len(row)] = row, 1
            x["masked_positions"][i, : lengths[i]] = row.index(mask) + np.arange(lengths[i])
        return x, {"masked_lm": self.words.ids[list(which)]}
