"""A text made from another one: translation, summaries, answers in free words."""

import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation import texts as written
from lm_keras.generation.compiled import Functions, function
from lm_keras.generation.loop import encode_source
from lm_keras.generation.options import Options, as_texts, stop_ids
from lm_keras.models.seq2seq import Seq2SeqLM
from lm_keras.serving.completions import completion_answers, completion_examples, completion_signatures
from lm_keras.serving.served import Served, example_texts
from lm_keras.text_model import TextModel, register_text_model


@register_text_model
class TextToText(TextModel):
    """A `Seq2SeqLM` with the tokenizers of its source and of its target (None: the same one).

    A source is its ids without marks; a target w1 w2 was trained as <begin> w1 w2 with the labels w1 w2 <end>.
    `lk.export` writes `generate`, `sample` and `beam` on `source`. InputError when the parts do not fit.
    """

    def __init__(self, model, source_tokenizer, target_tokenizer=None):
        target_tokenizer = target_tokenizer or source_tokenizer
        if not isinstance(model, Seq2SeqLM):
            raise InputError(f"{model.name} encodes no source; give a model of build_seq2seq_lstm or _transformer")
        arguments = model.recipe.arguments
        for side, size, tokenizer in (
            ("reads", arguments["source_vocab_size"], source_tokenizer),
            ("writes", model.vocab_size, target_tokenizer),
        ):
            if tokenizer.vocab_size != size:
                raise InputError(f"the model {side} {size} words and that tokenizer has {tokenizer.vocab_size}")
        super().__init__(model, {"source_tokenizer": source_tokenizer, "target_tokenizer": target_tokenizer})
        self.source_tokenizer, self.target_tokenizer = source_tokenizer, target_tokenizer
        self._functions = Functions(model, target_tokenizer, source_tokenizer)

    def generate(
        self, sources, max_new_tokens=50, temperature=0.0, top_k=0, top_p=1.0, num_beams=1, repetition_penalty=1.0,
        stop=None, seed=0, *, min_p=0.0, min_new_tokens=0, stop_tokens=None, num_return_sequences=1,
        length_penalty=0.0, top_logprobs=0,
    ):  # fmt: skip
        """The target of each source (a string or a list of strings), a Generation each; greedy by default.

        Options as in `LanguageModel.generate`; the repetition penalty counts the words of the target alone.
        """
        options = Options(
            max_new_tokens, temperature, top_k, top_p, num_beams, repetition_penalty, stop, seed, min_p,
            min_new_tokens, stop_tokens, num_return_sequences, length_penalty, top_logprobs=top_logprobs,
        )  # fmt: skip
        return written.generate(self._functions, as_texts(sources), options)

    def stream(
        self, source, max_new_tokens=50, temperature=0.0, top_k=0, top_p=1.0, repetition_penalty=1.0, stop=None,
        seed=0, *, min_p=0.0, min_new_tokens=0, stop_tokens=None,
    ):  # fmt: skip
        """Yields the text of `generate(source, ...)` piece by piece, never half a character or part of a stop."""
        options = Options(
            max_new_tokens, temperature, top_k, top_p, 1, repetition_penalty, stop, seed, min_p, min_new_tokens,
            stop_tokens,
        )  # fmt: skip
        (source,) = as_texts([source])
        stop_ids(self.target_tokenizer, options.stop_tokens)
        return written.stream(self._functions, source, options)

    def signatures(self, *, max_new_tokens_limit: int = 256, num_beams: int = 4) -> Served:
        """What `export` writes: `generate`, `sample` and `beam` on source."""

        @function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)])
        def start(source, count):
            ids = self.source_tokenizer.tf_encode(source)
            begin = tf.fill([tf.size(source)], self.target_tokenizer.bos_id)
            return begin, encode_source(self.model, ids.to_tensor(-1), count)

        texts = example_texts(self.source_tokenizer)
        write = completion_signatures(
            self.model, self.target_tokenizer, start, "source", max_new_tokens_limit, num_beams
        )
        return Served(
            signatures=write,
            examples=completion_examples(texts, "source", max_new_tokens_limit),
            answer=lambda name, inputs: completion_answers(self, "source", num_beams, name, inputs),
            facts={"max_new_tokens_limit": max_new_tokens_limit, "num_beams": num_beams},
            max_text_bytes=2**12 if self.model.recipe.builder == "build_seq2seq_transformer" else 2**17,
        )
