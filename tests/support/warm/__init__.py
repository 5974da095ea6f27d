"""Pythons that have done their imports, for tests of fresh processes: `warm(code)` gives one as a program."""

import contextlib
import os
import select
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from lm_keras.serving.export import session

HERE = Path(__file__).parent
# What others wrote and tests, notebooks and their kernels import: half of the time that such a process takes.
PACKAGES = "import gensim.models, ipykernel.kernelapp, matplotlib.pyplot, nltk, tensorflow"
# TensorFlow, into which neither keras nor lm_keras can be imported: what session.py begins with.
BLOCKER = f"runpy.run_path({session.__file__!r})['Blocker']()"
SERVER = f"import runpy, sys; sys.meta_path.insert(0, {BLOCKER}); import tensorflow"


def forks_can_be_watched():
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


@contextlib.contextmanager
def warm(code, *options):
    """The path of a program that is `python` after `code`, which may only import; but for Linux, `python` itself.

    `options` are Python's own, such as -I. It knows the commands of server.py.
    """
    if not forks_can_be_watched():
        yield sys.executable
        return
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        address, program = Path(folder, "socket"), Path(folder, "python")
        client = shlex.join([sys.executable, "-I", "-S", str(HERE / "client.py"), str(address)])
        program.write_text(f'#!/bin/sh\nexec {client} "$@"\n', encoding="utf-8")
        program.chmod(0o700)
        command = [sys.executable, *options, str(HERE / "server.py"), str(address), code]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        with (
            Path(folder, "errors").open("w+") as errors,
            subprocess.Popen(command, stdin=-1, stdout=-1, stderr=errors, env=environment) as server,
        ):
            ready = select.select([server.stdout], [], [], 120)[0] and server.stdout.readline()
            assert ready, Path(folder, "errors").read_text()
            yield str(program)
            server.stdin.close()
