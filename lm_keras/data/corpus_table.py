"""The table of the named corpora."""

from lm_keras.data.sets.dialogues import DIALOGUES
from lm_keras.data.sets.labelled import LABELLED
from lm_keras.data.sets.pairs import PAIRS
from lm_keras.data.sets.questions import QUESTIONS
from lm_keras.data.sets.summaries import SUMMARIES
from lm_keras.data.sets.tables import TABLES
from lm_keras.data.sets.tagged import TAGGED
from lm_keras.data.sets.texts import TEXTS
from lm_keras.data.sets.words import WORDS

KINDS = (TEXTS, LABELLED, TAGGED, QUESTIONS, DIALOGUES, SUMMARIES, PAIRS, WORDS, TABLES)
CORPORA = {corpus.name: corpus for kind in KINDS for corpus in kind}
