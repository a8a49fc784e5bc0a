import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.conversation_index import base_hash, nearness, octets_of

ROOT = bytes(range(22))


def header(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


@pytest.mark.rule("R4.14")
def test_the_first_22_octets_name_the_conversation():
    assert octets_of(header(ROOT)) == ROOT
    assert base_hash(header(ROOT)) == base_hash(header(ROOT + b"12345"))
    assert base_hash(header(ROOT)) != base_hash(header(b"x" + ROOT[1:]))


@pytest.mark.parametrize("text", ["", "AQ==", header(ROOT[:21]), "not base64 at all, is it?", "é"])
def test_what_names_no_conversation_is_none(text):
    assert octets_of(text) == b""
    assert base_hash(text) is None


def test_folds_and_lost_padding_are_forgiven():
    text = header(ROOT)
    assert octets_of(f" {text[:10]}\r\n {text[10:].rstrip('=')} ") == ROOT


@pytest.mark.parametrize("length", range(32, 48))
def test_header_that_was_cut_still_names_its_conversation(length):
    assert octets_of(header(ROOT + b"answer" * 3)[:length])[:22] == ROOT


@given(st.binary(min_size=22, max_size=200))
@pytest.mark.rule("R3.46")
def test_hash_fits_its_column(octets):
    hashed = base_hash(header(octets))
    assert hashed is not None
    assert -(2**31) <= hashed < 2**31


@given(st.text(max_size=100))
def test_any_header_is_read_without_failing(text):
    assert octets_of(text) == b"" or len(octets_of(text)) >= 22


def test_the_nearest_message_above_is_the_one_that_was_answered():
    first, second = ROOT + b"11111", ROOT + b"1111122222"
    assert nearness(second, first) > nearness(second, ROOT) > 0
    assert nearness(second, second) == -1
    assert nearness(first, second) == -1
    assert nearness(second, ROOT + b"99999") == -1
