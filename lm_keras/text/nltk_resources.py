"""What NLTK downloads on request only, and the one line that says so when it is not there."""

from typing import Any

from lm_keras.errors import InputError


def find(path: str) -> Any:
    """Returns where a resource of NLTK lies ("corpora/stopwords"), or None. Nothing is ever downloaded here."""
    import nltk.data

    try:
        return nltk.data.find(path)
    except LookupError:
        return None


def missing(what: str, resource: str) -> InputError:
    """Returns the InputError for something that `nltk.download(resource)` brings."""
    return InputError(f'{what}, which is not installed: run nltk.download("{resource}")')
