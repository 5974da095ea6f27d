"""scrub: nothing that is personal by its form survives, and ordinary numbers do."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.data.quality.personal_data import MARKS, scrub
from lm_keras.errors import InputError


def check_digit(digits):
    """The Luhn digit by trying all ten: doubling by hand, the digits of 14 are 1 and 4."""
    for last in "0123456789":
        doubled = [str(int(d) * (2 if i % 2 else 1)) for i, d in enumerate(reversed(digits + last))]
        if sum(map(int, "".join(doubled))) % 10 == 0:
            return last
    raise AssertionError


def is_isbn(digits):
    return len(digits) == 13 and digits[:3] in ("978", "979")


@st.composite
def cards(draw):
    """A card number of 13 to 19 digits, whole or in groups of 3 to 6 (the last may be shorter)."""
    digits = draw(st.text("0123456789", min_size=12, max_size=18).filter(lambda digits: not is_isbn(digits + "0")))
    digits += check_digit(digits)
    separator, size = draw(st.sampled_from(["", " ", "-", "\u00a0"])), draw(st.integers(3, 6))
    return separator.join(digits[start : start + size] for start in range(0, len(digits), size))


AROUND = st.text(st.sampled_from("ab 我：,(\n12-"), max_size=8)


def numbers_in(text):
    """The digits of all runs of neighbouring groups in a text, a str each; all but the last of 3 digits or more."""
    rows = [re.findall(r"\d+", row) for row in re.findall(r"\d(?:[ \u00a0-]?\d)*", text)]
    runs = [row[i:j] for row in rows for i in range(len(row)) for j in range(i + 1, len(row) + 1)]
    return ["".join(run) for run in runs if all(len(group) >= 3 for group in run[:-1])]


@given(cards(), AROUND, AROUND)
def test_no_card_number_survives(card, before, after):
    text = f"{before} {card} {after}"
    result = scrub(text)
    assert not any(
        13 <= len(number) <= 19 and check_digit(number[:-1]) == number[-1] and not is_isbn(number)
        for number in numbers_in(result.text)
    )
    assert sum(result.found.values()) >= 1
    alone = scrub(card, kinds=["card"])
    assert alone == ("<CARD>", {"card": 1})


@given(st.emails(), AROUND.filter(lambda text: "@" not in text), AROUND)
def test_no_email_address_survives(address, before, after):
    result = scrub(f"{before} {address} {after}")
    assert "@" not in result.text and result.found["email"] == 1


PIECES = st.one_of(cards(), st.emails(), AROUND, st.from_regex(r"\+?[0-9 .-]{1,12}", fullmatch=True))


@given(st.lists(PIECES, max_size=6).map(" ".join))
def test_what_was_scrubbed_holds_nothing_more(text):
    once = scrub(text).text
    assert scrub(once) == (once, {})


@given(st.integers(10**12, 10**19 - 1).map(str).filter(lambda digits: check_digit(digits[:-1]) != digits[-1]))
def test_numbers_that_fail_the_check_stay(number):
    assert scrub(number, kinds=["card"]) == (number, {})


@given(st.integers(0, 2100), st.integers(0, 10**9), st.integers(0, 99), st.sampled_from(["$", "€", "¥", "", "No. "]))
def test_years_prices_and_counts_stay(year, amount, cents, sign):
    text = f"In {year} it cost {sign}{amount:,}.{cents:02} ({amount}), {year}-{year + 1}; v{cents}.{cents}.{cents}"
    assert scrub(text) == (text, {})


@pytest.mark.parametrize(
    "text",
    [
        "01-02-2024 10:30, 007, 0.123456789, #0123, 5 020 794 609 grains",
        "born 1987-06-05, died 05.06.2019 at 12:30:15",
        "ISBN 0-306-40615-2, pages 1001-1024, room 212-555",
        "1 002 345 678 901 cells, 1 000 000 000 people, 3.14159265358979, 1,234,567,890.12",
        "SSN-like 123-45-6789, part 1234-5678",
        "order US1398765432109876543, US12345678901234567890, US64 1234 5678 9012 3456, DE8937040044053201300, XK12",
        "0123 4567 8901 2345, 1234 0567 8901 2345, days 01 02 03 04 05 06 07 08",
        "1700000000001 ms, commit 4111, version 1.2.3, 1.2.3.4.5, 999.1.2.3",
        "ISBN 978-0-8014-3715-1, 9780801437151; 979-10-90636-06-4",  # both pass the check of a card
        "0 1 2 3 4 5 6 7 8 9 10 11 12 13; 1-2-3-4-5-6-7-8-9-0-1-2-8",
        "in 1990-2000 1991-2001; C++11 2014 2017",
        "score 000 111 2222, 000-000-0000, dates 05 06 07 2024",
        "@someone wrote to a@b, user@host and #1",
        "",
    ],
)
def test_ordinary_text_stays(text):
    assert scrub(text) == (text, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Call +44 20 7946 0958 now", "Call <PHONE> now"),
        ("+1 (212) 555-0100, or 0049 30 901820.", "<PHONE>, or <PHONE>."),
        ("tel:+8613812345678", "tel:<PHONE>"),
        ("电话13812345678，或138-1234-5678", "电话<PHONE>，或<PHONE>"),
        ("座机010-62345678转8", "座机<PHONE>转8"),
        ("(212) 555-0100; 212-555-0100; 212.555.0100; 1-800-555-0199", "<PHONE>; <PHONE>; <PHONE>; <PHONE>"),
        ("Call 09061701461, 020 7946 0958 or 01 23 45 67 89.", "Call <PHONE>, <PHONE> or <PHONE>."),
        ("03-1234-5678, 02 1234 5678, 090-1234-5678", "<PHONE>, <PHONE>, <PHONE>"),
        ("01.23.45.67.89 or 01-23-45-67-89; 030/901820", "<PHONE> or <PHONE>; <PHONE>"),
        ("00 44 20 7946 0958 or 00 33 6 12 34 56 78", "<PHONE> or <PHONE>"),
        ("007 495 123 45 67 or 001-202-555-0173", "<PHONE> or <PHONE>"),
        ("a,13812345678,13912345678,b", "a,<PHONE>,<PHONE>,b"),
        ("邮箱zhang.san@example.com.cn。", "邮箱<EMAIL>。"),
        ("<bob@x.org>, mailto:amy+news@mail.x-y.co.uk.", "<<EMAIL>>, mailto:<EMAIL>."),
        ("пишите: иван@почта.рф, νίκος@παράδειγμα.gr.", "пишите: <EMAIL>, <EMAIL>."),
        ("josé@exämple.de ＠ bob＠example.com", "<EMAIL> ＠ <EMAIL>"),
        ("4111 1111 1111 1111 exp 12/27", "<CARD> exp 12/27"),
        ("12 4111-1111-1111-1111 05 5500005555555559", "12 <CARD> 05 <CARD>"),
        ("卡号４１１１１１１１１１１１１１１１", "卡号<CARD>"),
        ("GB82 WEST 1234 5698 7654 32 IS MINE, DE89370400440532013000", "<IBAN> IS MINE, <IBAN>"),
        ("GB82WEST12345698765432 DE89370400440532013000", "<IBAN> <IBAN>"),
        ("DE89370400440532013000 ACTIVE, NO93 8601 1117 947 AS 12", "<IBAN> ACTIVE, <IBAN> AS 12"),
        ("de89-3704-0044-0532-0130-00是我的", "<IBAN>是我的"),
        ("020 7946 0958 020 7946 0959", "<PHONE> <PHONE>"),  # 14 of the digits pass the check of a card
        ("01 23 45 67 89 01 23 45 67 90 / 030 901 820", "<PHONE> <PHONE> / <PHONE>"),
        ("01 23 45 67 89 020 7946 0958 13812345678 02079460958", "<PHONE> <PHONE> <PHONE> <PHONE>"),
        ("138 1234 5678 139 1234 5678", "<PHONE> <PHONE>"),
        ("+44 20 7946 0958 020 7946 0959 +44 20 7946 0958 +1 212 555 0100", "<PHONE> <PHONE> <PHONE> <PHONE>"),
        ("+49 30 901820 030 901821; 001-202-555-0173 001-202-555-0174", "<PHONE> <PHONE>; <PHONE> <PHONE>"),
        ("in 2024 020 7946 0958; 2024 01 23 45 67 89 2025", "in 2024 <PHONE>; 2024 <PHONE> 2025"),
        ("+1 212 555 0100 2024; 1999 0044 20 7946 0958 2000", "<PHONE> 2024; 1999 <PHONE> 2000"),
        ("06.05.2024 01 23 45 67 89; 2024-05-06 01 23 45 67 89", "06.05.2024 <PHONE>; 2024-05-06 <PHONE>"),
        ("10:30 020 7946 0958 16 people, 01 23 45 67 89 11:00", "10:30 <PHONE> 16 people, <PHONE> 11:00"),
        ("+44 20 7946 0958.4111111111111111", "<PHONE>.<CARD>"),
        ("from 192.168.0.1:80 and 8.8.8.8.", "from <IP>:80 and <IP>."),
    ],
)
def test_what_goes(text, expected):
    result = scrub(text)
    assert result.text == expected
    assert result.found == {kind: expected.count(mark) for kind, mark in MARKS.items() if mark in expected}


SPACES = st.sampled_from("\u00a0\u2007\u2009\u202f\u3000 ")
HYPHENS = st.sampled_from("\u2010\u2011\u2012\u2013\u2212\uff0d-")
FORMS = (
    ("+44 20 7946 0958", "<PHONE>"),
    ("0044 20 7946 0958", "<PHONE>"),
    ("020 7946 0958", "<PHONE>"),
    ("01 23 45 67 89", "<PHONE>"),
    ("(212) 555-0100", "<PHONE>"),
    ("1-800-555-0199", "<PHONE>"),
    ("138 1234-5678", "<PHONE>"),
    ("010-62345678", "<PHONE>"),
    ("4111 1111-1111 1111", "<CARD>"),
    ("GB82 WEST 1234 5698 7654 32", "<IBAN>"),
)


@given(st.sampled_from(FORMS), SPACES, HYPHENS, st.sampled_from([0, 0x0660 - 0x30, 0xFF10 - 0x30, 0x1D7CE - 0x30]))
def test_any_space_hyphen_and_digit_counts(form, space, hyphen, digits):
    text = form[0].replace(" ", space).replace("-", hyphen)
    text = "".join(chr(ord(char) + digits) if char.isascii() and char.isdigit() else char for char in text)
    assert scrub(f"«{text}»").text == f"«{form[1]}»"
    assert scrub(f"{hyphen}，{text}{space}好").text == f"{hyphen}，{form[1]}{space}好"


def test_digits_of_any_other_script_are_text():
    text = "\U0001e950\U0001e951" * 20 + " +\U0001e951\U0001e952" * 20
    assert scrub(text) == (text, {})


def test_a_wrong_iban_stays():
    assert scrub("GB83WEST12345698765432 XX83 WEST ABCD EFGH 7654 32").found == {}


def test_only_the_kinds_that_are_asked_for():
    text = "a@b.org +44 20 7946 0958 4111111111111111"
    assert lk.data.scrub(text, kinds=("phone",)) == ("a@b.org <PHONE> 4111111111111111", {"phone": 1})
    for wrong in (("mail",), "email"):
        with pytest.raises(InputError, match="kinds are some of email, iban, card, phone, ip"):
            lk.data.scrub(text, kinds=wrong)
    with pytest.raises(InputError, match="must be a str, got list"):
        lk.data.scrub([text])


def test_long_runs_take_no_quadratic_time():
    for unit in ("a.", "1 ", "1-", "AB12 ", "+", "(", "a-"):
        scrub(unit * 4_000 + "@")  # the whole suite would stand still
    numbers = (
        "4111111111111111.",
        "0044 20 7946 0958 ",
        "020 7946 0958 ",
        "+4930901820 ",
        "DE89370400440532013000 ",
        "001-202-555-0173 ",
        "1-800-555-0199.",
        "13812345678-",
    )
    for unit in ("1 " * 20, *numbers):
        start = time.process_time()
        scrub(unit * 1_500)
        assert time.process_time() - start < 3, "linear: a tenth of that; quadratic: ten times as much"
