"""What `parse` reads from the corpus, what it calls a defect, and that nothing makes it raise."""

import json
import time
from dataclasses import fields
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from activities.mime import parse as parse_module
from activities.mime.careful import parse_carefully
from activities.mime.message import Address, ParsedMessage
from activities.mime.parse import forwarded_originals, parse
from tests.messages import many_parts, names, nested, plain, read

# Messages that aren't here have no defect.
DEFECTS: dict[str, set[str]] = {
    "address_without_domain": {"address_without_domain"},
    "bad_base64_body": {"bad_base64"},
    "bad_date_header": {"bad_date"},
    "bad_quoted_printable": {"bad_quoted_printable"},
    "bare_cr_in_subject": {"bare_cr"},
    "bare_cr_line_ends": {"bare_cr_line_ends"},
    "base64_cut_off": {"bad_base64"},
    "base64_with_footer": {"text_after_base64"},
    "blank_in_address": {"blank_in_address"},
    "boundary_never_used": {"boundary_not_found"},
    "boundary_parameter_and_lines_missing": {"boundary_missing"},
    "boundary_parameter_missing": {"boundary_guessed"},
    "byte_order_mark": {"byte_order_mark"},
    "charset_is_a_python_codec": {"unknown_charset"},
    "content_type_without_semicolon": {"missing_semicolon"},
    "cp1252_labelled_latin1": {"charset_mislabelled"},
    "cp1252_labelled_us_ascii": {"charset_mislabelled"},
    "doubled_content_type": {"repeated_header"},
    "doubled_fields": {"repeated_header"},
    "doubled_from": {"repeated_header"},
    "eight_bit_filename": {"eight_bit_header"},
    "eight_bit_subject_latin1": {"eight_bit_header"},
    "eight_bit_subject_shift_jis": {"eight_bit_header"},
    "empty": {"empty_message", "missing_date", "missing_message_id"},
    "empty_from": {"broken_address"},
    "empty_message_id": {"bad_message_id"},
    "encoded_address": {"encoded_address"},
    "encoded_message_attached": {"encoded_message"},
    "encoded_word_bad_base64": {"bad_base64"},
    "encoded_word_in_filename": {"encoded_word_in_parameter"},
    "encoded_word_unknown_charset": {"unknown_charset"},
    "euc_jp_without_label": {"charset_missing"},
    "forward_gmail": {"encoded_message"},
    "forward_in_winmail": {"winmail_opened"},
    "forward_opaque_signed": {"signed_part_opened"},
    "garbled_content_type": {"bad_content_type"},
    "header_line_starts_with_blank": {"stray_continuation"},
    "impossible_date": {"bad_date"},
    "inner_boundary_not_closed": {"boundary_not_closed"},
    "japanese_half_width_kana": {"charset_extension"},
    "japanese_vendor_characters": {"charset_extension"},
    "latin1_labelled_utf8": {"charset_mislabelled"},
    "leading_blank_lines": {"leading_blank_lines"},
    "mailto_in_brackets": {"broken_address"},
    "malformed_header_line": {"malformed_header_line", "stray_continuation"},
    "mbox_from_line": {"mbox_from_line"},
    "missing_date": {"missing_date"},
    "missing_from": {"missing_from"},
    "missing_message_id": {"missing_message_id"},
    "missing_separator": {"missing_separator"},
    "name_without_address": {"broken_address"},
    "no_header_at_all": {"missing_date", "missing_message_id", "missing_separator", "no_header"},
    "nul_bytes": {"nul_removed"},
    "only_blank_lines": {"missing_date", "missing_message_id", "no_header"},
    "part_without_blank_line": {"missing_separator"},
    "path_in_filename": {"path_in_filename"},
    "quoted_encoded_word": {"quoted_encoded_word"},
    "raw_iso_2022_jp_subject": {"eight_bit_header"},
    "repeated_parameter": {"repeated_parameter"},
    "semicolon_recipients": {"semicolon_separator"},
    "shift_jis_labelled_iso_2022_jp": {"charset_mislabelled"},
    "smime_opaque_signed": {"opaque_signature"},
    "smime_opaque_signed_mixed": {"signed_part_opened"},
    "smime_opaque_signed_streamed": {"signed_part_opened"},
    "smime_opaque_signed_twice": {"signed_part_opened"},
    "text_after_last_boundary": {"text_after_last_boundary"},
    "truncated_multipart": {"boundary_not_closed"},
    "unclosed_bracket": {"broken_address"},
    "unclosed_comment": {"broken_address"},
    "unclosed_quote": {"broken_address"},
    "unknown_charset": {"unknown_charset"},
    "unknown_charset_ascii": {"unknown_charset"},
    "unknown_transfer_encoding": {"unknown_transfer_encoding"},
    "unquoted_comma_in_name": {"unquoted_comma"},
    "utf16_message": {"utf16_message"},
    "utf7_lone_surrogate": {"lone_surrogates"},
    "utf8_with_one_bad_byte": {"undecodable_bytes"},
    "uuencoded_inline": {"uuencoded"},
    "uuencoded_part": {"uuencoded"},
    "winmail_cut_off": {"winmail_opened"},
    "winmail_is_all": {"winmail_opened"},
    "winmail_meeting_request": {"winmail_opened"},
    "winmail_with_files": {"winmail_opened"},
}


def codes(parsed: ParsedMessage) -> set[str]:
    return {defect.code for defect in parsed.defects}


@pytest.mark.parametrize("name", names())
def test_corpus_has_exactly_the_defects_its_names_promise(name):
    assert codes(parse(read(name))) == DEFECTS.get(name, set())


@pytest.mark.parametrize("name", names())
def test_sizes_are_octets(name):
    raw = read(name)
    parsed = parse(raw)
    assert parsed.size == len(raw)
    assert 0 <= parsed.body_size <= parsed.size


# -- header --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("plain_ascii", "Delivery on Thursday"),
        ("latin1_quoted_printable", "Grüße aus Köln"),
        ("koi8_r", "Привет"),
        ("gb2312_is_gb18030", "你好"),
        ("japanese_iso_2022_jp", "部品の到着について"),
        ("japanese_shift_jis", "部品の到着について"),
        ("japanese_euc_jp", "部品の到着"),
        ("japanese_utf8", "部品の到着について"),
        ("subject_folded", "A subject that goes on over two folds"),
        ("subject_of_several_words", "Grüße und Übersicht at the end"),
        ("encoded_word_split_character", "Grüße"),
        ("encoded_word_split_base64", "Grüße"),
        ("encoded_word_unknown_charset", "Grüße"),
        ("encoded_word_with_language", "Grüße"),
        ("encoded_word_bad_base64", "Grüße"),
        ("encoded_word_without_end", "=?utf-8?q?Gr=C3=BC"),
        ("eight_bit_subject_utf8", "Grüße aus Köln"),
        ("eight_bit_subject_latin1", "Grüße aus Köln"),
        ("eight_bit_subject_shift_jis", "部品の到着について"),
        ("raw_iso_2022_jp_subject", "部品の到着"),
        ("bare_cr_in_subject", "one two"),
        ("nul_bytes", "onetwo"),
        ("doubled_fields", "Delivery on Thursday"),
    ],
)
def test_subject_is_what_a_person_reads(name, subject):
    assert parse(read(name)).subject == subject


@pytest.mark.parametrize(
    ("name", "senders"),
    [
        ("plain_ascii", [("ada@example.com", "Ada")]),
        ("japanese_iso_2022_jp", [("taro@example.jp", "山田太郎")]),
        ("quoted_names", [("ada@example.com", 'Lovelace, Ada "the first"')]),
        ("quoted_local_part", [('"ada lovelace"@example.com', "")]),
        ("quoted_encoded_word", [("joerg@example.com", "Jörg")]),
        ("sender_with_comment", [("ada@example.com", "Ada (London)")]),
        ("source_route", [("ada@example.com", "")]),
        ("international_address", [("jörg@example.com", "Jörg")]),
        ("doubled_from", [("ada@example.com", "Ada"), ("cy@example.net", "Cy")]),
        ("address_without_domain", [("ada", "Ada")]),
        ("name_without_address", [("", "Ada Lovelace")]),
        ("unquoted_comma_in_name", [("ada@example.com", "Lovelace, Ada")]),
        ("unclosed_bracket", [("ada@example.com", "Ada")]),
        ("unclosed_quote", [("ada@example.com", "Ada")]),
        ("unclosed_comment", [("ada@example.com", "Ada")]),
        ("mailto_in_brackets", [("ada@example.com", "Ada")]),
        ("encoded_address", [("ada@example.com", "Ada")]),
        ("blank_in_address", [("ada@example.com", "Ada")]),
        ("empty_from", [("", "")]),
        ("missing_from", []),
    ],
)
def test_senders_are_read_however_they_are_written(name, senders):
    found = parse(read(name)).senders
    assert [(a.address, a.name) for a in found] == senders


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("group_address", ["ben@example.org", "cy@example.org", "dan@example.net"]),
        ("undisclosed_recipients", []),
        ("semicolon_recipients", ["ben@example.org", "cy@example.org", "dan@example.net"]),
        ("quoted_names", ["ben@example.org", "cy@example.org", "dan@example.net"]),
        ("unclosed_bracket", ["ben@example.org", "cy@example.org"]),
        ("address_without_domain", ["root", "ben@"]),
        ("doubled_fields", ["ben@example.org", "cy@example.net"]),
    ],
)
def test_recipients_are_flattened(name, addresses):
    assert [a.address for a in parse(read(name)).to] == addresses


def test_sender_property_skips_what_is_no_address():
    assert parse(read("name_without_address")).sender is None
    assert parse(read("doubled_from")).sender == Address("ada@example.com", "Ada")


@pytest.mark.rule("R4.4")
def test_ids_are_trimmed_and_lose_their_brackets_but_keep_their_case():
    parsed = parse(read("id_case_and_blanks"))
    assert parsed.message_id == "MiXed.Case@Mail.Example.COM"
    assert parsed.in_reply_to == "Parent.Case@Mail.Example.ORG"


def test_references_are_found_without_separators_and_over_folds():
    parsed = parse(read("references_without_separators"))
    assert parsed.references == (
        "root@mail.example.org",
        "middle@mail.example.org",
        "bare@mail.example.org",
        "child@mail.example.org",
    )
    assert parsed.in_reply_to == "child@mail.example.org"


def test_thread_index_is_joined():
    assert parse(read("reply_with_references")).thread_index == "AdrQ0wz8kqVZ1sMtQ2y3Vw=="


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("plain_ascii", datetime(2026, 3, 5, 8, 30, tzinfo=UTC)),
        ("date_without_zone", datetime(2026, 3, 5, 9, 30, tzinfo=UTC)),
        ("date_with_zone_name", datetime(2026, 3, 5, 14, 30, tzinfo=UTC)),
        ("doubled_fields", datetime(2026, 3, 5, 8, 30, tzinfo=UTC)),
        ("bad_date_header", None),
        ("impossible_date", None),
        ("missing_date", None),
    ],
)
def test_date_is_aware_utc_or_none(name, date):
    parsed = parse(read(name))
    assert parsed.date == date
    assert parsed.date is None or parsed.date.tzinfo is UTC


def test_unreadable_date_is_kept_as_text():
    assert parse(read("bad_date_header")).date_text == "yesterday, about ten"


@pytest.mark.parametrize(
    ("name", "importance"),
    [("high_importance", 2), ("low_x_priority", 0), ("urgent_priority", 2), ("plain_ascii", 1)],
)
def test_importance_comes_from_whichever_field_has_it(name, importance):
    assert parse(read(name)).importance == importance


@pytest.mark.rule("R3.13")
def test_auto_submitted_and_reply_to_become_json():
    assert json.loads(parse(read("auto_reply")).headers_json) == {
        "Auto-Submitted": "auto-replied (vacation)"
    }
    assert json.loads(parse(read("reply_to")).headers_json) == {
        "Reply-To": "Büro <office@example.com>"
    }
    assert parse(read("plain_ascii")).headers_json == ""


@pytest.mark.rule("R3.13")
@pytest.mark.parametrize("character", ["x", "ä", '"', "\\", "部"])
def test_json_of_long_headers_stays_valid_and_within_500_characters(character):
    parsed = parse(plain(reply_to=character * 3000, auto_submitted="auto-generated"))
    assert 400 < len(parsed.headers_json) <= 500
    assert json.loads(parsed.headers_json)["Auto-Submitted"] == "auto-generated"


def test_real_long_reply_to_stays_valid_json():
    parsed = parse(read("reply_to_very_long"))
    assert len(parsed.reply_to) == 40
    assert len(parsed.headers_json) <= 500
    assert set(json.loads(parsed.headers_json)) == {"Auto-Submitted", "Reply-To"}


def test_remaining_fields():
    assert parse(read("own_probe")).own_header == "probe"
    assert parse(read("auto_reply")).auto_submitted == "auto-replied (vacation)"
    assert parse(read("delivered_to")).delivered_to == ("sales@example.org", "info@example.org")
    assert parse(read("mailing_list_footer")).list_id == "Planning <planning.lists.example.org>"
    assert parse(read("sender_differs")).sender_header == Address("office@example.com", "Office")
    assert parse(read("bcc_present")).bcc == (Address("dan@example.net"),)


# -- body ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain_utf8_eight_bit", "Grüße aus Köln, 5 € – bis bald\n"),
        (
            "plain_utf8_quoted_printable",
            "Grüße aus Köln, a very long line that is broken softly after a while = fine\n",
        ),
        ("plain_utf8_base64", "Grüße aus Köln\n"),
        ("latin1_quoted_printable", "Grüße aus Köln\n"),
        ("windows_1252", "„Preis“ 5 € – fertig\n"),
        ("koi8_r", "Привет из Москвы, детали будут в четверг\n"),
        ("gb2312_is_gb18030", "你好，货物星期四发出。镕\n"),
        ("gb18030", "货物星期四发出 €\n"),
        ("big5", "您好，貨物星期四發出\n"),
        ("euc_kr", "안녕하세요 똠방각하\n"),
        ("japanese_iso_2022_jp", "こんにちは。部品は木曜日に発送します。\n山田太郎\n"),
        (
            "japanese_shift_jis",
            "こんにちは。部品は木曜日に発送します。\n山田太郎\n①②㈱ ～ ﾊﾝｶｸ\n",
        ),
        ("japanese_euc_jp", "こんにちは。部品は木曜日に発送します。\n山田太郎\n"),
        ("japanese_vendor_characters", "①㈱ こん\n"),
        ("japanese_half_width_kana", "ｱｲｳｴ ok こん\n"),
        ("shift_jis_labelled_iso_2022_jp", "こんにちは。部品は木曜日に発送します。\n山田太郎\n"),
        ("euc_jp_without_label", "こんにちは。部品は木曜日に発送します。\n山田太郎\n"),
        ("utf7_body", "Grüße aus Köln\n"),
        ("utf16_body", "Grüße\n"),
        ("utf8_mark_in_body", "Grüße\n"),
        (
            "cp1252_labelled_us_ascii",
            "Die Maße stimmen „genau“, der Preis beträgt 5 € für alle Größen.\n",
        ),
        ("cp1252_labelled_latin1", "Preis: 5 € – für alle\n"),
        (
            "latin1_labelled_utf8",
            "Maße für Größen über Höhe, Länge, Breite und Fläche, gemäß Prüfbericht für Zürich\n",
        ),
        ("utf8_with_one_bad_byte", "Grüße aus Köln, Zürich ü und Öhringen über die Flüsse\n"),
        ("unknown_charset", "Grüße aus Köln\n"),
        ("charset_is_a_python_codec", "plain after all\n"),
        ("bad_base64_body", "Hello Ben and others"),
        ("base64_with_footer", "Hello Ben and everybody else here"),
        ("base64_in_pieces", "Hello Ben"),
        ("base64_cut_off", "Hello Be"),
        ("bad_quoted_printable", "100 =% sure, über =ZZ\n"),
        ("unknown_transfer_encoding", "Hello\n"),
        (
            "format_flowed",
            "This paragraph flows over three lines.\n> quoted text flows too\n\n"
            "From a stuffed line\n-- \nAda\n",
        ),
        ("format_flowed_delsp", "部品は木曜日に発送\n"),
        ("uuencoded_inline", "before\nafter\n"),
        ("begin_in_prose", "We\nbegin 644 times\nand never end\n"),
        ("boundary_parameter_missing", "words"),
        ("boundary_parameter_and_lines_missing", "only words\n"),
        ("boundary_never_used", "only words\n"),
        ("boundary_with_trailing_blanks", "words"),
        ("same_boundary_twice", "words\nmore"),
        ("truncated_multipart", "See the file."),
        ("missing_separator", "Hello Ben, the blank line was forgotten.\nRegards\n"),
        ("no_header_at_all", "Hello Ben,\nthis is only text.\n"),
        ("bare_cr_line_ends", "Hello Ben,\n\nthe parts leave on Thursday.\n\nRegards\nAda\n"),
        ("utf16_message", "Hello Ben,\n\nthe parts leave on Thursday.\n\nRegards\nAda\n"),
        ("mixed_line_ends", "one\ntwo\nthree\nfour\n"),
        ("nul_bytes", "words and words\n"),
        ("garbled_content_type", "words\n"),
    ],
)
def test_text_is_read(name, text):
    assert parse(read(name)).text == text


def test_first_displayable_alternative_is_the_body():
    parsed = parse(read("alternative_text_html"))
    assert (parsed.text, parsed.html) == ("Hello *Ben*", "<p>Hello <b>Ben</b></p>")
    assert parsed.attachments == ()


def test_further_texts_are_appended_to_both_bodies():
    parsed = parse(read("mailing_list_footer"))
    assert parsed.html.startswith("<p>Meeting at <b>ten</b></p><br>")
    assert 'href="https://lists.example.org/leave"' in parsed.html
    assert parsed.text == "Meeting at ten\nUnsubscribe at https://lists.example.org/leave"


def test_html_before_and_after_a_file_is_one_body():
    parsed = parse(read("html_pdf_html"))
    assert parsed.html == "<p>before</p><br>\n<p>after</p>"
    assert [a.filename for a in parsed.attachments] == ["offer.pdf"]


@pytest.mark.parametrize("name", ["html_inline_image", "alternative_with_related"])
def test_image_shown_by_cid_is_an_inline_attachment(name):
    (image,) = parse(read(name)).attachments
    assert image.inline
    assert (image.content_id, image.content_type) == ("logo@example.com", "image/png")
    assert image.content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "filenames"),
    [
        ("mixed_pdf", ["offer.pdf"]),
        ("text_file_attached", ["notes.txt", "more.txt"]),
        ("rfc2231_filename", ["Übersicht der Maße.pdf"]),
        ("rfc2231_filename_beside_plain", ["Übersicht.pdf"]),
        ("encoded_word_in_filename", ["Übersicht.pdf"]),
        ("eight_bit_filename", ["Übersicht.pdf"]),
        ("path_in_filename", ["passwd.pdf"]),
        ("filename_with_blanks_unquoted", ["my offer (final).pdf"]),
        ("no_filename", ["part-1.pdf"]),
        ("tnef", ["winmail.dat"]),
        ("uuencoded_inline", ["offer.pdf"]),
        ("uuencoded_part", ["offer.pdf"]),
        ("image_as_body", ["scan.png"]),
        ("forward_as_attachment", ["The original.eml"]),
        ("smime_clear_signed", ["smime.p7s"]),
        ("inner_boundary_not_closed", ["part-1.pdf"]),
    ],
)
def test_attachments_have_names(name, filenames):
    assert [a.filename for a in parse(read(name)).attachments] == filenames


@pytest.mark.parametrize("name", ["mixed_pdf", "uuencoded_inline", "uuencoded_part", "no_filename"])
def test_attachment_has_the_octets_of_the_file(name):
    (file,) = parse(read(name)).attachments
    assert file.content.startswith(b"%PDF-1.4\n")
    assert file.content.endswith(b"%%EOF\n")


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("meeting_request", "REQUEST"),
        ("meeting_reply_method_line", "REPLY"),
        ("calendar_file_attached", ""),
        ("plain_ascii", ""),
    ],
)
def test_calendar_method_tells_traffic_from_files(name, method):
    assert parse(read(name)).calendar_method == method
    assert parse(read(name)).calendar_uid == ("1@example.com" if method else "")


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        (
            b"UID:040000008200E00074C5B7101A82E00800000000\r\n 10000000",
            "040000008200E00074C5B7101A82E0080000000010000000",
        ),
        (b"uid;X-VENDOR=a:one@example.com", "one@example.com"),
        (b"X-UID:one", ""),
        (b"UID:", ""),
        (b"UID:" + b"x" * 600, ""),
    ],
)
def test_the_id_of_a_meeting_is_unfolded(written, read_as):
    raw = read("meeting_request").replace(b"\r\n", b"\n").replace(b"UID:1@example.com", written)
    assert parse(raw).calendar_uid == read_as


@pytest.mark.parametrize(
    ("name", "kind"),
    [("bounce", "delivery-status"), ("read_receipt", "disposition-notification"), ("tnef", "")],
)
def test_report_type(name, kind):
    assert parse(read(name)).report_type == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("smime_encrypted", "smime"),
        ("smime_opaque_signed", ""),
        ("smime_clear_signed", ""),
        ("pgp_mime", "pgp"),
        ("pgp_inline", "pgp"),
        ("rights_protected", "irm"),
    ],
)
def test_wrappers_that_cannot_be_read_are_named(name, kind):
    assert parse(read(name)).encrypted == kind


# -- forwarded originals -------------------------------------------------------------------------


@pytest.mark.rule("R3.75")
@pytest.mark.parametrize("name", ["forward_as_attachment", "forward_two_originals", "digest"])
def test_forwarded_original_is_given_back_octet_for_octet(name):
    raw = read(name)
    originals = forwarded_originals(raw)
    assert len(originals) == (1 if name == "forward_as_attachment" else 2)
    for original in originals:
        assert original in raw
        assert original.startswith(b"From: Cy <cy@example.net>\r\n")
        assert original.endswith(b"Original words.\r\n\r\n")


@pytest.mark.rule("R3.75")
@pytest.mark.parametrize("name", ["forward_eml_as_octet_stream", "encoded_message_attached"])
def test_encoded_original_is_given_back(name):
    (original,) = forwarded_originals(parse(read(name)))
    assert parse(original).message_id == "original-1@mail.example.net"


@pytest.mark.rule("R3.75")
def test_boundaries_inside_the_original_belong_to_it():
    (original,) = forwarded_originals(read("forward_with_own_boundary_inside"))
    assert parse(original).html == "<p>Hello <b>Ben</b></p>"


@pytest.mark.rule("R3.75")
def test_other_attachments_are_no_originals():
    assert forwarded_originals(read("mixed_pdf")) == []
    assert forwarded_originals(read("plain_ascii")) == []


# -- hostile input -------------------------------------------------------------------------------

HOSTILE = {
    "header line of 1 MB": (lambda: plain(x_long="x" * 1_000_000), None),
    "encoded words": (lambda: plain(subject="=?utf-8?q?a?= " * 60_000), None),
    "half encoded words": (lambda: plain(subject="=?" * 500_000), None),
    "300,000 folds": (lambda: plain(subject="x" + "\r\n a" * 300_000), None),
    "100,000 parts": (lambda: many_parts(100_000), "too_many_parts"),
    "100,000 recipients": (
        lambda: plain(to=", ".join(f"p{i}@example.com" for i in range(100_000))),
        "too_many_addresses",
    ),
    "100,000 fields": (lambda: b"To: a@b.example\r\n" * 100_000 + plain(), "too_many_fields"),
    "depth 1,000": (lambda: nested(1_000), "nested_too_deep"),
    "depth 100,000": (lambda: nested(100_000), "nested_too_deep"),
    "3,000 brackets": (lambda: plain(**{"from": "(" * 3_000}), "broken_address"),
    "angle brackets": (lambda: plain(**{"from": "<" * 200_000}), "broken_address"),
    "semicolons": (lambda: plain(to=";" * 300_000), None),
    "semicolons in a type": (lambda: plain(content_type="text/plain" + ";" * 500_000), None),
    "references": (lambda: plain(references="<" * 500_000), None),
    "dash lines": (
        lambda: plain(b"--x\r\n" * 500_000, content_type='multipart/mixed; boundary="b"'),
        "boundary_not_found",
    ),
    "only fields": (lambda: b"a:\n" * 1_000_000, "too_many_fields"),
    "bad lines": (lambda: b"a b\nFrom: x\n" * 100_000, "malformed_header_line"),
    "blanks before a line end": (
        lambda: plain(b" " * 2_000_000, content_transfer_encoding="quoted-printable"),
        None,
    ),
    "padding": (lambda: plain(b"=" * 2_000_000, content_transfer_encoding="base64"), "bad_base64"),
    "begin lines": (lambda: plain(b"begin 644 a\n" * 100_000), None),
    "every octet": (
        lambda: plain(bytes(range(256)) * 8_000, content_type="text/plain; charset=utf-8"),
        "charset_mislabelled",
    ),
    "no UTF-8 at all": (
        lambda: plain(b"\xff" * 2_000_000, content_type="text/plain; charset=utf-8"),
        "charset_mislabelled",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_absurd_message_is_read_in_seconds(kind):
    make, code = HOSTILE[kind]
    raw = make()
    began = time.process_time()
    parsed = parse(raw)
    assert time.process_time() - began < 15  # a quadratic step would need minutes
    assert "unreadable" not in codes(parsed)
    assert code is None or code in codes(parsed)


def test_what_is_beyond_a_limit_is_counted():
    parsed = parse(plain(to=", ".join(f"p{i}@example.com" for i in range(10_020))))
    assert len(parsed.to) == 10_000
    assert "10000 kept, about 20 more" in parsed.defects[0].detail


def test_deep_rest_stays_an_attachment():
    (rest,) = parse(nested(60)).attachments
    assert b"innermost" in rest.content


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=600))
@example(b"\xff\xfe")
@example(b"From ")
@example(b"Content-Disposition: a; filename*0*=\xfc%\r\n\r\n")
def test_no_bytes_make_it_raise(raw):
    assert_sound(parse_carefully(raw))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(names()),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), st.binary(max_size=12)), max_size=5),
)
def test_no_damage_to_real_mail_makes_it_raise(name, cuts):
    raw = read(name)
    for place, length, insert in cuts:
        at = int(place * len(raw))
        raw = raw[:at] + insert + raw[at + length :]
    assert_sound(parse_carefully(raw))


def assert_sound(parsed: ParsedMessage) -> None:
    shown = repr(parsed)
    shown.encode("utf-8")  # no half characters
    values = repr([getattr(parsed, f.name) for f in fields(parsed) if f.name != "attachments"])
    assert "\\x00" not in values.replace("\\\\x00", "")  # a defect may name what it met


def test_last_net_holds_whatever_happens(monkeypatch):
    def fail(raw: bytes) -> ParsedMessage:
        raise RecursionError

    monkeypatch.setattr(parse_module, "parse_carefully", fail)
    parsed = parse(b"From: ada@example.com\r\n\r\n")
    assert codes(parsed) == {"unreadable"}


@pytest.mark.parametrize(
    ("header", "null_path"),
    [(b"Return-Path: <>\r\n", True), (b"Return-Path: <a@b.example>\r\n", False), (b"", False)],
)
def test_an_envelope_without_sender_is_told(header, null_path):
    assert parse(header + b"From: a@b.example\r\nSubject: x\r\n\r\nText\r\n").null_path is null_path


@pytest.mark.parametrize(
    ("header", "unwanted"),
    [
        (b"X-Auto-Response-Suppress: DR, OOF, AutoReply\r\n", True),
        (b"X-Auto-Response-Suppress: All\r\n", True),
        (b"X-Auto-Response-Suppress: -1\r\n", True),
        (b"X-Auto-Response-Suppress: DR, RN, NRN\r\n", False),  # receipts only
        (b"X-Auto-Response-Suppress: None\r\n", False),
        (b"Precedence: Bulk\r\n", True),
        (b"Precedence: first-class\r\n", False),
        (b"", False),
    ],
)
def test_who_asks_for_no_automatic_answer_is_told(header, unwanted):
    parsed = parse(header + b"From: a@b.example\r\nIn-Reply-To: <1@c.d>\r\n\r\nText\r\n")

    assert parsed.answer_unwanted is unwanted
