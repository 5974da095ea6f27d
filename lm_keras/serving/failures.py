"""What a server can fail with, under one set of names for gRPC and REST, and which failures are tried again."""

import random
import time

AGAIN = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")  # not reached or too busy: nothing was computed
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0  # seconds


class ServingError(RuntimeError):
    """The server could not be reached, refused the request, or did not answer in time.

    `code` is gRPC's name of the reason, for REST too: "UNAVAILABLE", "NOT_FOUND", "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED", ...
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def retried(call, retries):
    """`call()`, again after a growing pause while the server is unavailable, at most `retries` times more.

    A request leaves nothing behind in the server and its answer depends on it alone, so sending it twice is safe.
    """
    for attempt in range(retries):
        try:
            return call()
        except ServingError as error:
            if error.code not in AGAIN:
                raise
        # Clients that failed together must not all come back together.
        time.sleep(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * random.uniform(0.5, 1.0))
    return call()
