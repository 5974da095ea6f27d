"""One vector a text: the mean over its own tokens, whatever else is in the batch."""

import numpy as np
import pytest
from paths import GOLDEN

import lm_keras as lk

TEXTS = ["the capital of France", "are they?", "", "Spain is Madrid, and the capital of France is Paris, is it not"]


@pytest.fixture(scope="module")
def encoder():
    return lk.models.load_pretrained(GOLDEN / "bert")


def test_mean_of_each_text_by_itself(encoder):
    vectors = lk.models.sentence_embeddings(encoder, TEXTS, batch_size=3, max_length=20)
    assert vectors.shape == (4, 16)
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = np.array([encoder.tokenizer.encode_pair(text, max_length=20)[0]])
        inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
        mean = np.asarray(encoder(inputs)["sequence_output"])[0].mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


def test_long_texts_are_cut_at_the_encoders_length(encoder):
    long = " ".join(TEXTS * 5)
    assert len(encoder.tokenizer.encode(long)) > 24
    vectors = lk.models.sentence_embeddings(encoder, [long, long + " is"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert lk.models.sentence_embeddings(encoder, []).shape == (0, 16)


def test_another_tokenizer_or_none(encoder):
    model = lk.models.build_bert(150, max_length=24, hidden_dim=8, num_layers=1, num_heads=2)
    with pytest.raises(lk.InputError, match="no tokenizer"):
        lk.models.sentence_embeddings(model, TEXTS)
    assert lk.models.sentence_embeddings(model, TEXTS, tokenizer=encoder.tokenizer).shape == (4, 8)
    with pytest.raises(lk.InputError, match="texts is one str"):
        lk.models.sentence_embeddings(encoder, TEXTS[0])
