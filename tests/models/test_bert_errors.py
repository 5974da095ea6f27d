"""What BERT's builders refuse, and that the line says what was received."""

import keras
import pytest

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.models.bert import build_bert

V = 31
SMALL = {"max_length": 9, "hidden_dim": 8, "num_heads": 2, "feed_forward_dim": 20}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden_dim": 9}, "hidden_dim 9 must be a multiple of num_heads 2"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"vocab_size": 1}, "vocab_size is 1"),
        ({"feed_forward_dim": 0}, "feed_forward_dim is 0"),
        ({"num_segments": 1.5}, "num_segments is 1.5"),
        ({"dropout": 1}, "dropout is 1"),
        ({"norm_epsilon": 0}, "norm_epsilon is 0"),
        ({"initializer_range": 0}, "initializer_range is 0"),
    ],
)
def test_impossible_sizes(changes, message):
    with pytest.raises(InputError, match=message):
        build_bert(**{"vocab_size": V, "num_layers": 1, **SMALL, **changes})


def test_a_pretrainer_needs_an_encoder_of_this_library():
    encoder = build_bert(V, num_layers=1, **SMALL)
    with pytest.raises(InputError, match="takes an encoder of build_bert"):
        lk.models.bert_pretrainer(keras.Model(encoder.input, encoder.output))
    with pytest.raises(InputError, match="pooler=True"):
        lk.models.bert_pretrainer(build_bert(V, num_layers=1, pooler=False, **SMALL))
