"""The decoding loop: prompts in, one token a row and step out, over any model's step view."""

import tensorflow as tf

from lm_keras.generation.context import any_batch, read, sliding
from lm_keras.generation.sampling import penalize, sample
from lm_keras.layers.cache import written_in_place


def pad_left(rows):
    """Lists of ids -> int32 [B, T], each row ending in the last column, -1 ("no token") before it."""
    width = max((len(row) for row in rows), default=1)
    return tf.constant([[-1] * (width - len(row)) + list(row) for row in rows], tf.int32, [len(rows), width])


def prefill(model, ids, max_new_tokens):
    """State after all but the last token of ids int32 [B, T] (left-padded with -1), with room for what follows.

    What of a long prompt is still known to a model of limited context: see `generation.context`.
    """
    walk = sliding(model)
    state = walk.initial_state(tf.shape(ids)[0], tf.shape(ids)[1] + max_new_tokens)
    return walk.read(ids[:, :-1], state) if walk is not model else read(model, ids[:, :-1], state)


def encode_source(model, ids, max_new_tokens):
    """The state of a `Seq2SeqLM` before the begin mark, for sources int32 [B, S] (-1: no token)."""
    ids = tf.pad(ids, [[0, 0], [0, tf.cast(tf.shape(ids)[1] == 0, tf.int32)]], constant_values=-1)
    return model.encode(ids, max_new_tokens + 1)


def decode(
    model, token, state, remaining, num_steps, *, banned, eos_id, choose, position=0, seen=None,
    min_new_tokens=0, num_top=0,
):  # fmt: skip
    """Up to `num_steps` new tokens a row, after `token` int32 [B] in `state`.

    `remaining` int32 [B] is how many tokens each row may still have; a row ends there or at an `eos_id` (one or
    several), which is not chosen before place `min_new_tokens`. `banned` [V] is added to the logits (-inf: never
    chosen); `choose(logits, position, token, seen)` gives int32 [B]; `seen` bool [B, V], when given, gets each
    new token. Returns tokens int32 [B, n] (-1 after a row's end), their log-probabilities [B, n] under the model
    itself, where the loop stands (token, state, remaining, seen), and the `num_top` likeliest words at each place:
    (log-probabilities, ids), both [B, n, num_top].
    """
    model = sliding(model)
    state = [tf.raw_ops.DeepCopy(x=part) for part in state]  # the caller's stays as it is
    ends, track = end_marks(eos_id, model.vocab_size), seen is not None
    seen = seen if track else tf.zeros([tf.shape(token)[0], 0], tf.bool)

    def body(i, token, remaining, seen, *loop):
        arrays, state = loop[:4], loop[4:]
        with written_in_place():
            new, log_prob, log_p, remaining, state = advance(
                model, token, state, remaining, banned, ends, position + i < min_new_tokens,
                lambda logits: choose(logits, position + i, token, seen),
            )  # fmt: skip
        if track:
            seen |= tf.one_hot(new, tf.shape(log_p)[-1], True, False)
        made = (new, log_prob, *tf.math.top_k(log_p, num_top))
        arrays = [array.write(i + 1, entry) for array, entry in zip(arrays, made, strict=True)]
        return i + 1, new, remaining, seen, *arrays, *state

    row, several = tf.zeros_like(token), tf.zeros([tf.shape(token)[0], num_top], tf.int32)
    arrays = [
        # Entry 0 is cut off again: an array without any entry could not be stacked.
        tf.TensorArray(t, 1, dynamic_size=True, element_shape=[None] * len(x.shape)).write(0, tf.cast(x, t))
        for x, t in ((row, tf.int32), (row, tf.float32), (several, tf.float32), (several, tf.int32))
    ]
    rows, scalar = tf.TensorShape([None]), tf.TensorShape([])
    _, token, remaining, seen, *after = tf.while_loop(
        lambda i, token, remaining, *_: (i < num_steps) & tf.reduce_any(remaining > 0),
        body,
        [tf.constant(0), token, remaining, seen, *arrays, *state],
        shape_invariants=[scalar, rows, rows, tf.TensorShape([None, None]), *[scalar] * 4, *any_batch(state)],
    )
    tokens, log_probs, *top = (array.stack()[1:] for array in after[:4])
    where = token, after[4:], remaining, seen
    return tf.transpose(tokens), tf.transpose(log_probs), where, [tf.transpose(part, [1, 0, 2]) for part in top]


def advance(model, token, state, remaining, banned, ends, early, choose):
    """One token more for each row that may still have one, after `token` [B] in `state`.

    `ends` [V] marks the words that end a row, which are not chosen while it is `early`; `choose(logits [B, V])` gives
    [B]. Returns the new tokens [B] (-1: none), their log-probabilities [B], those of all words [B, V], `remaining`
    and the state after `token`.
    """
    alive = remaining > 0
    logits, state = model.step(tf.where(alive, token, -1)[:, None], list(state))
    logits = tf.cast(logits[:, -1], tf.float32)  # (B, V)
    new = choose(tf.where(ends & early, -float("inf"), logits + banned))
    log_p = tf.nn.log_softmax(logits)
    log_prob, ended = tf.gather(log_p, new, batch_dims=1), tf.gather(ends, new)
    new = tf.where(alive & ~ended, new, -1)
    made = new >= 0
    return new, tf.where(made, log_prob, 0.0), log_p, tf.where(made, remaining - 1, 0), state


def end_marks(eos_id, vocab_size):
    """Which words end a text, bool [V]; `eos_id` is one id or several."""
    return tf.reduce_any(tf.one_hot(tf.reshape(eos_id, [-1]), vocab_size, True, False), 0)


def chooser(temperature, top_k, top_p, seed, penalty=None, min_p=None):
    """The `choose` function of `decode` for options [B] each; `temperature=None` is greedy for all rows."""

    def choose(logits, position, token, seen):
        if penalty is not None:
            logits = penalize(logits, seen, penalty)
        if temperature is None:
            return tf.argmax(logits, -1, tf.int32)
        return sample(logits, temperature, top_k, top_p, seed, position, token, min_p)

    return choose
