"""Text from bytes whose label is wrong, missing or unheard of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.mime.charsets import _CODECS, codec_for, decode_text, encode_text, guess


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("UTF-8", "utf_8"),
        ("utf8", "utf_8"),
        ("ISO_8859-1", "latin_1"),
        ("Windows-1252", "cp1252"),
        ("Shift_JIS", "cp932"),
        ("x-sjis", "cp932"),
        ("ISO-2022-JP", "iso2022_jp"),
        ("GB2312", "gb18030"),
        ("ks_c_5601-1987", "cp949"),
        ("unicode-1-1-utf-7", "utf_7"),
        ("iso-8859-8-i", "iso8859_8"),
        ("zlib", ""),
        ("idna", ""),
        ("unicode_escape", ""),
        ("", ""),
        ("x" * 100_000, ""),
    ],
)
def test_labels_mean_charsets_and_nothing_else(label, codec):
    assert codec_for(label) == codec


def test_every_codec_in_the_table_exists():
    for codec in set(_CODECS.values()):
        assert b"".decode(codec) == ""


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("Die Maße stimmen „genau“, der Preis beträgt 5 €.", "cp1252"),
        ("Le prix est fixé à 5 € — très bientôt, où ça ?", "cp1252"),
        ("Zażółć gęślą jaźń w Łodzi, proszę", "cp1250"),
        ("Привет, детали будут в четверг", "cp1251"),
        ("Привет, детали будут в четверг", "koi8_r"),
        ("Καλημέρα σας, τα εξαρτήματα", "cp1253"),
        ("你好，货物星期四发出", "gb18030"),
        ("您好，貨物星期四發出", "big5"),
        ("안녕하세요 부품은 목요일에", "euc_kr"),
        ("部品の到着について", "cp932"),
        ("部品の到着について", "euc_jp"),
        ("部品の到着について", "iso2022_jp"),
        ("Grüße", "utf_8"),
        ("Müller", "cp1252"),
    ],
)
def test_charset_is_guessed(text, charset):
    assert guess(text.encode(charset))[0] == text


@given(
    st.binary(max_size=300), st.sampled_from(["", "utf-8", "us-ascii", "iso-2022-jp", "utf-7", "x"])
)
def test_any_octets_become_text_without_replacement_or_nul(data, label):
    text, defects = decode_text(data, label)
    text.encode("utf-8")
    assert "\0" not in text
    if "\ufffd" in text and "\ufffd".encode() not in data:
        assert defects


@pytest.mark.parametrize("hint", ["shift_jis", "euc-jp"])
def test_hint_decides_what_is_too_short_to_guess(hint):
    assert guess("部品".encode(hint), hint)[0] == "部品"


@given(
    st.text(max_size=50),
    st.sampled_from(["iso-2022-jp", "shift_jis", "gb2312", "koi8-r", "utf-16"]),
)
def test_written_label_is_true(text, label):
    octets, used = encode_text(text, label)
    if "\0" not in text and not text.startswith("\ufeff"):
        assert decode_text(octets, used)[0] == text
