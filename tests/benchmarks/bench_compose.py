"""`compose` beside Django's own message class: python -m tests.benchmarks.bench_compose"""

import sys
import timeit
from datetime import UTC, datetime

from django.conf import settings

settings.configure(USE_I18N=False)

from django.core.mail import EmailMultiAlternatives  # noqa: E402 - needs the settings

from activities.mime.compose import compose  # noqa: E402
from activities.mime.message import Address, Attachment, OutgoingMessage  # noqa: E402

TEXT = "Die Teile gehen am Donnerstag hinaus, Grüße an alle.\n" * 150
HTML = "<p>Die Teile gehen am <b>Donnerstag</b> hinaus, Grüße an alle.</p>\n" * 170
SUBJECT = "Lieferung am Donnerstag, Grüße"
FILE = bytes(range(256)) * 400


def ours(attach: bool) -> bytes:
    file = Attachment("data.bin", "application/octet-stream", FILE)
    return compose(
        OutgoingMessage(
            message_id="bench-1@mail.example.com",
            sender=Address("ada@example.com", "Ada"),
            to=(Address("ben@example.org", "Ben"),),
            subject=SUBJECT,
            text=TEXT,
            html=HTML,
            date=datetime(2026, 3, 5, tzinfo=UTC),
            attachments=(file,) if attach else (),
        )
    )


def djangos(attach: bool) -> bytes:
    message = EmailMultiAlternatives(
        SUBJECT, TEXT, "Ada <ada@example.com>", ["Ben <ben@example.org>"],
        headers={"Message-ID": "<bench-1@mail.example.com>"},
    )  # fmt: skip
    message.attach_alternative(HTML, "text/html")
    if attach:
        message.attach("data.bin", FILE, "application/octet-stream")
    return message.message().as_bytes(linesep="\r\n")


def main() -> None:
    for attach in (False, True):
        for call in (ours, djangos):
            best = min(timeit.repeat(lambda c=call, a=attach: c(a), number=50, repeat=5)) / 50 * 1e6
            kind = "20 KB and a file of 100 KB" if attach else "20 KB"
            sys.stdout.write(
                f"{call.__name__:10}{kind:30}{len(call(attach)):>9} octets{best:>10.0f} us\n"
            )


if __name__ == "__main__":
    main()
