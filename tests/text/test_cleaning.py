import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_keras.errors import InputError
from lm_keras.text import clean, sentences, words


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("<p>One&nbsp;<b>bo</b>ld</p><p>Two &amp; three</p>", "One bold\n\nTwo & three"),
        ("a<script type='x'>if (1 < 2) {}</script>b<style>p {}</style>c<!-- no\nno -->d", "abcd"),
        ("if a < b and c > d: the <unk> cat <3", "if a < b and c > d: the <unk> cat <3"),
        ("<a href=\"x>y\" title='q'>link</a><br/>next<IMG src=a>", "link\nnext"),
        ("<table><tr><th>Name</th><th>Age</th></tr><tr><td>Ann</td><td>7</td></tr></table>", "Name Age\n\nAnn 7"),
        ("&lt;b&gt; is a tag", "<b> is a tag"),
        ("a\x00b\x07c\x7fd\u200be\ufefff\x9fg", "abcdefg"),
        ("a\tb\u00a0\u2003 c  \r\n  d\r\re", "a b c\nd\n\ne"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("shown<!-- hidden <p>", "shown"),
        ("e\u0301", "é"),
        ("x\ud800y", "x\ufffdy"),
        ("👩‍👧 می‌خواهم", "👩‍👧 می‌خواهم"),
        ("", ""),
    ],
)
def test_clean(raw, expected):
    assert clean(raw) == expected


@given(st.text())
def test_clean_text_is_clean(raw):
    text = clean(raw)
    text.encode()  # no lone surrogates
    assert unicodedata.is_normalized("NFC", text)
    assert not any(unicodedata.category(char) == "Cc" and char != "\n" for char in text)
    assert "\n\n\n" not in text and "  " not in text
    assert all(line == line.strip() for line in text.split("\n"))


@pytest.mark.parametrize("wrong", [None, b"bytes", ["a"]])
def test_what_is_no_text_is_one_clear_line(wrong):
    for function in (clean, sentences, words):
        with pytest.raises(InputError, match=f"^every text must be a str, got {type(wrong).__name__}: "):
            function(wrong)


def test_clean_takes_linear_time():
    for part in ("<a ", "<a x='", "<!--", "<script>", "&", "<p", "\n \n", '<a "'):
        clean(part * 20_000)
