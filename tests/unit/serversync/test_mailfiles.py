"""Messages out of files, folders, maildirs and mboxes."""

import os

import pytest

from serversync import mailfiles
from serversync.mailfiles import Found, messages_in
from tests.messages import plain

LINE = b"From ada@example.com Thu Mar  5 09:30:00 2026\n"


def names(path):
    return [os.path.relpath(found.name, path) for found in messages_in(path)]


def raws(path):
    return [found.raw for found in messages_in(path)]


def test_file_is_one_message_octet_for_octet(tmp_path):
    file = tmp_path / "a.eml"
    file.write_bytes(plain() + b"\0\xff")
    assert list(messages_in(file)) == [Found(str(file), plain() + b"\0\xff")]


def test_folder_is_read_in_order_with_all_below(tmp_path):
    for name in ("b.eml", "a", "c/d.txt", ".hidden", ".git/objects"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(plain())
    assert names(tmp_path) == ["a", "b.eml", "c/d.txt"]


def test_maildir_is_read_without_what_the_server_notes_there(tmp_path):
    for name in (
        "cur/1:2,S",
        "new/2",
        "tmp/3",
        "dovecot.index",
        ".Sent/cur/4",
        ".Sent/maildirfolder",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(plain())
    (tmp_path / ".Sent" / "new").mkdir()
    assert sorted(names(tmp_path)) == [".Sent/cur/4", "cur/1:2,S", "new/2"]


def test_mbox_is_split_at_its_lines_of_separation(tmp_path):
    mbox = tmp_path / "mbox"
    mbox.write_bytes(
        LINE + b"Subject: 1\n\n>From the start\nFrom here on: 10:30\n\nFrom now on\n\n"
        + LINE + b"Subject: 2\n\nend\n\n"
    )  # fmt: skip
    assert names(tmp_path) == ["mbox#1", "mbox#2"]
    assert raws(mbox) == [
        b"Subject: 1\n\nFrom the start\nFrom here on: 10:30\n\nFrom now on\n",
        b"Subject: 2\n\nend\n",
    ]


def test_separators_of_other_programs_and_line_ends(tmp_path):
    mbox = tmp_path / "inbox.mbox"
    separator = b"From - Thu Mar 05 09:30:00 2026\r\n"
    mbox.write_bytes(separator + b"Subject: 1\r\n\r\nx\r\n\r\n" + separator + b"Subject: 2\r\n")
    assert raws(mbox) == [b"Subject: 1\r\n\r\nx\r\n", b"Subject: 2\r\n"]


def test_only_message_of_a_file_that_is_no_mbox_by_name_has_no_number(tmp_path):
    for name in ("one", "one.eml", "one.mbox"):
        (tmp_path / name).write_bytes(LINE + plain())
    assert names(tmp_path) == ["one", "one.eml", "one.mbox#1"]


def test_mbox_without_any_separator_is_one_message(tmp_path):
    mbox = tmp_path / "odd.mbox"
    mbox.write_bytes(plain())
    assert raws(mbox) == [plain()]
    mbox.write_bytes(b"")
    assert raws(mbox) == []


def test_what_is_too_large_is_told_and_never_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(mailfiles, "MAX_BYTES", 100)
    mbox, file = tmp_path / "1.mbox", tmp_path / "2.eml"
    mbox.write_bytes(LINE + b"x\n" * 500 + b"\n" + LINE + b"Subject: 2\n")
    file.write_bytes(b"x" * 101)
    large, small, whole = messages_in(tmp_path)
    assert (large.raw, large.error) == (b"", "larger than 100 octets")
    assert (small.raw, small.error) == (b"Subject: 2\n", "")
    assert (whole.raw, whole.error) == (b"", "larger than 100 octets")


def test_lines_without_end_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(mailfiles, "MAX_LINE", 10)
    mbox = tmp_path / "1.mbox"
    body = b"Subject: 1\n\n0123456789From 10:30\n"
    mbox.write_bytes(body)
    assert raws(mbox) == [body]


def test_what_cannot_be_read_is_told_and_the_others_follow(tmp_path):
    (tmp_path / "1.eml").symlink_to(tmp_path / "gone")
    (tmp_path / "2.eml").write_bytes(plain())
    os.mkfifo(tmp_path / "3")
    first, second = messages_in(tmp_path)
    assert (first.raw, first.error) == (b"", "No such file or directory")
    assert second.raw == plain()


def test_any_name_can_be_shown(tmp_path):
    name = os.fsdecode(b"caf\xe9.eml")
    try:
        (tmp_path / name).write_bytes(plain())
    except OSError:
        pytest.skip("this file system takes no such names")
    (found,) = messages_in(tmp_path)
    assert found.name.endswith("caf\\xe9.eml")
    assert found.raw == plain()
