"""What addresses are compared by: the same for the index, for headers and for forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.mime.message import Address
from mailboxes.addresses import address_key


@pytest.mark.rule("R3.31")
@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        (" ada@example.com ", "ada@example.com"),
        ("\u3000ada@example.com\xa0", "ada@example.com"),
        ("<ada@example.com>", "ada@example.com"),
        ("<ada@example.com.>", "ada@example.com"),
        ("ada@example.com.>", "ada@example.com"),
        ("ada@example.com . .", "ada@example.com"),
        ("Ada Example <Ada@example.com>", "ada@example.com"),
        ('"Example, <Ada>" <ada@example.com>', "ada@example.com"),
        ("ada@example.com.", "ada@example.com"),
        ("ada+news@example.com", "ada+news@example.com"),
        ("a.d.a@example.com", "a.d.a@example.com"),
        ("", ""),
        ("<>", ""),
        (" . ", ""),
    ],
)
def test_addresses_are_compared_bare_and_without_case(written, compared):
    assert address_key(written) == compared
    assert Address(written).key == compared


@given(st.text(alphabet="aB@. <>\t\xa0İ\"'", max_size=20))
def test_what_is_compared_is_compared_by_itself(text):
    key = address_key(text)
    assert address_key(key) == key
    assert key == key.lower()
