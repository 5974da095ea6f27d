"""What a builder was called with, as its model saves it."""

import numpy as np

from lm_keras.errors import InputError
from lm_keras.models.parts import check_embedding, check_sizes


def saved_arguments(arguments):
    """A builder's `locals()` -> (the arguments its model saves, the embedding matrix as float32 [V, E] or None).

    The matrix is not saved with the arguments, its values are among the weights; its width is the `embedding_dim`.
    Raises InputError for an impossible embedding.
    """
    arguments = {key: value for key, value in arguments.items() if key != "name"}
    matrix = arguments.pop("embedding_matrix")
    if matrix is not None:
        matrix = _array(matrix)
        arguments["embedding_dim"] = matrix.shape[1]
    if arguments["embedding_dim"] is not None:
        check_sizes(embedding_dim=arguments["embedding_dim"])
    check_embedding(arguments["vocab_size"], arguments["embedding_dim"], arguments.get("tie_embeddings"), matrix)
    return arguments, matrix


def _array(matrix):
    """float32 [V, E]; InputError for what is none, such as word vectors that know no order of a vocabulary."""
    try:
        if not isinstance(matrix, list) and not hasattr(matrix, "__array__"):
            raise TypeError
        array = np.asarray(matrix, "float32")
    except (TypeError, ValueError):
        raise InputError(
            f"embedding_matrix is a {type(matrix).__name__} and no array [vocab_size, embedding_dim]; "
            "matrix, coverage = lk.embeddings.embedding_matrix(tokenizer, vectors) gives one"
        ) from None
    if array.ndim != 2:
        raise InputError(f"embedding_matrix has the shape {array.shape}; it needs one row a word and word vectors")
    return array
