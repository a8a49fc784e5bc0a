"""Keys of DKIM signatures as people have them, and the record that belongs to them."""

from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)

from mailboxes.dkim import (
    KeyKind,
    KeyUnusable,
    Published,
    Unusable,
    ascii_domain,
    compare,
    is_domain,
    is_selector,
    kind_of,
    new_key,
    read_key,
    record_name,
    record_of,
    write_key,
    zone_line,
)

RSA = new_key(KeyKind.RSA)
# RFC 8463, A.2
ED25519 = read_key("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")


def pem(key, shape=PrivateFormat.PKCS8, encryption=None) -> str:
    return key.private_bytes(Encoding.PEM, shape, encryption or NoEncryption()).decode()


def test_the_record_of_the_standard_s_own_example():
    assert record_of(ED25519) == (
        "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    )


@pytest.mark.parametrize(
    "text",
    [
        pem(RSA),
        pem(RSA, PrivateFormat.TraditionalOpenSSL),
        pem(RSA).replace("\n", ""),
        pem(RSA).replace("\n", " "),
        "".join(pem(RSA).splitlines()[1:-1]),
        f"Bag Attributes\n{pem(RSA)}\n",
    ],
    ids=["pkcs8", "pkcs1", "one line", "blanks", "base64", "with words"],
)
def test_keys_are_read_in_whatever_form_people_have_them(text):
    assert record_of(read_key(text)) == record_of(RSA)


@pytest.mark.parametrize("kind", KeyKind)
def test_a_new_key_is_stored_and_read_again(kind):
    key = new_key(kind)

    again = read_key(write_key(key))

    assert kind_of(again) is kind
    assert record_of(again) == record_of(key)


SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Unusable.NO_KEY),
        ("no key at all", Unusable.NO_KEY),
        (b64encode(b"x" * 40).decode(), Unusable.NO_KEY),
        (pem(SHORT), Unusable.TOO_SHORT),
        (pem(ec.generate_private_key(ec.SECP256R1())), Unusable.OTHER_KIND),
        (pem(RSA, encryption=BestAvailableEncryption(b"x")), Unusable.PROTECTED),
        (
            pem(RSA, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x")),
            Unusable.PROTECTED,
        ),
    ],
)
def test_what_can_t_sign_is_refused_and_never_repeated(text, reason):
    with pytest.raises(KeyUnusable) as refused:
        read_key(text)

    assert refused.value.reason is reason
    assert not text or text not in str(refused.value)


def test_a_record_longer_than_a_string_is_cut_for_the_zone():
    line = zone_line("s1._domainkey.example.com", record_of(RSA))

    parts = line.partition("( ")[2].removesuffix(" )").strip('"').split('" "')
    assert line.startswith("s1._domainkey.example.com. IN TXT ( ")
    assert max(map(len, parts)) == 255
    assert "".join(parts) == record_of(RSA)
    assert load_der_public_key(b64decode(record_of(RSA).partition("p=")[2])).key_size == 2048


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((record_of(RSA),), Published.RIGHT),
        (("google-site-verification=x", record_of(RSA)), Published.RIGHT),
        ((record_of(RSA).replace("v=DKIM1; k=rsa; ", "v=DKIM1;t=s; "),), Published.RIGHT),
        ((record_of(RSA)[:200] + "  " + record_of(RSA)[200:] + ";",), Published.RIGHT),
        ((), Published.MISSING),
        (("v=spf1 -all",), Published.MISSING),
        (("v=DKIM1; k=rsa; p=",), Published.REVOKED),
        ((record_of(ED25519),), Published.ANOTHER),
        ((record_of(RSA).replace("k=rsa", "k=ed25519"),), Published.ANOTHER),
        ((record_of(RSA), record_of(ED25519)), Published.SEVERAL),
    ],
)
def test_what_dns_says_is_compared_with_the_key(texts, expected):
    assert compare(texts, RSA) is expected


def test_names_are_written_as_dns_writes_them():
    assert record_name("s1", "Bücher.example.") == "s1._domainkey.xn--bcher-kva.example"
    assert ascii_domain("a..b") == ""


@pytest.mark.parametrize("name", ["example.com", "mail.example.co.uk", "bücher.example"])
def test_domains(name):
    assert is_domain(name)


@pytest.mark.parametrize("name", ["", "example", "a b.example", "ada@example.com", "x;d=y.com"])
def test_no_domains(name):
    assert not is_domain(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mail2026", True), ("s1.mail", True), ("_k1", True), ("", False), ("a;b", False),
     ("a b", False), ("a..b", False), ("ä", False), ("x" * 64, False)],
)  # fmt: skip
def test_selectors(name, expected):
    assert is_selector(name) is expected


def test_keys_are_not_printed():
    assert isinstance(ED25519, Ed25519PrivateKey)
    assert "nWGx" not in repr(ED25519)
