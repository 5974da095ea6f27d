"""The table of the named corpora."""

from lm_keras.data.sets.labelled import LABELLED
from lm_keras.data.sets.texts import TEXTS
from lm_keras.data.sets.words import WORDS

CORPORA = {corpus.name: corpus for corpus in (*TEXTS, *LABELLED, *WORDS)}
