"""Numbers read thousands at a time are those that `float` reads, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_keras.embeddings.io import text_format

WRITTEN = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda x: f"{x:.9g}"),
    st.floats(-10, 10).map(lambda x: f"{x:.5g}"),
    st.floats(-10, 10).map(lambda x: f"{x:.6f}"),
    st.from_regex(r"\A[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,2})?\Z", alphabet="+-.0123456789eE"),
)


@given(st.lists(WRITTEN, min_size=1, max_size=60))
def test_numbers_equal_floats(written):
    values, ends = text_format.parse_numbers(" ".join(written).encode())
    expected = np.array([float(x) for x in written])
    assert values.tobytes() == expected.tobytes()  # the sign of a zero, too
    assert ends.tolist() == (np.cumsum([len(x) + 1 for x in written]) - 1).tolist()


@given(
    st.lists(WRITTEN, max_size=20), st.text("0123456789+-.eE_xnaif\0\t", max_size=9), st.lists(WRITTEN, max_size=20)
)
def test_what_is_no_number_is_found(before, odd, after):
    fields = [*before, odd, *after]
    if text_format.NUMBER.fullmatch(odd.encode()):
        assert len(text_format.parse_numbers(" ".join(fields).encode())[0]) == len(fields)
        return
    with pytest.raises(text_format.NotANumberError) as error:
        text_format.parse_numbers(" ".join(fields).encode())
    assert (error.value.index, error.value.field) == (len(before), odd.encode())


def test_numbers_that_round_badly():
    # Midpoints between floats, the largest exact integer and its neighbours, the longest that go the fast way.
    written = "9007199254740993.0 9007199254740992.5 0.1 0.3 1.7976931348623157e308 5e-324 0.9007199254740993"
    written += " 90071992.54740993 99999999.99999999 0.0000000000000001 -0.0 -0. 123456789.5 0.12345678901234567"
    assert text_format.parse_numbers(written.encode())[0].tobytes() == np.array(written.split(), float).tobytes()
