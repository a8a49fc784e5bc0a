"""PURE  keys of DKIM signatures (RFC 6376, 8463): reading what was entered, making new ones, and the
DNS record that lets receivers check them.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from enum import StrEnum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

SHORTEST_RSA = 2048  # bits; receivers may take less for no signature (RFC 8301, 3.2)
LONGEST_RSA = 4096  # what every receiver must be able to check
_STRING = 255  # octets of one string of a TXT record

Key = RSAPrivateKey | Ed25519PrivateKey

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
#: Selectors may also begin with or hold underscores, as some providers write them.
_SELECTOR = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9_])?")


class KeyKind(StrEnum):
    RSA = "rsa"
    ED25519 = "ed25519"


class KeyUnusable(ValueError):
    """`reason` is one of `Unusable`; the text is safe to show."""

    def __init__(self, reason: "Unusable") -> None:
        super().__init__(reason.value)
        self.reason = reason


class Unusable(StrEnum):
    NO_KEY = "no private key"
    PROTECTED = "protected by a passphrase"
    OTHER_KIND = "neither RSA nor Ed25519"
    TOO_SHORT = "an RSA key of fewer than 2048 bits"
    TOO_LONG = "an RSA key of more than 4096 bits"


def read_key(text: str) -> Key:
    """A private key as people have it: PEM, also pasted into one line, its base64 alone, or the 32 octets
    of Ed25519 in base64. Raises KeyUnusable."""
    found = _PEM.search(text)
    if found and ("ENCRYPTED" in found[1] or "Proc-Type" in found[2]):
        raise KeyUnusable(Unusable.PROTECTED)
    try:
        octets = b64decode("".join((found[2] if found else text).split()), validate=True)
    except (NoBase64, ValueError):
        raise KeyUnusable(Unusable.NO_KEY) from None
    if len(octets) == 32:
        return Ed25519PrivateKey.from_private_bytes(octets)
    return _checked(octets)


def _checked(der: bytes) -> Key:
    try:
        key = load_der_private_key(der, password=None)
    except TypeError:
        raise KeyUnusable(Unusable.PROTECTED) from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(Unusable.NO_KEY) from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise KeyUnusable(Unusable.OTHER_KIND)
    if isinstance(key, RSAPrivateKey) and key.key_size < SHORTEST_RSA:
        raise KeyUnusable(Unusable.TOO_SHORT)
    if isinstance(key, RSAPrivateKey) and key.key_size > LONGEST_RSA:
        raise KeyUnusable(Unusable.TOO_LONG)
    return key


def new_key(kind: KeyKind) -> Key:
    if kind is KeyKind.ED25519:
        return Ed25519PrivateKey.generate()
    return generate_private_key(public_exponent=65537, key_size=SHORTEST_RSA)


def write_key(key: Key) -> str:
    """PEM, as it is stored."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def kind_of(key: Key) -> KeyKind:
    return KeyKind.RSA if isinstance(key, RSAPrivateKey) else KeyKind.ED25519


# -- the record in DNS ---------------------------------------------------------------------------


def is_domain(text: str) -> bool:
    return "." in text and len(text) <= 253 and bool(_NAME.fullmatch(ascii_domain(text)))


def is_selector(text: str) -> bool:
    return bool(_SELECTOR.fullmatch(text)) and ".." not in text


def ascii_domain(domain: str) -> str:
    """As DNS and the signature write it; "" for what can't be written."""
    try:
        return domain.strip().rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def record_name(selector: str, domain: str) -> str:
    return f"{selector}._domainkey.{ascii_domain(domain)}"


def record_of(key: Key) -> str:
    """The text to publish (RFC 6376, 3.6.1; RFC 8463, 4)."""
    return f"v=DKIM1; k={kind_of(key).value}; p={_public(key)}"


def zone_line(name: str, record: str) -> str:
    """As it stands in a zone file, cut into strings."""
    parts = [record[at : at + _STRING] for at in range(0, len(record), _STRING)]
    return f"{name}. IN TXT ( " + " ".join(f'"{part}"' for part in parts) + " )"


def _public(key: Key) -> str:
    if isinstance(key, RSAPrivateKey):
        shape = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b64encode(key.public_key().public_bytes(*shape)).decode("ascii")
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b64encode(raw).decode("ascii")


class Published(StrEnum):
    """What DNS says, beside what it should."""

    RIGHT = "right"
    MISSING = "missing"  # no record, or one of something else
    REVOKED = "revoked"  # an empty key (RFC 6376, 3.6.1)
    ANOTHER = "another"  # another key, so that every signature would be found false
    SEVERAL = "several"  # receivers may take any of them (RFC 6376, 3.6.2.2)


def compare(texts: tuple[str, ...], key: Key) -> Published:
    records = [tags for text in texts if "p" in (tags := _tags(text))]
    if not records:
        return Published.MISSING
    if len(records) > 1:
        return Published.SEVERAL
    (tags,) = records
    if not tags["p"]:
        return Published.REVOKED
    same = tags["p"] == _public(key) and tags.get("k", "rsa").lower() == kind_of(key).value
    return Published.RIGHT if same else Published.ANOTHER


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip(): "".join(value.split()) for name, equals, value in pairs if equals}
