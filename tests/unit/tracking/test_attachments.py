"""Which files of a message are kept."""

import pytest

from activities.mime.message import Attachment
from mailboxes.models.organization import BLOCKED_ATTACHMENTS
from tests.files import windows_program, word_document, zip_of
from tracking.attachments import blocked_extensions, judge_attachments
from tracking.trace import DroppedAttachment

DEFAULT = blocked_extensions(BLOCKED_ATTACHMENTS)
LIMIT = 5_120 * 1024
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
ELF = b"\x7fELF\x02\x01\x01" + bytes(57)


def file(name: str, content: bytes = b"words", **more) -> Attachment:
    return Attachment(name, more.pop("content_type", "application/octet-stream"), content, **more)


def left_out(name: str, content: bytes = b"words", blocked=DEFAULT) -> tuple[str, str]:
    """(reason, true type), or two empty texts for a file that is kept."""
    judged = judge_attachments([file(name, content)], LIMIT, blocked)
    return (judged.dropped[0].reason, judged.dropped[0].true_type) if judged.dropped else ("", "")


def test_the_list_is_read_as_people_write_it():
    assert blocked_extensions(" exe; .BAT ;;cmd") == {"exe", "bat", "cmd"}
    assert blocked_extensions("") == frozenset()


@pytest.mark.rule("R3.51")
def test_a_file_over_the_limit_is_left_out_with_name_size_and_reason():
    exact, over = file("exact.pdf", b"x" * 10), file("over.pdf", b"x" * 11)
    judged = judge_attachments([exact, over], 10, DEFAULT)
    assert judged.kept == (exact,)
    assert judged.dropped == (DroppedAttachment("over.pdf", 11, "too_large"),)


@pytest.mark.rule("R3.51", "R3.52")
@pytest.mark.parametrize(
    "name",
    ["update.exe", "UPDATE.EXE", "invoice.pdf.exe", "x.exe.", "x.exe ", "x.exe::$DATA", "x.vbs",
     "invoice\u202efdp.scr", "invoice.ехе", "start.bat", "Re: x.js"],
)  # fmt: skip
def test_a_blocked_extension_is_left_out_however_it_is_written(name):
    assert left_out(name) == ("blocked", "")


@pytest.mark.rule("R3.52")
@pytest.mark.parametrize("name", ["invoice.pdf", "invoice", "picture.png", "letter.docx", "x.bin"])
def test_a_program_is_left_out_whatever_it_is_called(name):
    assert left_out(name, windows_program()) == ("blocked_type", "exe")


@pytest.mark.rule("R3.52")
def test_a_jar_among_zips_and_a_shortcut_among_texts_are_left_out():
    assert left_out("photos.zip", zip_of("META-INF/MANIFEST.MF")) == ("blocked_type", "jar")
    assert left_out("note.txt", b"[InternetShortcut]\r\nURL=x") == ("blocked_type", "url")


@pytest.mark.rule("R3.52")
def test_programs_of_other_systems_are_left_out_where_they_pose_as_documents():
    assert left_out("invoice.pdf", ELF) == ("blocked_type", "elf")
    assert left_out("invoice.pdf", b"#!/bin/sh\n") == ("blocked_type", "sh")
    assert left_out("libparts.so", ELF) == ("", "")
    assert left_out("backup.sh", b"#!/bin/sh\n") == ("", "")
    assert left_out("script.txt", b"#!/usr/bin/env python3\n") == ("", "")


@pytest.mark.rule("R3.52")
def test_the_organizations_list_decides_not_ours():
    assert left_out("invoice.pdf", windows_program(), frozenset()) == ("", "")
    assert left_out("invoice.pdf", ELF, {"bat"}) == ("", "")
    assert left_out("offer.docx", word_document(), {"zip"}) == ("", "")
    assert left_out("offer.docx", zip_of("offer.exe"), {"zip"}) == ("blocked_type", "zip")
    assert left_out("offer.doc", word_document(), {"docx", "zip"}) == ("blocked_type", "zip")


@pytest.mark.rule("R3.52")
def test_documents_pictures_and_texts_stay():
    for name, content in (
        ("offer.docx", word_document()),
        ("scan.pdf", b"%PDF-1.7\n"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(20)),
        ("letter.txt", b"MZ is how he signs; nothing here is a program, only words and words."),
        ("orders.xml", b'<?xml version="1.0" standalone="yes"?><orders/>'),
        ("parts.zip", zip_of("parts.exe")),
        ("", b"words"),
    ):
        assert left_out(name, content) == ("", ""), name


@pytest.mark.rule("R3.52")
def test_inline_pictures_are_judged_like_other_files():
    shown = file("part.png", PNG, content_id="a@x.example", inline=True)
    program = file("part.png", windows_program(), content_id="b@x.example", inline=True)
    judged = judge_attachments([shown, program], LIMIT, DEFAULT)
    assert judged.kept == (shown,)
    assert [dropped.true_type for dropped in judged.dropped] == ["exe"]


def test_no_file_is_looked_into_where_nothing_is_blocked(monkeypatch):
    monkeypatch.setattr("tracking.attachments.true_type", lambda *_: pytest.fail("looked into"))
    assert left_out("invoice.pdf", windows_program(), frozenset()) == ("", "")
