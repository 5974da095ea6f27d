"""What older releases called things: their files load through this table, and calls with an old name are told."""

# Builder -> {old name of an argument: the name today}.
ARGUMENTS: dict[str, dict[str, str]] = {}


def current_arguments(builder: str, arguments: dict) -> dict:
    """The arguments that a file holds for a builder, under the names of today."""
    names = ARGUMENTS.get(builder, {})
    return {names.get(name, name): value for name, value in arguments.items()}
