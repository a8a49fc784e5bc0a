"""What a file is by its content, and which extensions its name has."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activities.mime.filetypes import extensions_of, true_type
from tests.files import (
    compound_with_class,
    dos_program,
    windows_program,
    word_document,
    zip_of,
)

MSI = "84100c0000000000c000000000000046"


@pytest.mark.rule("R3.52")
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (windows_program(), "exe"),
        (windows_program(library=True), "dll"),
        (dos_program(), "exe"),
        (b"\x7fELF\x02\x01\x01" + bytes(57), "elf"),
        (b"\xcf\xfa\xed\xfe" + bytes(28), "macho"),
        (b"\xca\xfe\xba\xbe\0\0\0\x02" + bytes(40), "macho"),
        (b"\xca\xfe\xba\xbe\0\0\0\x41" + bytes(40), "class"),
        (b"#!/bin/sh\nrm -r /\n", "sh"),
        (b"#!/usr/bin/env python3\nimport os\n", "py"),
        (b"#! /usr/bin/env -S perl -w\n", "pl"),
        (b"#!/usr/local/bin/tcsh -f\n", "csh"),
        (b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F" + bytes(56), "lnk"),
        (b"ITSF\x03\0\0\0" + bytes(50), "chm"),
        (zip_of("META-INF/MANIFEST.MF", "a.class"), "jar"),
        (zip_of("AndroidManifest.xml"), "apk"),
        (compound_with_class(MSI), "msi"),
        (b"\xff\xfe" + "Windows Registry Editor Version 5.00".encode("utf-16-le"), "reg"),
        (b"[InternetShortcut]\r\nURL=file://x\r\n", "url"),
        (b'<?xml version="1.0"?>\n<!-- made by -->\n<svg xmlns="x">', "svg"),
        (b'<html><head><HTA:APPLICATION id="x"></head>', "hta"),
        (b"\0\1\0\0Standard Jet DB\0", "mdb"),
        (b"Rar!\x1a\x07\x01\0" + bytes(20), "rar"),
        (bytes(32769) + b"CD001\x01", "iso"),
        (b"%PDF-1.7\n", "pdf"),
    ],
)
def test_content_tells_its_type_whatever_the_name_says(content, kind):
    assert true_type(content, "invoice.pdf", "application/pdf") == kind


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MZ",
        b"MZ is how Mozart signs, and this is a letter about his works, long enough for a header.",
        b"BM, the agency",
        b"PK",
        b"#!",
        b"#!not a path\n",
        b"<p>words</p><svg></svg>",
        b'<?xml version="1.0" standalone="yes"?><order/>',
        b"Dear Ada, the [InternetShortcut] is below.",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\xff\xff\xff\xff",
    ],
)
def test_what_only_begins_like_something_is_unknown(content):
    assert true_type(content, "letter.txt", "text/plain") == ""


@pytest.mark.rule("R3.52")
@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (word_document(), "offer.docx", "docx"),
        (word_document(), "offer.docx.", "docx"),
        (word_document(), "offer.zip", "zip"),
        (zip_of("a.txt"), "offer.docx", "zip"),
        (zip_of("mimetype", "content.xml"), "table.ods", "ods"),
        (zip_of("mimetype", "content.xml"), "table.zip", "zip"),
        (zip_of("word/document.xml"), "offer.docm", "docm"),
        (zip_of("META-INF/MANIFEST.MF"), "offer.docx", "jar"),
        (zip_of("project/META-INF/MANIFEST.MF"), "project.zip", "zip"),
        (compound_with_class("06090200" + "0" * 8 + "c000000000000046"), "offer.doc", ""),
    ],
)
def test_a_container_is_what_it_is_called_if_it_looks_like_it(content, name, kind):
    assert true_type(content, name) == kind


@pytest.mark.rule("R3.52")
@pytest.mark.parametrize(
    ("name", "extensions"),
    [
        ("invoice.pdf", ("pdf",)),
        ("INVOICE.EXE", ("exe",)),
        ("invoice.pdf.exe", ("exe",)),
        ("invoice.exe.pdf", ("pdf",)),
        ("invoice.exe.", ("exe",)),
        ("invoice.exe . .", ("exe",)),
        ("invoice.exe\u00a0", ("exe",)),
        ('invoice.exe"', ("exe",)),
        ("invoice.exe::$DATA", ("exe::$data", "exe")),
        ("Re: invoice.exe", ("exe",)),
        ("invoice\u202efdp.exe", ("exe",)),
        ("invoice.e\u200bx\u00ade", ("exe",)),
        ("invoice．ＥＸＥ", ("exe",)),
        ("invoice.ехе", ("exe",)),  # Cyrillic letters
        ("invoice\u2024exe", ("exe",)),
        (".exe", ("exe",)),
        ("invoice", ()),
        ("", ()),
        ("...", ()),
    ],
)
def test_extensions_are_those_the_name_has_for_whoever_opens_the_file(name, extensions):
    assert extensions_of(name) == extensions


@given(st.binary(max_size=300), st.text(max_size=30), st.sampled_from([0, 3, 30, 60]))
@example(b"MZ" + bytes(58) + b"\xff\xff\xff\xff", "x", 0)
@example(b"PK\x03\x04" + b"\xff" * 26, "x.docx", 0)
@example(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x0c" * 60, "x", 0)
def test_no_bytes_and_no_name_raise(content, name, cut):
    for head in (b"MZ", b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"#!", b"<", b""):
        true_type(head + content, name)
        true_type((head + content)[cut:], name)
    extensions_of(name)


def test_only_the_head_and_what_it_points_to_is_looked_at():
    late = bytes(5_000) + b"<hta:application>" + b"\x7fELF"
    assert true_type(b"<html>" + late, "x.html") == ""
