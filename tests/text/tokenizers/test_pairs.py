import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from lm_keras.errors import InputError
from lm_keras.text import WordPieceTokenizer

TOKENS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
tokenizer = WordPieceTokenizer(TOKENS)


def hugging_face(first, second, max_length):
    """What BertTokenizer gives for truncation "longest_first"."""
    whole = Tokenizer(models.WordPiece({token: i for i, token in enumerate(TOKENS)}, unk_token="[UNK]"))
    whole.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    whole.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    if max_length:
        whole.enable_truncation(max_length, strategy="longest_first")
    row = whole.encode(first, second)
    return row.ids, row.type_ids


def text(length, letter="a"):
    return " ".join([letter] * length)


def test_marks_and_segments():
    assert tokenizer.encode_pair("a b") == ([2, 5, 6, 3], [0, 0, 0, 0])
    assert tokenizer.encode_pair("a b", "c") == ([2, 5, 6, 3, 7, 3], [0, 0, 0, 0, 1, 1])
    assert tokenizer.encode_pair("", "") == ([2, 3, 3], [0, 0, 1])


def test_every_pair_of_lengths_is_cut_as_hugging_face_cuts_it():
    for max_length in (3, 4, 7, 8, None):
        for n in range(9):
            assert max_length == 3 or tokenizer.encode_pair(text(n), None, max_length) == hugging_face(
                text(n), None, max_length
            )
            for m in range(9):
                pair = text(n), text(m, "b"), max_length
                assert tokenizer.encode_pair(*pair) == hugging_face(*pair)


@pytest.mark.parametrize("length", [3, 4, 7, 8, 30])
def test_graph_equals_python(length):
    pairs = [(text(n), text(m, "b")) for n in range(9) for m in range(9)]
    firsts, seconds = (tf.constant(side) for side in zip(*pairs, strict=True))
    for graph, rows in (
        (tokenizer.tf_encode_pair(firsts, seconds, length=length), pairs),
        (tokenizer.tf_encode_pair(firsts, length=length), [(a, None) for a, _ in pairs]),
    ):
        assert all(value.dtype == tf.int32 and value.shape == [81, length] for value in graph.values())
        for i, pair in enumerate(rows):
            ids, segments = tokenizer.encode_pair(*pair, max_length=length)
            rest = length - len(ids)
            assert graph["token_ids"][i].numpy().tolist() == ids + [tokenizer.pad_id] * rest
            assert graph["segment_ids"][i].numpy().tolist() == segments + [0] * rest
            assert graph["padding_mask"][i].numpy().tolist() == [1] * len(ids) + [0] * rest


@given(st.text("abx "), st.text("cdx "), st.integers(3, 20))
def test_any_pair(first, second, max_length):
    assert tokenizer.encode_pair(first, second, max_length) == hugging_face(first, second, max_length)


def test_in_tf_data_with_a_static_shape():
    data = tf.data.Dataset.from_tensor_slices((["a b c d", "e"], ["f", "g h"])).batch(2)
    data = data.map(lambda a, b: tokenizer.tf_encode_pair(a, b, length=8))
    assert {name: spec.shape.as_list() for name, spec in data.element_spec.items()} == {
        name: [None, 8] for name in ("token_ids", "segment_ids", "padding_mask")
    }
    (batch,) = data.as_numpy_iterator()
    assert batch["token_ids"].tolist() == [[2, 5, 6, 7, 8, 3, 10, 3], [2, 9, 3, 11, 12, 3, 1, 1]]


@pytest.mark.parametrize("max_length", [2, 0, True, 8.0])
def test_impossible_lengths(max_length):
    with pytest.raises(
        InputError, match=rf"max_length .with 3 marks. is {max_length!r}; it must be a whole number of at least 3"
    ):
        tokenizer.encode_pair("a", "b", max_length)
    with pytest.raises(InputError, match=rf"^length .with 3 marks. is {max_length!r};"):
        tokenizer.tf_encode_pair(["a"], ["b"], length=max_length)
    assert tokenizer.encode_pair("a", max_length=2) == ([2, 3], [0, 0])
