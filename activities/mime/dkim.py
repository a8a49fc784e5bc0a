"""DKIM signatures (RFC 6376, 8463), relaxed/relaxed, over a message that is about to leave.

The bytes depend on message and key alone: no time, no chance, so that a second attempt sends what the
first one did. Fields that a forger would add a second time are signed as often as they stand there and
once more (RFC 6376, 5.4.2), so that one that is added makes the signature false.
"""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from mailboxes.dkim import Key, ascii_domain, kind_of

#: Signed also where they aren't there.
OVER_SIGNED = ("From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID")
#: Signed where they are there.
SIGNED = (
    *OVER_SIGNED,
    "In-Reply-To", "References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
    "Auto-Submitted", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post",
)  # fmt: skip

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)\r\n")
_BLANKS = re.compile(rb"[ \t]+")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for `domain` with the key whose public half is published under `selector`."""

    domain: str
    selector: str
    key: Key = field(repr=False)

    def sign(self, mime: bytes) -> bytes:
        """The message with its signature on top."""
        head, _blank, body = mime.partition(b"\r\n\r\n")
        fields = _fields(head + b"\r\n")
        names = _names({name for name, _line in fields})
        unsigned = self._field(names, body_hash(body))
        signed = b"".join(_chosen(fields, names)) + _relaxed_field(unsigned)[1].rstrip(b"\r\n")
        return unsigned + b"\r\n".join(_folded(self._signature(signed))) + b"\r\n" + mime

    def _field(self, names: list[str], hashed: str) -> bytes:
        """All of it but the signature itself, which comes last."""
        tags = (
            f"v=1; a={kind_of(self.key).value}-sha256; c=relaxed/relaxed;",
            f"d={ascii_domain(self.domain)}; s={self.selector};",
            f"h={':'.join(names)};",
            f"bh={hashed};",
            "b=",
        )
        return ("DKIM-Signature: " + "\r\n ".join(tags)).encode("ascii")

    def _signature(self, signed: bytes) -> str:
        if isinstance(self.key, RSAPrivateKey):
            octets = self.key.sign(signed, PKCS1v15(), SHA256())
        else:  # RFC 8463, 3: the hash is what is signed
            octets = self.key.sign(sha256(signed).digest())
        return b64encode(octets).decode("ascii")


def body_hash(body: bytes) -> str:
    """What `bh` says of a body (RFC 6376, 3.4.4)."""
    shown = body.replace(b"\t", b" ")
    if b"  " in shown:
        shown = _BLANKS.sub(b" ", shown)
    shown = shown.replace(b" \r\n", b"\r\n").rstrip(b"\r\n ")
    return b64encode(sha256(shown + b"\r\n" if shown else b"").digest()).decode("ascii")


def _names(there: set[bytes]) -> list[str]:
    """The list of signed fields: each that is there, then once more those that nobody may add."""
    return [name for name in SIGNED if name.lower().encode() in there] + list(OVER_SIGNED)


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    return [_relaxed_field(found[0]) for found in _FIELD.finditer(head)]


def _relaxed_field(line: bytes) -> tuple[bytes, bytes]:
    """(name, whole field), as they are signed (RFC 6376, 3.4.2)."""
    name, _colon, value = line.partition(b":")
    name = name.rstrip(b" \t").lower()
    value = _BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name, name + b":" + value + b"\r\n"


def _chosen(fields: list[tuple[bytes, bytes]], names: list[str]) -> list[bytes]:
    """Of fields that stand there several times the last one first; of those that don't, nothing."""
    left = list(fields)
    found = []
    for name in names:
        wanted = name.lower().encode()
        for index in range(len(left) - 1, -1, -1):
            if left[index][0] == wanted:
                found.append(left.pop(index)[1])
                break
    return found


def _folded(signature: str) -> list[bytes]:
    lines = [signature[at : at + 72] for at in range(0, len(signature), 72)]
    return [lines[0].encode("ascii"), *(f" {line}".encode("ascii") for line in lines[1:])]
