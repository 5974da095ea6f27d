"""What the functions on texts and on lists of words are given."""

from lm_keras.errors import InputError


def check_text(text):
    """Raises InputError for what is no str."""
    if not isinstance(text, str):
        raise InputError(f"every text must be a str, got {type(text).__name__}: {str(text)[:40]!r}")


def check_no_record(text, name):
    """Raises InputError for a record of lk.data, a named tuple, whose fields would be taken for words."""
    if hasattr(text, "_fields"):
        raise InputError(f"{name} is a {type(text).__name__}; give its text, one of {', '.join(text._fields)}")


def as_list(words, name):
    """`words` as a list; InputError for a text, whose characters would be taken for words."""
    if isinstance(words, (str, bytes)):
        raise InputError(f"{name} takes a list of words, not a text: give lk.text.words(text)")
    try:
        return list(words)
    except TypeError:
        raise InputError(f"{name} takes a list of words, got {words!r}") from None


def check_words(words, name):
    """`words` as a list of str; InputError for anything else."""
    words = as_list(words, name)
    for word in words:
        if not isinstance(word, str):
            raise InputError(f"{name} takes a list of words, each a str, got {word!r}")
    return words
