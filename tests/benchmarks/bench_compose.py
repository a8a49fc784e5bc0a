"""`compose` beside Django's own message class: python -m tests.benchmarks.bench_compose

The two in turn, in one process, so that a machine whose speed drifts is fair to both. Times are the best
of several rounds, in microseconds a message; the ratio is ours to Django's, and its bound is 2.
"""

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
ROUNDS, NUMBER = 20, 20


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


def best(attach: bool) -> dict[str, float]:
    times: dict[str, list[float]] = {"ours": [], "djangos": []}
    for _round in range(ROUNDS):
        for call in (ours, djangos):
            took = timeit.timeit(lambda c=call: c(attach), number=NUMBER)
            times[call.__name__].append(took / NUMBER * 1e6)
    return {name: min(each) for name, each in times.items()}


def main() -> None:
    for attach, kind in ((False, "20 KB"), (True, "20 KB and a file of 100 KB")):
        took = best(attach)
        for call in (ours, djangos):
            sys.stdout.write(
                f"{call.__name__:10}{kind:30}{len(call(attach)):>9} octets"
                f"{took[call.__name__]:>10.0f} us\n"
            )
        sys.stdout.write(f"{'ratio':10}{kind:30}{took['ours'] / took['djangos']:>16.2f}\n")


if __name__ == "__main__":
    main()
