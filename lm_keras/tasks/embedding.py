"""One vector for a text."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.layers.retrieval import mean_direction
from lm_keras.models.base import BuiltModel
from lm_keras.serving.export.signatures import Served, example_texts, signature
from lm_keras.tasks.inputs import IDS, ModelInputs, in_batches, output_of, ragged
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_texts
from lm_keras.utils.functions import function


@register_text_model
class TextEmbedder(TextModel):
    """A vector of length 1 for a text; an export has the signature `embed`.

    The mean of the vectors of a text's tokens, marks included (Reimers & Gurevych 2019, section 3), so the scalar
    product of two is their cosine; `models.sentence_embeddings` is the same.

    Args:
        model: An encoder, such as `models.build_bert` makes: BERT's inputs -> {"sequence_output" [B, T, D], ...}.
        tokenizer: Its tokenizer; None: the one that `models.load_pretrained` gave it.
        max_length: The number of tokens, marks included, after which a text is cut; None: what the checkpoint of a
            sentence encoder says, else the encoder's own.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(self, model: keras.Model, tokenizer: Tokenizer | None = None, *, max_length: int | None = None):
        output = output_of(model)
        if tokenizer is None and isinstance(model, BuiltModel):
            tokenizer = model.tokenizer
        if max_length is None and isinstance(model, BuiltModel):
            max_length = model.text_length
        if tokenizer is None:
            raise InputError(f"{model.name} has no tokenizer; give one: TextEmbedder(model, tokenizer)")
        super().__init__(model, {"tokenizer": tokenizer}, {"max_length": max_length})
        self.tokenizer = tokenizer
        if not isinstance(output, dict) or "sequence_output" not in output:
            raise InputError(f"{model.name} gives no sequence_output [B, T, D]; give an encoder as of build_bert")
        self._inputs = ModelInputs(model, self.tokenizer, max_length)
        if not self._inputs.bert:
            raise InputError(f"{model.name} does not read BERT's inputs, which tell tokens and padding apart")
        self._compiled = function(self._vectors, input_signature=[IDS])

    def embed(self, texts: str | Sequence[str]) -> np.ndarray:
        """Embeds texts.

        Args:
            texts: A string or several, N in all.

        Returns:
            Float32 [N, D], a row for each text.
        """
        found = in_batches(
            self.tokenizer.encode_batch(check_texts(texts)), lambda some: self._compiled(ragged(some)).numpy()
        )
        return np.array(found, "float32").reshape(len(found), self.model.output["sequence_output"].shape[-1])

    def _vectors(self, ids):
        inputs = self._inputs(ids)
        return mean_direction(self.model(inputs, training=False)["sequence_output"], inputs["padding_mask"])

    def signatures(self) -> Served:
        """What `export` writes: `embed`, text -> vector [B, D]."""

        def embed(text):
            return {"vector": self._vectors(self.tokenizer.tf_encode(text))}

        return Served(
            signatures={"embed": signature(embed, ("text", tf.string))},
            examples={"embed": {"text": example_texts(self.tokenizer)}},
            answer=lambda name, inputs: {"vector": self.embed(inputs["text"]).tolist()},
            facts={"max_length": self._inputs.max_length},
        )
