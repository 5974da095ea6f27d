"""Which `PromptEncoder` reads which row: one for all rows, or one for each row that has examples of its own."""

from collections.abc import Mapping, Sequence

from lm_keras.errors import InputError
from lm_keras.generation.prompt_cache import PromptCache
from lm_keras.prompting.demonstrations import Demonstrations, check_example
from lm_keras.prompting.encoder import PromptEncoder
from lm_keras.prompting.label_scores import CausalLabels, MaskedLabels
from lm_keras.prompting.template import Template
from lm_keras.prompting.verbalizer import Verbalizer

Row = Mapping[str, str]  # the text of each field


class RowEncoders:
    """The encoders of a template after its examples.

    Args:
        labels: What makes an encoder of pieces, with room for the longest label word.
        template: The template.
        verbalizer: The first label word of a class stands after an example of it.
        demonstrations: The examples, or None.

    Attributes:
        alone: The encoder of the template without examples.
        shared: The one that reads all rows; None where each row has examples of its own.

    Raises:
        InputError: The template, or the template after examples that are the same for all rows, leaves no room.
    """

    def __init__(
        self,
        labels: CausalLabels | MaskedLabels,
        template: Template,
        verbalizer: Verbalizer,
        demonstrations: Demonstrations | None,
    ):
        self._labels, self._template, self._verbalizer = labels, template, verbalizer
        self._demonstrations = demonstrations
        self.alone = labels.encoder(template.pieces(labels.tokenizer))
        static = [] if demonstrations is None else demonstrations.static
        self.shared = None if static is None else self._after(static) if static else self.alone

    def of(self, rows: Sequence[Row]) -> list[PromptEncoder]:
        """Returns the encoder of each row."""
        if self.shared is not None:
            return [self.shared] * len(rows)
        return [self._fitting(examples) for examples in self._demonstrations.of(rows)]

    def encode(self, rows: Sequence[Row]) -> list[list[int]]:
        """Returns the ids of each row."""
        if self.shared is not None:
            return self.shared.encode_batch(rows)  # the tokenizer is called once
        return [encoder.encode(**row) for encoder, row in zip(self.of(rows), rows, strict=True)]

    def cache(self) -> PromptCache | None:
        """What all rows begin with, read once; None where it is not worth it, or each row has its own."""
        return None if self.shared is None else self._labels.cache(self.shared)

    def _fitting(self, examples):
        """The encoder after a row's own examples, without the first of them if there is no room."""
        while examples:
            try:
                return self._after(examples)
            except InputError:
                examples = examples[1:]
        return self.alone

    def _after(self, examples):
        for example in examples:
            check_example(example, self._template.fields, self._verbalizer.classes)
        shown = [(example.fields, self._verbalizer.words[example.label][0]) for example in examples]
        return self._labels.encoder(self._template.pieces(self._labels.tokenizer, shown))
