"""What comes in chunks, read in whatever pieces the network makes of it."""

import pytest

from mailboxes.protocols.errors import UnexpectedReply
from mailboxes.protocols.ews.transport import Chunks

CODED = b"5\r\nhello\r\n7;name=value\r\n, world\r\n1\r\n!\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(CODED) + 1))
def test_the_same_in_pieces_of_any_size(size):
    chunks = Chunks()
    pieces = [CODED[start : start + size] for start in range(0, len(CODED), size)]
    assert b"".join(chunks(piece) for piece in pieces) == b"hello, world!"
    assert chunks.ended


def test_a_chunk_is_given_out_as_it_comes():
    chunks = Chunks()
    assert chunks(b"ff\r\nabc") == b"abc"
    assert not chunks.ended


@pytest.mark.parametrize("raw", [b"hello\r\n", b"-5\r\nhello", b"\r\n\r\n", b"1" * 2000])
def test_what_is_no_chunk_is_an_error(raw):
    with pytest.raises(UnexpectedReply):
        Chunks()(raw)
