"""Both parsers and the standard library side by side: python -m tests.benchmarks.bench_parse

Times are the best of several runs, in microseconds a message; compare within one run only.
"""

import sys
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

from activities.mime.careful import parse_carefully
from activities.mime.compose import compose
from activities.mime.fast import gate, parse_fast
from activities.mime.message import Address, Attachment, OutgoingMessage
from tests.messages import names, plain, read

MESSAGE = OutgoingMessage(
    message_id="bench-1@mail.example.com",
    sender=Address("ada@example.com", "Ada"),
    to=(Address("ben@example.org", "Ben"),),
    subject="Delivery on Thursday, with a few words more",
    text="The parts leave on Thursday, and the rest follows.\n" * 20,
    date=datetime(2026, 3, 5, tzinfo=UTC),
)
HTML = "<p>The parts leave on <b>Thursday</b>, Grüße.</p>\n" * 200
RECEIVED = b"".join(
    b"Received: from mx%d.example.net (mx%d.example.net [192.0.2.%d])\r\n"
    b"\tby mail.example.org with ESMTPS id 4A%d; Thu, 05 Mar 2026 09:30:00 +0100\r\n" % (n, n, n, n)
    for n in range(6)
)


def with_attachment(size: int) -> bytes:
    file = Attachment("data.bin", "application/octet-stream", bytes(range(256)) * (size // 256))
    attached = OutgoingMessage(**_fields(MESSAGE) | {"html": HTML, "attachments": (file,)})
    return RECEIVED + compose(attached)


def _fields(message: OutgoingMessage) -> dict[str, object]:
    return {name: getattr(message, name) for name in OutgoingMessage.__slots__}


def library(raw: bytes) -> None:
    """What a caller has to touch to get the same out of the standard library."""
    message = message_from_bytes(raw, policy=default)
    for name in ("From", "To", "Subject", "Date"):
        str(message[name])
    for part in message.walk():
        if not part.is_multipart():
            part.get_content()


def microseconds(call: Callable[[], object], size: int) -> float:
    number = max(3, min(400, 4_000_000 // size))
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def main() -> None:
    cases = {
        "text, 1 KB": RECEIVED + compose(MESSAGE),
        "alternative, 12 KB": RECEIVED
        + compose(OutgoingMessage(**_fields(MESSAGE) | {"html": HTML})),
        "attachment, 100 KB": with_attachment(100_000),
        "attachment, 1 MB": with_attachment(1_000_000),
        "attachment, 10 MB": with_attachment(10_000_000),
        "smallest": plain(),
    }
    write = sys.stdout.write
    write(f"{'':20}{'octets':>10}{'library':>12}{'careful':>12}{'fast':>12}{'gate':>10}\n")
    for label, raw in cases.items():
        row = [
            microseconds(lambda raw=raw, call=call: call(raw), len(raw))
            for call in (library, parse_carefully, parse_fast, gate)
        ]
        taken = "" if parse_fast(raw) else "  (not let through)"
        write(f"{label:20}{len(raw):>10}" + "".join(f"{t:>12.0f}" for t in row) + f"{taken}\n")
    clean = [name for name in names() if not parse_carefully(read(name)).defects]
    through = sum(parse_fast(read(name)) is not None for name in clean)
    write(f"clean messages of the corpus on the fast path: {through} of {len(clean)}\n")


if __name__ == "__main__":
    main()
