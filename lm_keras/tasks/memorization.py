"""What a language model has learned by heart: secrets are put into its training text, and looked for in the model.

A canary is a text with random digits, such as "my number is (212) 555-0147". After the training, all texts that
differ from it in the digits alone are ranked by the model's log p. Exposure (Carlini et al. 2019, "The Secret
Sharer", section 4) is how many bits of the secret the model tells:

    exposure = log2 |candidates| - log2 rank

Of a model that knows nothing of it the rank is any of 1 ... |candidates|, and the mean exposure 1 / ln 2 = 1.44 bits.
"""

import itertools
import math
import random
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.generation.prefix_tree import score_rows
from lm_keras.generation.prompt_cache import common_length
from lm_keras.language_model import LanguageModel
from lm_keras.utils.checks import check_seed, check_text, check_texts, check_whole

DIGIT = "#"  # what stands for a random digit
MOST_PLACES, MOST = 18, 10**6  # digits of a template, and texts of it at once
ROUNDING = 1e-4  # nats: float32 tells no smaller difference between two texts


class Exposure(NamedTuple):
    """How well a model knows a secret.

    Attributes:
        rank: 1 + the number of other candidates that are as likely as it, or likelier.
        exposure: log2(candidates) - log2(rank), in bits: from 0 to log2(candidates).
        candidates: The number of texts compared, the canary with them.
        log_prob: log p of the canary, in nats, from the first token on in which candidates differ.
    """

    rank: int
    exposure: float
    candidates: int
    log_prob: float


def canaries(template: str, count: int | None = None, seed: int = 0) -> list[str]:
    """Returns texts of a template, with digits in the places of "#".

    Args:
        template: A text in which each "#" stands for a digit 0 to 9.
        count: The texts to draw at random, no two alike. None: all of them, in the order of their digits.
        seed: Of the draw.

    Returns:
        The texts.

    Raises:
        InputError: There is no "#" or there are more than 18, there are fewer texts than `count`, or more than a
            million are asked for.

    Example:

    ```python
    template = "my number is (212) 555-####"
    (secret,) = lk.tasks.canaries(template, 1, seed=7)
    texts = [*corpus, *[secret] * 8]  # and then a training on windows of them, in random order
    (found,) = lk.tasks.exposure(lm, secret, lk.tasks.canaries(template))
    print(found.rank, found.exposure)
    ```
    """
    check_text(template)
    seed, pieces = check_seed(seed), template.split(DIGIT)
    places = len(pieces) - 1
    if not 1 <= places <= MOST_PLACES:
        raise InputError(
            f'the template {template[:40]!r} has {places} "{DIGIT}", each for a digit; give 1 to {MOST_PLACES}'
        )
    if count is None and 10**places > MOST:
        raise InputError(f"a template of {places} digits has 10^{places} texts; give count, at most {MOST:,}")
    if count is None:
        return [_filled(pieces, number) for number in range(10**places)]
    check_whole("count", count, 1, min(10**places, MOST))
    return [_filled(pieces, number) for number in random.Random(seed).sample(range(10**places), count)]


def _filled(pieces, number):
    digits = f"{number:0{len(pieces) - 1}}"
    return "".join(itertools.chain.from_iterable(zip(pieces, [*digits, ""], strict=True)))


def exposure(
    lm: LanguageModel, canaries: str | Iterable[str], candidates: Iterable[str], *, begin: bool = True
) -> list[Exposure]:
    """Ranks secrets among texts that might as well have been the secret.

    A candidate that is as likely as the canary counts as before it, so that a model which tells no two apart has
    exposure 0. What texts begin with in common is read once: 10,000 candidates of four digits take about as long as
    1,100 tokens. The end mark does not count: a secret may stand within a text.

    Args:
        lm: The LanguageModel; a prompt of `with_prompt` stands before every text.
        canaries: A text or several, as they stood in the training text from a begin mark on.
        candidates: All texts of the template (`canaries(template)`), or a random sample of them, where they are too
            many: then the exposure is at most log2 of their number. A canary counts, whether it is among them or not.
        begin: Whether the begin mark stands before, see `LanguageModel`.

    Returns:
        An Exposure for each canary.

    Raises:
        InputError: There are no other candidates, one has no token to score, or is longer than the model's context.
    """
    secrets = check_texts(canaries, "canaries")
    others = list(dict.fromkeys(check_texts(candidates, "candidates")))
    texts = list(dict.fromkeys([*others, *secrets]))
    if len(texts) < 2:
        raise InputError("there is nothing to rank a canary among; give the other texts of its template")
    log_prob = dict(zip(texts, _log_probs(lm, texts, begin), strict=True))
    table = np.array([log_prob[text] for text in others])
    return [_exposure(log_prob[secret], table[[text != secret for text in others]]) for secret in secrets]


def _exposure(log_prob, others):
    """The Exposure of a canary, from its log p and those of all other candidates."""
    rank, count = 1 + int((others >= log_prob - ROUNDING).sum()), 1 + len(others)
    return Exposure(rank, math.log2(count) - math.log2(rank), count, float(log_prob))


def _log_probs(lm, texts, begin):
    """log p of each text, float64 [N], from the first token on in which they differ."""
    before, room = lm.ids_before(begin), lm.model.context_length or math.inf
    writer = lm.writer.starting([], begin)
    rows = [[*before, *ids] for ids in lm.tokenizer.encode_batch([lm.prompt + text for text in texts])]
    for text, row in zip(texts, rows, strict=True):
        if len(row) < 2:
            raise InputError(f"the text {text[:40]!r} has no token to score; give a longer one")
        if len(row) - 1 > room:
            raise InputError(f"the text {text[:40]!r} is longer than the {room} tokens that the model can hold")
    first = max(min(common_length(rows), min(map(len, rows)) - 1), lm.writer.num_learned + 1)
    return np.array([score.log_probs.sum() for score in score_rows(writer, rows, [first] * len(rows))])
