"""Where a server may send us on to, and https for real."""

import socket
import ssl
import subprocess
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import origin, redirect, serve

from lm_keras.data.corpora import download
from lm_keras.data.corpora.download import check_address, open_address, redirected
from lm_keras.errors import InputError

HOSTS = {
    "public.org": ["93.184.215.14"],
    "cdn.org": ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "93.184.215.15"],
    "inside.org": ["10.1.2.3"],
    "both.org": ["93.184.215.14", "127.0.0.1"],
    "metadata.org": ["169.254.169.254"],
    "mapped.org": ["::ffff:127.0.0.1"],
    "six.org": ["fe80::1%eth0"],
    "localhost": ["127.0.0.1", "::1"],
}


@pytest.fixture
def names(monkeypatch):
    """A net of the HOSTS; numbers stand for themselves, nothing else has an address."""

    def look_up(host, port):
        if host not in HOSTS and not host.strip("0123456789.:"):
            return [(0, 0, 0, "", (host, 0))]
        if host not in HOSTS:
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in HOSTS[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(
    "url, location, target",
    [
        ("https://public.org/a/b", "c?d=1#e", "https://public.org/a/c?d=1#e"),
        ("http://public.org/a", "/c", "http://public.org/c"),
        ("http://public.org/a", "HTTP://Public.ORG:80/c", "http://Public.ORG:80/c"),
        ("http://public.org/a", "https://public.org/a", "https://public.org/a"),
        ("https://public.org/a", "//cdn.org/x y", "https://cdn.org/x%20y"),
        ("https://public.org/a", "https://cdn.org:443/", "https://cdn.org:443/"),
        (
            "https://public.org/a",
            "https://unknown.org/",
            "https://unknown.org/",
        ),  # the connection fails, or a proxy knows
        ("https://public.org/a", "caf\xc3\xa9", "https://public.org/caf%C3%A9"),  # UTF-8 as http.client reads it
        ("http://127.0.0.1:8000/a", "http://127.0.0.1:8000/b", "http://127.0.0.1:8000/b"),
        ("https://inside.org/a", "https://localhost/", "https://localhost/"),  # from inside to inside
        ("https://public.org:8443/a", "https://public.org/a", "https://public.org/a"),
    ],
)
def test_redirects_that_are_followed(names, url, location, target):
    assert redirected(url, location) == target


@pytest.mark.parametrize(
    "url, location",
    [
        ("https://public.org/a", "http://public.org/a"),  # from https to http
        ("https://public.org/a", "http://cdn.org/a"),
        ("http://public.org/a", "http://cdn.org/a"),
        ("http://127.0.0.1:8000/a", "http://127.0.0.1:8001/a"),
        ("https://public.org/a", "https://public.org:8443/a"),
        ("https://public.org/a", "https://inside.org/"),
        ("https://public.org/a", "https://both.org/"),
        ("https://public.org/a", "https://metadata.org/latest"),
        ("https://public.org/a", "https://mapped.org/"),
        ("https://public.org/a", "https://six.org/"),
        ("https://public.org/a", "https://LOCALHOST/"),
        ("https://public.org/a", "https://127.0.0.1/"),
        ("https://public.org/a", "https://[::1]/"),
        ("https://public.org/a", "https://10.0.0.1/"),
        ("https://public.org/a", "file:///etc/passwd"),
        ("https://public.org/a", "ftp://public.org/a"),
        ("https://public.org/a", "data:,hello"),
        ("https://public.org/a", "https://user:password@public.org/a"),
        ("https://public.org/a", "https://public.org@cdn.org/a"),
        ("https://public.org/a", "https://public.org:port/a"),
        ("https://public.org/a", "https://[::1/a"),
        ("https://public.org/a", "https://:443/a"),
        ("https://public.org/a", f"https://{'a' * 64}.org/"),
    ],
)
def test_redirects_that_are_refused(names, url, location):
    with pytest.raises(InputError) as error:
        redirected(url, location)
    assert "\n" not in str(error.value)


@settings(max_examples=40)
@given(st.sampled_from(["http://public.org/a", "https://public.org/a"]), st.data())
def test_no_location_leads_out_of_the_rule(url, data):
    hosts = [*HOSTS, "127.0.0.1", "[::1]", "@", ":", ":80", ":443", "\\", "..", "%00", "\r\n", " "]
    pieces = st.sampled_from(["http:", "https:", "file:", "/", "//", "?", "#", *hosts]) | st.text(max_size=3)
    location = "".join(data.draw(st.lists(pieces, max_size=8)))
    with pytest.MonkeyPatch.context() as patch:
        names.__wrapped__(patch)
        try:
            target = redirected(url, location)
        except InputError:
            return
    assert target.isascii() and target.isprintable() and " " not in target
    parts = urlsplit(target)
    if parts.hostname != "public.org" or parts.port not in (None, 80, 443):
        assert parts.scheme == "https" and parts.port in (None, 443)
        assert parts.hostname not in HOSTS or parts.hostname == "cdn.org"
    assert (parts.scheme, url[:5]) != ("http", "https")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.org/b", "/a/b", "", "http://", "https://a:b@c.org/"])
def test_addresses_that_nobody_is_asked_for(url):
    with pytest.raises(InputError, match="is not an http or https address"):
        open_address(url)


def test_the_parts_of_an_address():
    assert check_address("HTTPS://Public.org/a") == ("https", "public.org", 443)
    assert check_address("http://[::1]:81/a") == ("http", "::1", 81)


@pytest.fixture
def certificate(tmp_path):
    """A certificate of this machine, and its key, in one file."""
    pem, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", pem]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    try:
        subprocess.run(["openssl", "req", "-x509", *curve, *subject], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"openssl cannot make a certificate: {error}")
    return pem, key


def test_https_with_and_without_a_certificate_that_is_trusted(certificate, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    with origin(tls) as web, origin() as plain:
        web.answers, plain.answers = [serve(b"content")], [serve(b"content")]
        download._certificates.cache_clear()
        with pytest.raises(OSError, match="certificate verify failed"):
            open_address(web.url)
        assert web.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        download._certificates.cache_clear()
        with open_address(web.url) as response:
            assert (response.status, response.read()) == (200, b"content")
        web.answers = [redirect(plain.url)]
        with pytest.raises(InputError, match="only https is followed"):
            open_address(web.url)
        assert plain.asked == []
    download._certificates.cache_clear()


def test_a_python_without_the_certificates_of_the_system(monkeypatch):
    pytest.importorskip("certifi")
    nothing = ssl.DefaultVerifyPaths(*[None] * 6)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    assert download._certificates.__wrapped__().cert_store_stats()["x509_ca"] > 50


def test_what_is_said_of_us(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with origin() as web:
        web.answers = [serve(b"")]
        open_address(web.url, {"Range": "bytes=1-"}).close()
        ((_, headers),) = web.asked
    assert headers["User-Agent"].startswith("lm_keras/")
    assert sorted(headers.keys()) == ["Accept-Encoding", "Connection", "Host", "Range", "User-Agent"]


def test_a_proxy_is_used(monkeypatch):
    with origin() as proxy:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/tale.txt"))
        proxy.answers = [serve(b"content")]
        with open_address("http://public.invalid/tale.txt") as response:
            assert response.read() == b"content"
        assert [path for path, _ in proxy.asked] == ["http://public.invalid/tale.txt"]
