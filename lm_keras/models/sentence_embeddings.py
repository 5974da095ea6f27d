"""One vector for a whole text, from a BERT encoder."""

import numpy as np

from lm_keras.errors import InputError


def sentence_embeddings(encoder, texts, *, tokenizer=None, max_length=None, batch_size=32):
    """Float32 [N, D], each of length 1: the mean of the encoder's vectors over a text's tokens, [CLS] and [SEP] too.

    Sentence-BERT's pooling (Reimers & Gurevych 2019, section 3); the scalar product of two is their cosine.
    `encoder`: a model of `build_bert`, trained for this; `tokenizer`: a WordPieceTokenizer, None: the encoder's.
    A text is cut after `max_length` tokens; None: the encoder's. Raises InputError without tokenizer.
    """
    if isinstance(texts, str):
        raise InputError(f"texts is one str, {texts[:40]!r}; give a list of them")
    tokenizer = tokenizer or getattr(encoder, "tokenizer", None)
    if tokenizer is None:
        raise InputError("the encoder has no tokenizer; give one: sentence_embeddings(..., tokenizer=...)")
    arguments = encoder.recipe.arguments
    rows = [tokenizer.encode_pair(text, max_length=max_length or arguments["max_length"])[0] for text in texts]
    vectors = np.zeros((len(rows), arguments["hidden_dim"]), "float32")
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # texts of one length together: little padding
    for start in range(0, len(rows), batch_size):
        chosen = order[start : start + batch_size]
        ids = np.full((len(chosen), len(rows[chosen[-1]])), -1, "int32")
        for place, i in enumerate(chosen):
            ids[place, : len(rows[i])] = rows[i]
        mask = ids >= 0
        inputs = {
            "token_ids": np.maximum(ids, 0),
            "segment_ids": np.zeros_like(ids),
            "padding_mask": mask.astype("int32"),
        }
        states = np.asarray(encoder(inputs)["sequence_output"], "float32")
        vectors[chosen] = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
