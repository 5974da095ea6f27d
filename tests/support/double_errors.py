"""The double's one exception."""


class RefusedError(Exception):
    """A request that is answered by an error; `code` is gRPC's name of it."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


def wrong(message):
    return RefusedError("INVALID_ARGUMENT", message)
