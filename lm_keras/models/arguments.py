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
        matrix = np.asarray(matrix, "float32")
        if matrix.ndim != 2:
            raise InputError(
                f"embedding_matrix has the shape {matrix.shape}; it needs one row a word and word vectors"
            )
        arguments["embedding_dim"] = matrix.shape[1]
    if arguments["embedding_dim"] is not None:
        check_sizes(embedding_dim=arguments["embedding_dim"])
    check_embedding(arguments["vocab_size"], arguments["embedding_dim"], arguments.get("tie_embeddings"), matrix)
    return arguments, matrix
