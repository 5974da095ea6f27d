"""`PromptEncoder`: a template, of one tokenizer, as token ids: the same in Python and in a graph."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lm_keras.errors import InputError
from lm_keras.generation.prompt_cache import num_settled
from lm_keras.prompting.template import Field, MaskPlace, Piece, Stripped, check_fields
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import SPACES, valid

if TYPE_CHECKING:
    import tensorflow as tf


class PromptEncoder:
    """Fills the fields of a template and encodes it.

    Text and fields between two special tokens are joined and encoded as one string. Where the result is longer than
    `most`, the fields are cut, never the template: each to the beginning of its own tokens, all by the same share,
    until the whole is short enough.

    Args:
        tokenizer: The tokenizer.
        pieces: What `Template.pieces` gives.
        before: Ids before all.
        after: Ids after all.
        most: The most ids; None: no limit.
        num_masks: How many `[MASK]` stand at `{mask}`.

    Attributes:
        fields: The names of the fields, in the order of their first places.
        base: The number of ids where all fields are empty.

    Raises:
        InputError: The template alone is longer than `most`, or `{mask}` has no mask.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        pieces: Sequence[Piece],
        *,
        before: Sequence[int] = (),
        after: Sequence[int] = (),
        most: int | None = None,
        num_masks: int = 1,
    ):
        self.tokenizer, self.most, self._encode = tokenizer, most, None
        if any(isinstance(piece, MaskPlace) for piece in pieces) and tokenizer.mask_id is None:
            kind = type(tokenizer).__name__
            raise InputError(
                f"the template has a {{mask}} and a {kind} no mask; leave it out, or give a masked model"
            )
        masks = [tokenizer.mask_id] * num_masks
        pieces = [one for piece in pieces for one in (masks if isinstance(piece, MaskPlace) else [piece])]
        self._pieces = pieces
        self.fields = tuple(dict.fromkeys(name for piece in pieces for name in _fields_of(piece)))
        self._parts = _parts(tokenizer, [*before, *pieces, *after])
        self.base = len(self._joined(dict.fromkeys(self.fields, "")))
        if most is not None and self.base > most:
            raise InputError(
                f"the template, its examples and the longest label word take {self.base} tokens where there is room "
                f"for {most}; give a shorter template, fewer examples or a model of longer context"
            )

    # === Text ===
    def render(self, /, **fields: str) -> str:
        """Returns the text, special tokens by their names; see `Template.render`."""
        check_fields(self.fields, fields)
        fields = {name: valid(text) for name, text in fields.items()}
        return _text([self._named(piece) for piece in self._pieces], fields)

    def tf_render(self, /, **fields: "tf.Tensor") -> "tf.Tensor":
        """Returns `render` of strings [B] in each field: strings [B]."""
        check_fields(self.fields, fields)
        fields = {name: _utf8(values) for name, values in fields.items()}
        return _tf_text([self._named(piece) for piece in self._pieces], fields)

    def _named(self, piece):
        return self.tokenizer.tokens[piece] if isinstance(piece, int) else piece

    # === Token ids ===
    def encode(self, /, **fields: str) -> list[int]:
        """Returns the ids of the template with these texts in its fields."""
        check_fields(self.fields, fields)
        return self.encode_batch([fields])[0]

    def encode_batch(self, rows: Sequence[Mapping[str, str]]) -> list[list[int]]:
        """Returns the ids of each row, which gives the text of each field."""
        rows = [{name: valid(row[name]) for name in self.fields} for row in rows]
        found = [[] for _ in rows]
        for part in self._parts:
            if isinstance(part, tuple):
                more = [part] * len(rows)
            else:
                more = self.tokenizer.encode_batch([_text(part, row) for row in rows])
            for ids, new in zip(found, more, strict=True):
                ids += new
        if self.most is None:
            return found
        return [ids if len(ids) <= self.most else self._cut(row, ids) for row, ids in zip(rows, found, strict=True)]

    def _joined(self, row):
        found = []
        for part in self._parts:
            found += part if isinstance(part, tuple) else self.tokenizer.encode(_text(part, row))
        return found

    def _cut(self, row, ids):
        tokens = {name: self.tokenizer.encode(text) for name, text in row.items()}
        kept = {name: len(found) for name, found in tokens.items()}
        while len(ids) > self.most:
            kept = {name: n * (self.most - self.base) // (len(ids) - self.base) for name, n in kept.items()}
            ids = self._joined({name: valid(self.tokenizer.decode(tokens[name][:n])) for name, n in kept.items()})
        return ids

    def tf_encode(self, /, **fields: "tf.Tensor") -> "tf.RaggedTensor":
        """Returns `encode` of strings [B] in each field: ragged int32 [B, (n)]. Core TensorFlow ops only."""
        import tensorflow as tf

        check_fields(self.fields, fields)
        if self._encode is None:
            from lm_keras.utils.functions import function

            # Traced once, however often it is used.
            self._encode = function(self.tokenizer.tf_encode, input_signature=[tf.TensorSpec([None], tf.string)])
        rows = {name: _utf8(fields[name]) for name in self.fields}
        ids = self._tf_joined(rows)
        if self.most is None:
            return ids
        too_long = ids.row_lengths() > self.most
        flat, splits = tf.cond(
            tf.reduce_any(too_long),
            lambda: _parts_of(self._tf_cut(rows, too_long, ids.row_lengths())),
            lambda: _parts_of(ids),
        )
        return tf.RaggedTensor.from_row_splits(flat, splits, validate=False)

    def _tf_joined(self, rows):
        """The ids of rows, {field: strings [B]}."""
        import tensorflow as tf

        size, found = tf.size(next(iter(rows.values()))), []
        for part in self._parts:
            if isinstance(part, tuple):
                found.append(tf.tile(tf.constant([part], tf.int32), [size, 1]))
            else:
                found.append(self._encode(_tf_text(part, rows)).with_row_splits_dtype(tf.int64))
        return tf.concat(found, axis=1) if len(found) > 1 else found[0]

    def _tf_cut(self, rows, too_long, lengths):
        import tensorflow as tf

        tokens = {name: self._encode(text).with_row_splits_dtype(tf.int64) for name, text in rows.items()}
        kept = [tokens[name].row_lengths() for name in self.fields]

        def shortened(kept):
            return {
                name: tf.where(too_long, _utf8(self.tokenizer.tf_decode(_beginnings(tokens[name], n))), rows[name])
                for name, n in zip(self.fields, kept, strict=True)
            }

        def body(lengths, *kept):
            long, now = lengths > self.most, tf.maximum(lengths - self.base, 1)
            kept = [tf.where(long, n * (self.most - self.base) // now, n) for n in kept]
            return self._tf_joined(shortened(kept)).row_lengths(), *kept

        shapes = [tf.TensorShape([None])] * (1 + len(kept))
        _, *kept = tf.while_loop(
            lambda lengths, *_: tf.reduce_any(lengths > self.most), body, [lengths, *kept], shape_invariants=shapes
        )
        return self._tf_joined(shortened(kept))

    # === What all rows begin with ===
    def beginning(self) -> list[int]:
        """Returns ids that the rows begin with: those before the first field that no text there changes.

        They are found by trials (`num_settled`); who reads them once compares the ids of each row. The last id of
        the shortest row is not among them: what follows it is predicted from it.
        """
        found = []
        for part in self._parts:
            if not isinstance(part, tuple):
                text = part[0] if isinstance(part[0], str) else ""
                found += self.tokenizer.encode(text)[: num_settled(self.tokenizer, text)] if text else []
                break
            found += part
        return found[: self.base - 1]


def _parts(tokenizer, pieces):
    """Ids where they are the same for all texts, a tuple, and lists of text and fields that are encoded as one."""
    parts, run = [], []

    def end_run():
        nonlocal run
        if any(_fields_of(piece) for piece in run):
            parts.append(_merged(run))
        elif run:
            constant(tokenizer.encode("".join(run)))
        run = []

    def constant(ids):
        if parts and isinstance(parts[-1], tuple):
            parts[-1] += tuple(ids)
        else:
            parts.append(tuple(ids))

    for piece in pieces:
        if isinstance(piece, int):
            end_run()
            constant([piece])
        else:
            run.append(piece)
    end_run()
    return parts


def _merged(run):
    found = []
    for piece in run:
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def _fields_of(piece):
    if isinstance(piece, Stripped):
        return [part.name for part in piece.pieces if isinstance(part, Field)]
    return [piece.name] if isinstance(piece, Field) else []


def _text(part, row):
    """Texts, fields and stripped ones as one string."""
    found = ""
    for piece in part:
        if isinstance(piece, Stripped):
            found += piece.cut(_text(piece.pieces, row))
        else:
            found += row[piece.name] if isinstance(piece, Field) else piece
    return found


def _tf_text(part, rows):
    """`_text` of strings [B]."""
    import tensorflow as tf

    found = []
    for piece in part:
        if isinstance(piece, Stripped):
            text = _tf_text(piece.pieces, rows)
            text = tf.strings.regex_replace(text, f"\\A{SPACES}+", "") if piece.left else text
            found.append(tf.strings.regex_replace(text, f"{SPACES}+\\z", "") if piece.right else text)
        else:
            found.append(rows[piece.name] if isinstance(piece, Field) else piece)
    return tf.strings.join(found)


def _utf8(strings):
    import tensorflow as tf

    return tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")


def _parts_of(ids):
    return ids.flat_values, ids.row_splits


def _beginnings(ids, counts):
    """The first `counts` [B] of ragged ids [B, (n)]."""
    import tensorflow as tf

    places = tf.range(tf.size(ids.flat_values, tf.int64)) - tf.gather(ids.row_splits, ids.value_rowids())
    flat = tf.boolean_mask(ids.flat_values, places < tf.gather(counts, ids.value_rowids()))
    return tf.RaggedTensor.from_row_lengths(flat, tf.minimum(counts, ids.row_lengths()), validate=False)
