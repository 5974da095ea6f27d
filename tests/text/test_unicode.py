import tensorflow as tf

from lm_keras.text.unicode import lower, tf_lower


def test_graph_lowers_every_character_as_python_does():
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    assert [text.decode() for text in tf_lower(tf.constant(every)).numpy()] == [lower(char) for char in every]
    words = ["ΟΔΥΣΣΕΥΣ ΝΑΙ", "İSTANBUL", "STRASSE ẞ", "ǅ Ⅷ Ⓐ 𐐀", "A\u0307Σ.", ""]
    assert [text.decode() for text in tf_lower(tf.constant(words)).numpy()] == [lower(word) for word in words]
