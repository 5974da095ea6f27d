import functools

import pytest
from small_tasks import MAKE


@pytest.fixture(scope="session")
def task(news):
    """`task(name)`: one of small_tasks, made once."""
    return functools.cache(lambda name: MAKE[name](news))


@pytest.fixture(scope="session")
def passages(news):
    """Beginnings of news items, of a word to a hundred: shorter and much longer than the encoders of small_tasks."""
    return [" ".join(text.split()[: 1 + 9 * i]) for i, text in enumerate(news[:8])] + ["", "  \n", "今天 Paris"]
