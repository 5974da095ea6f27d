"""The names of contexts, and the place of each."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

from lm_keras.errors import InputError
from lm_keras.text.unicode import valid


def checked_names(contexts: Iterable[str]) -> list[str]:
    """The names of contexts as a list; InputError unless they are different strings."""
    if isinstance(contexts, (str, bytes)) or not isinstance(contexts, Iterable):
        raise InputError(f"contexts is {contexts!r:.40}; give a list of names")
    names = list(contexts)
    for name in names:
        if not isinstance(name, str) or not name.strip() or valid(name) != name:
            raise InputError(f"a context is called {name!r:.40}; give texts that are not empty")
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise InputError(f"there are two contexts {name!r:.40}; give different names")
    if not names:
        raise InputError("there is no context; give the name of at least one")
    return names


def place_of(context: str | None, names: Sequence[str]) -> int:
    """The place of a context among the names, -1 for None; InputError for an unknown one."""
    if context is None:
        return -1
    if context in names:
        return list(names).index(context)
    near = difflib.get_close_matches(str(context), names, 1)
    said = f"did you mean {near[0]!r}? Known" if near else "known"
    raise InputError(f"there is no context {context!r:.60}; {said} are {', '.join(names)[:200]}")
