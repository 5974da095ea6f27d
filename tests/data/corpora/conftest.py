"""A server on this machine that misbehaves, and downloads that wait for nothing."""

import pytest
from loopback import origin

import lm_keras.data.corpora.download as engine


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between the tries of a download, which a test does not wait for."""
    found = []
    monkeypatch.setattr(engine, "sleep", found.append)
    return found


@pytest.fixture(scope="module")
def server():
    with origin() as found:
        yield found


@pytest.fixture
def web(server, pauses, monkeypatch):
    """An `Origin` to which no proxy stands in the way."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.asked.clear()
    return server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "tale.txt"
