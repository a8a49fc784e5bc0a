"""Whom a message was delivered to, by what servers noted in its header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.mime.envelope import MAX_ADDRESSES, delivered_to
from activities.mime.parse import parse


def received(address: str = "", by: str = "mx.example.com") -> tuple[str, bytes]:
    clause = f" for <{address}>" if address else ""
    return "received", f"from a.example by {by} with ESMTPS id 1{clause}; Thu, 05 Mar".encode()


@pytest.mark.rule("R10.9")
@pytest.mark.parametrize(
    ("name", "value", "address"),
    [
        ("Delivered-To", "ada@example.com", "ada@example.com"),
        ("X-Original-To", "<ada@example.com>", "ada@example.com"),
        ("Envelope-To", "ada@example.com", "ada@example.com"),
        ("X-Envelope-To", '"ada@example.com"', "ada@example.com"),
        ("X-Delivered-To", "ada@example.com", "ada@example.com"),
        ("X-RCPT-To", "<ada@example.com>", "ada@example.com"),
        ("X-Forwarded-To", "ada@example.com", "ada@example.com"),
        ("X-Apparently-To", "ada@example.com via 192.0.2.1; Thu, 05 Mar", "ada@example.com"),
        ("Original-Recipient", "rfc822;ada@example.com", "ada@example.com"),
        ("Received", "from a by b for <ada@example.com>; Thu", "ada@example.com"),
        ("Received", "from a by b (for c) for\n\tada@example.com; Thu", "ada@example.com"),
        ("Delivered-To", "Ada@пример.example", "Ada@пример.example"),
    ],
)
def test_servers_note_the_recipient_in_many_fields(name, value, address):
    folded = value.replace("\n", "\r\n")
    raw = f"{name}: {folded}\r\nFrom: cleo@customer.example\r\n\r\nwords".encode()
    assert parse(raw).delivered_to == (address,)


@pytest.mark.rule("R10.9")
def test_what_stands_above_the_first_received_comes_first_and_the_senders_own_last():
    fields = [
        ("x-original-to", b"list@example.com"),
        ("delivered-to", b"ada@example.com"),
        received("relayed@example.com"),
        ("x-forwarded-to", b"forwarded@example.com"),
        received("outer@example.com"),
        ("from", b"cleo@customer.example"),
        ("delivered-to", b"forged@example.com"),
    ]
    assert delivered_to(fields) == (
        "list@example.com",
        "ada@example.com",
        "relayed@example.com",
        "outer@example.com",
        "forwarded@example.com",
        "forged@example.com",
    )


def test_each_address_comes_once_at_its_best_place():
    fields = [
        ("delivered-to", b"Ada@example.com"),
        received("ada@example.com"),
        ("delivered-to", b"ben@example.com"),
        ("delivered-to", b"ADA@EXAMPLE.COM"),
    ]
    assert delivered_to(fields) == ("Ada@example.com", "ben@example.com")


def test_only_the_topmost_servers_are_asked_and_local_names_are_no_addresses():
    fields = [received(), received(), received("third@example.com"), received("fourth@x.example")]
    assert delivered_to([*fields, ("delivered-to", b"ada")]) == ("third@example.com",)


def test_thousands_of_fields_give_a_few_addresses():
    fields = [("delivered-to", b"a%d@example.com" % n) for n in range(5_000)]
    assert len(delivered_to(fields)) == MAX_ADDRESSES


@given(st.lists(st.tuples(st.sampled_from(["received", "delivered-to", "to"]), st.binary())))
def test_no_header_raises(fields):
    assert all("@" in address and "\0" not in address for address in delivered_to(fields))
