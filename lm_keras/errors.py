"""The one exception for input that a user can put right."""


class InputError(ValueError):
    """Bad input: one line that says what was received and what to do; exit code 2 on the command line."""
