"""The mail that the quick start finds in its mailboxes: one message of every kind that matters.

All of it is made here. Times run towards `now`, so that answers come after what they answer.
"""

import base64
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from serversync.sandbox.outside import Manner, Person, forwarded

# Who has mail here. What they accept is set up by the quick start.
ADA = "ada@sandbox.example"
BEN = "ben@sandbox.example"
CHLOE = "chloe@sandbox.example"
DAN = "dan@sandbox.example"
EMI = "emi@sandbox.example"
SUPPORT = "support@sandbox.example"
SALES = "sales@sandbox.example"
FORWARD = "forward@sandbox.example"
ACCOUNTS = (ADA, BEN, CHLOE, DAN, EMI, SUPPORT, SALES, FORWARD)
# And on the Exchange server, which a service account opens for the product.
FAY = "fay@sandbox.example"
GIL = "gil@sandbox.example"
INA = "ina@sandbox.example"
ORDERS = "orders@sandbox.example"
EXCHANGE_ACCOUNTS = (FAY, GIL, INA, ORDERS)
SERVICE = "service@sandbox.example"
CUSTOMER_FOLDER = "Inbox/Customers/Customer Ltd"
PROJECT_FOLDER = "Inbox/Projects"
SENT_ITEMS = "sentitems"
CATEGORY = "Tracked to Sandbox"

# Known senders: contacts, an account, a lead.
RITA = "rita@customer.example"
NOOR = "noor@customer.example"
ANN = "ann@customer.example"
GUS = "gus@customer.example"
HANA = "hana@kaisha.example"
OFFICE = "office@customer.example"
LENA = "lena@prospect.example"
# And unknown ones.
STRANGER = "stranger@elsewhere.example"
# They write once, and are known then.
PIA = "pia@newcomer.example"
TOM = "tom@newcomer.example"
NEWS = "news@letters.example"

PEOPLE = {
    person.address: person
    for person in (
        Person(RITA, "Rita Example", Manner.REPLY),
        Person(NOOR, "Noor Example", Manner.REPLY_BY_REFERENCES, "Tuesday is better for us."),
        Person(ANN, "Ann Example", Manner.OUT_OF_OFFICE),
        Person(GUS, "Gus Example", Manner.BOUNCE),
    )
}

START_DAYS = 30
"""Mail older than this is before the start date of the profiles."""

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxVSF+FABJADveWkH6oAAAAAElF"
    "TkSuQmCC"
)
FIRST_QUESTION = "<question-1@customer.example>"
REUSED = "<reused-1@customer.example>"


@dataclass(frozen=True, slots=True)
class Seed:
    """One message and the inboxes that it lies in. `name` says what is special about it; `folder`,
    `categories`: where else in an Exchange mailbox, and what somebody gave it there."""

    name: str
    inboxes: tuple[str, ...]
    mime: bytes
    received_at: datetime
    folder: str = ""
    categories: tuple[str, ...] = ()


#: Between two of them. The first is fresh enough, too, to be answered automatically (R3.59).
APART = timedelta(minutes=45)


def seeds(now: datetime) -> list[Seed]:
    """All of them, in the order in which they came."""
    drafts = [
        *_business(),
        *_filters(),
        *_languages(),
        *_machines(),
        *_broken(),
        *_exchange(),
        *_newcomers(),
    ]
    made = []
    for number, draft in enumerate(drafts):
        at = now - APART * (len(drafts) - number)
        if draft.days_old:
            at = now - timedelta(days=draft.days_old)
        mime = draft.write(at)
        made.append(Seed(draft.name, draft.inboxes, mime, at, draft.folder, draft.categories))
        for forwarder in draft.forwarded_by:
            wrapper = forwarded(mime, forwarder, FORWARD, at)
            made.append(Seed(f"{draft.name}_forwarded", (FORWARD,), wrapper, at))
    return sorted(made, key=lambda seed: seed.received_at)


class Draft:
    """A message to be written once its time is known."""

    def __init__(
        self,
        name: str,
        inboxes: Iterable[str],
        *,
        sender: str = RITA,
        to: str | None = None,
        subject: str = "",
        text: str = "Hello,\n\nplease see below.\n",
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        days_old: int = 0,
        forwarded_by: Sequence[str] = (),
        folder: str = "",
        categories: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.categories = tuple(categories)
        self.name = name
        self.inboxes = tuple(inboxes)
        self.raw = raw
        self.days_old = days_old
        self.forwarded_by = forwarded_by
        self.message = EmailMessage(policy=SMTP)
        if raw is None:
            self.message["From"] = sender
            self.message["To"] = to if to is not None else ", ".join(self.inboxes)
            self.message["Subject"] = subject
            self.message["Message-ID"] = f"<{name.replace('_', '-')}@{sender.partition('@')[2]}>"
            for header, value in (headers or {}).items():
                del self.message[header]
                if value:
                    self.message[header] = value
            self.message.set_content(text)

    def write(self, at: datetime) -> bytes:
        """With the Received field that the last server puts on top, where there is a header."""
        date = format_datetime(at)
        if self.raw is not None:
            made = self.raw.replace(b"%DATE%", date.encode())
            if not made.startswith(b"From:"):
                return made
        else:
            if "Date" not in self.message:
                self.message["Date"] = date
            made = self.message.as_bytes()
        received = f"Received: from mail.example by sandbox.example;\r\n\t{date}\r\n"
        return received.encode() + made


def _business() -> Iterator[Draft]:
    """Ordinary mail with a customer: questions, answers, files."""
    yield Draft(
        "first_question",
        [SUPPORT],
        subject="Delivery to the second floor",
        text="Hello,\n\ncan you deliver to the second floor?\n\nRita\n",
        headers={"Message-ID": FIRST_QUESTION},
    )
    yield Draft(
        "answer_to_known_mail",
        [SUPPORT, ADA],
        subject="Re: Delivery to the second floor",
        text="One more thing: the lift is out of order.\n\n> can you deliver to the second floor?\n",
        headers={"In-Reply-To": FIRST_QUESTION, "References": FIRST_QUESTION},
    )
    yield Draft(
        "answer_by_references_only",
        [ADA],
        sender=NOOR,
        subject="Re: Delivery to the second floor",
        headers={"References": f"<never-seen@customer.example> {FIRST_QUESTION}"},
    )
    order = Draft("order_with_pdf", [SUPPORT], sender=OFFICE, subject="Purchase order 4711")
    order.message.add_attachment(
        b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n",
        maintype="application",
        subtype="pdf",
        filename="order-4711.pdf",
    )
    yield order
    picture = Draft("html_with_inline_picture", [SUPPORT], subject="The damaged part")
    picture.message.add_alternative(
        "<p>This is how it looks: <img src='cid:part@customer.example'></p>"
        "<script>alert(1)</script><img src='https://tracker.example/pixel.gif'>",
        subtype="html",
    )
    picture.message.get_payload()[1].add_related(  # type: ignore[index, union-attr]
        PNG, maintype="image", subtype="png", cid="<part@customer.example>", filename="part.png"
    )
    yield picture
    program = Draft("blocked_attachment", [SUPPORT], subject="The update you asked for")
    program.message.add_attachment(
        b"MZ\x90\x00", maintype="application", subtype="octet-stream", filename="update.exe"
    )
    program.message.add_attachment("Read me first.\n", filename="readme.txt")
    yield program
    large = Draft("attachment_over_the_limit", [SUPPORT], subject="Plans in full resolution")
    # Six megabytes that look like a picture of nothing.
    large.message.add_attachment(
        PNG + bytes(6 * 1024 * 1024), maintype="image", subtype="png", filename="plans.png"
    )
    yield large
    packed = Draft("compressed_attachment", [SALES, BEN], sender=LENA, subject="Our requirements")
    packed.message.add_attachment(
        zlib.compress(b"requirements " * 2000), maintype="application", subtype="zlib"
    )
    yield packed
    everybody = (ADA, BEN, CHLOE, DAN, SUPPORT, SALES)
    yield Draft(
        "the_same_to_everybody",
        everybody,
        sender=OFFICE,
        subject="We are moving",
        text="From next month on you will find us in Harbour Street.\n",
    )
    yield Draft("the_same_to_two", [BEN, CHLOE], subject="Two questions", headers={"Cc": CHLOE})


def _filters() -> Iterator[Draft]:
    """What the five filters decide differently."""
    for inbox, name in (
        (ADA, "ada"),
        (BEN, "ben"),
        (CHLOE, "chloe"),
        (DAN, "dan"),
        (SALES, "sales"),
    ):
        yield Draft(f"known_sender_to_{name}", [inbox], subject="A short question")
        yield Draft(
            f"unknown_sender_to_{name}", [inbox], sender=STRANGER, subject="Do you have a minute?"
        )
    yield Draft("unknown_sender_to_support", [SUPPORT], sender=STRANGER, subject="Opening hours?")
    yield Draft("lead_to_ben", [BEN], sender=LENA, subject="Prices for fifty pieces")
    yield Draft("account_to_chloe", [CHLOE], sender=OFFICE, subject="Invoice address")
    yield Draft("colleague_to_chloe", [CHLOE], sender=DAN, subject="Lunch?")
    yield Draft("colleague_to_ben", [BEN], sender=ADA, subject="The offer for tomorrow")
    yield Draft("queue_to_chloe", [CHLOE], sender=SALES, subject="Please take over")
    yield Draft(
        "enters_where_nothing_is_accepted",
        [DAN],
        to=f"{DAN}, {BEN}",
        subject="For Ben, who is not copied by the server",
    )
    yield Draft(
        "before_the_start_date_by_imap",
        [BEN],
        subject="Last year's offer",
        days_old=START_DAYS + 60,
    )
    yield Draft(
        "before_the_start_date_by_pop3",
        [CHLOE],
        subject="Last year's invoice",
        days_old=START_DAYS + 61,
    )
    yield Draft("for_emi_by_rule", [EMI], subject="For Emi", forwarded_by=[EMI])
    yield Draft(
        "stranger_for_emi_by_rule",
        [EMI],
        sender=STRANGER,
        subject="Are you there?",
        forwarded_by=[EMI],
    )
    yield Draft("forwarded_by_the_wrong_user", [ADA], subject="For Ada", forwarded_by=[ADA])
    yield Draft(
        "forwarded_as_text",
        [FORWARD],
        sender=EMI,
        subject="Fwd: Not as an attachment",
        text="-------- Forwarded message --------\nFrom: rita@customer.example\n\nHello\n",
    )


def _languages() -> Iterator[Draft]:
    """Charsets, as mail programs of several decades write them."""
    japanese = "お世話になっております。\r\n納期をご確認ください。\r\n"
    for name, charset, encoding, inbox in (
        ("iso_2022_jp", "iso-2022-jp", "7bit", BEN),
        ("shift_jis", "shift_jis", "8bit", SUPPORT),
        ("euc_jp", "euc-jp", "base64", SUPPORT),
    ):
        yield Draft(
            f"japanese_in_{name}",
            [inbox],
            raw=_encoded(HANA, inbox, name, "納期のご確認", japanese, charset, encoding),
        )
    with_file = Draft(
        "japanese_in_utf_8",
        [SUPPORT],
        sender=HANA,
        subject="見積書の件",
        text="見積書を添付いたします。\n",
        headers={"From": "花 例 <hana@kaisha.example>"},
    )
    with_file.message.add_attachment(
        b"%PDF-1.4\n%%EOF\n", maintype="application", subtype="pdf", filename="見積書.pdf"
    )
    yield with_file
    for name, charset, subject, text in (
        ("windows_1252", "windows-1252", "Preis – 40 €", "Grüße aus Köln – “bis bald”\r\n"),
        ("koi8_r", "koi8-r", "Вопрос", "Добрый день!\r\n"),
        ("utf_16", "utf-16", "Wide", "Every letter takes two octets.\r\n"),
    ):
        encoding = "base64" if charset == "utf-16" else "quoted-printable"
        yield Draft(
            f"in_{name}",
            [SUPPORT],
            raw=_encoded(RITA, SUPPORT, name, subject, text, charset, encoding),
        )
    yield Draft(
        "right_to_left_and_emoji",
        [SUPPORT],
        subject="שלום 🎉 " + "very long " * 90,
        text="مرحبا 👋🏽\n",
    )


def _exchange() -> Iterator[Draft]:
    """Tracked folders, categories and sent items, as people use them in their mail program."""
    yield Draft("known_sender_to_gil", [GIL], subject="When do you open?")
    yield Draft("unknown_sender_to_gil", [GIL], sender=STRANGER, subject="An invitation")
    yield Draft("known_sender_to_ina", [INA], subject="Not for the records")
    yield Draft("known_sender_to_fay", [FAY], subject="A question for Fay")
    yield Draft("order_to_orders", [ORDERS], sender=OFFICE, subject="Purchase order 4712")
    yield Draft(
        "stranger_to_orders", [ORDERS], sender=STRANGER, subject="Do you deliver on Sundays?"
    )
    yield Draft(
        "the_same_to_three", [FAY, GIL, ORDERS], sender=NOOR, subject="The new address of our store"
    )
    yield Draft(
        "in_the_customers_folder", [FAY], subject="Terms of delivery", folder=CUSTOMER_FOLDER
    )
    yield Draft(
        "stranger_in_the_customers_folder",
        [FAY],
        sender=STRANGER,
        subject="I work for Customer Ltd, too",
        folder=CUSTOMER_FOLDER,
    )
    yield Draft(
        "in_a_folder_without_record",
        [INA],
        sender=STRANGER,
        subject="The harbour project",
        folder=PROJECT_FOLDER,
    )
    yield Draft(
        "categorized_by_hand",
        [INA],
        sender=STRANGER,
        subject="This one belongs to the records",
        categories=["Red category", CATEGORY],
    )
    yield Draft(
        "sent_from_the_mail_program",
        [GIL],
        sender=GIL,
        to=RITA,
        subject="Our opening hours",
        folder=SENT_ITEMS,
    )
    yield Draft(
        "sent_to_a_stranger",
        [GIL],
        sender=GIL,
        to=STRANGER,
        subject="Thank you, no",
        folder=SENT_ITEMS,
    )
    yield Draft(
        "answer_to_what_gil_sent",
        [GIL],
        subject="Re: Our opening hours",
        headers={"In-Reply-To": "<sent-from-the-mail-program@sandbox.example>"},
    )


def _machines() -> Iterator[Draft]:
    """Mail that no person wrote: lists, newsletters, bounces, automatic answers, calendars."""
    yield Draft(
        "list_mail",
        [ADA, SUPPORT],
        sender=NOOR,
        to="Users <users@lists.example>",
        subject="[users] Release 2",
        headers={"List-Id": "Users <users.lists.example>", "Precedence": "list"},
    )
    newsletter = Draft(
        "newsletter",
        [SALES, CHLOE],
        sender=NEWS,
        to="undisclosed-recipients:;",
        subject="Ten tips",
        headers={"List-Unsubscribe": "<https://letters.example/stop>"},
    )
    newsletter.message.set_content(
        "<table><tr><td><a href='https://letters.example'>Read on</a></td></tr></table>",
        subtype="html",
    )
    yield newsletter
    yield Draft("bounce", [SUPPORT], raw=BOUNCE)
    yield Draft(
        "automatic_answer",
        [SUPPORT, ADA],
        sender=ANN,
        subject="Automatic reply: Delivery",
        headers={"Auto-Submitted": "auto-replied", "In-Reply-To": FIRST_QUESTION},
    )
    yield Draft(
        "answer_to_another_address",
        [SUPPORT],
        subject="Please answer to my assistant",
        headers={"Reply-To": NOOR},
    )
    for method, inbox in (("REQUEST", ADA), ("CANCEL", SALES)):
        meeting = Draft(
            f"meeting_{method.lower()}", [inbox], subject="Project meeting", text="Room 2\n"
        )
        meeting.message.add_alternative(
            CALENDAR.format(method=method, to=inbox), subtype="calendar", params={"method": method}
        )
        yield meeting
    date = Draft("calendar_file", [SUPPORT], subject="The dates as a file")
    date.message.add_attachment(
        CALENDAR.format(method="PUBLISH", to=SUPPORT), subtype="calendar", filename="dates.ics"
    )
    yield date


def _newcomers() -> Iterator[Draft]:
    """People of whom a record is made: by a rule of a queue, with a case and an answer; by the personal
    options of a user."""
    yield Draft(
        "case_of_a_newcomer",
        [SUPPORT],
        sender=PIA,
        subject="My order arrived damaged",
        text="The box is open, and one of the cups is broken.\n",
        headers={"From": f"Pia Newcomer <{PIA}>"},
    )
    yield Draft(
        "more_about_the_case",
        [SUPPORT],
        sender=PIA,
        subject="Re: My order arrived damaged",
        headers={"In-Reply-To": "<case-of-a-newcomer@newcomer.example>"},
    )
    yield Draft(
        "answer_of_a_newcomer",
        [ADA],
        sender=TOM,
        subject="Re: Delivery to the second floor",
        headers={"From": f'"Newcomer, Tom" <{TOM}>', "In-Reply-To": FIRST_QUESTION},
    )


def _broken() -> Iterator[Draft]:
    """What must neither stop a mailbox nor vanish."""
    yield Draft("no_sender", [SUPPORT], subject="Who am I?", headers={"From": "", "Message-ID": ""})
    yield Draft("no_message_id", [SUPPORT], subject="Nameless", headers={"Message-ID": ""})
    yield Draft(
        "bad_date",
        [SUPPORT],
        raw=b"From: rita@customer.example\r\nTo: support@sandbox.example\r\nSubject: When?\r\n"
        b"Date: yesterday, 25:99\r\nMessage-ID: <bad-date@customer.example>\r\n\r\nSoon.\r\n",
    )
    yield Draft("message_id_first_use", [SUPPORT], subject="Offer", headers={"Message-ID": REUSED})
    yield Draft(
        "message_id_reused_by_another_sender",
        [SUPPORT],
        sender=STRANGER,
        subject="Something else entirely",
        headers={"Message-ID": REUSED},
    )
    head = b"From: rita@customer.example\r\nTo: support@sandbox.example\r\nDate: %DATE%\r\n"

    def broken(name: str, rest: bytes, inboxes: Iterable[str] = (SUPPORT,)) -> Draft:
        named = b"Message-ID: <" + name.encode() + b"@customer.example>\r\n"
        return Draft(name, inboxes, raw=head + named + rest)

    yield broken(
        "unknown_charset",
        b'Subject: =?x-martian?Q?=C4?=\r\nContent-Type: text/plain; charset="x-martian"\r\n\r\n'
        b"Gr\xfc\xdfe\r\n",
    )
    yield broken(
        "wrong_charset",
        b"Subject: Gr\xfc\xdfe ohne Kodierung\r\nContent-Type: text/plain; charset=us-ascii\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\nSch\xf6ne Gr\xfc\xdfe\r\n",
    )
    yield broken("nul_octets", b"Subject: Nul\x00octets\r\n\r\nbe\x00fore and af\x00ter\r\n")
    yield broken(
        "truncated_mime",
        b"Subject: Cut off\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="cut"\r\n\r\n--cut\r\n'
        b"Content-Type: text/plain\r\n\r\nThe rest is mis\r\n--cut\r\n"
        b'Content-Type: application/pdf; name="half.pdf"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQKJdDUxdg",
    )
    yield broken("absurd_nesting", b"Subject: Boxes in boxes\r\n" + _nested(150))
    yield broken(
        "broken_base64",
        b"Subject: Not base64\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n%%%this is no base64 at all!!\r\n",
    )
    yield broken(
        "doubled_fields",
        b"From: stranger@elsewhere.example\r\nSubject: One\r\nSubject: Two\r\n\r\nWhich?\r\n",
    )
    yield broken("bare_line_ends", b"Subject: Bare\r\n\r\none\rtwo\nthree\r\n")
    yield broken("header_only", b"Subject: Nothing follows")
    yield broken("odd_address", b'Cc: broken <, "a"@, ((((\r\nSubject: Odd copies\r\n\r\nHi\r\n')
    yield Draft("no_octets_at_all", [SUPPORT], raw=b"")
    yield Draft("noise", [SUPPORT], raw=bytes(range(256)) * 8)


def _encoded(
    sender: str, to: str, name: str, subject: str, text: str, charset: str, encoding: str
) -> bytes:
    """A message in a charset, subject and body alike, as older programs write it."""
    word = base64.b64encode(subject.encode(charset)).decode()
    body = text.encode(charset)
    if encoding == "base64":
        body = base64.encodebytes(body).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        body = b"".join(
            bytes([octet])
            if (32 <= octet < 127 and octet != 61) or octet in b"\r\n"
            else b"=%02X" % octet
            for octet in body
        )
    return (
        f"From: {sender}\r\nTo: {to}\r\nDate: %DATE%\r\n"
        f"Message-ID: <charset-{name}@{sender.partition('@')[2]}>\r\n"
        f"Subject: =?{charset}?B?{word}?=\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset={charset}\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    ).encode() + body


def _nested(depth: int) -> bytes:
    opening = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level)
        for level in range(depth)
    )
    closing = b"".join(b"\r\n--b%d--\r\n" % level for level in reversed(range(depth)))
    return opening + b"Content-Type: text/plain\r\n\r\nFound me.\r\n" + closing


CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//sandbox//EN
METHOD:{method}
BEGIN:VEVENT
UID:meeting-1@customer.example
DTSTAMP:20260301T080000Z
DTSTART:20260401T080000Z
DTEND:20260401T090000Z
SUMMARY:Project meeting
ORGANIZER:mailto:rita@customer.example
ATTENDEE:mailto:{to}
END:VEVENT
END:VCALENDAR
"""

BOUNCE = b"""From: Mail Delivery System <MAILER-DAEMON@customer.example>\r
To: support@sandbox.example\r
Subject: Undelivered Mail Returned to Sender\r
Date: %DATE%\r
Message-ID: <bounce-1@customer.example>\r
Auto-Submitted: auto-replied\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status; boundary="report"\r
\r
--report\r
Content-Type: text/plain\r
\r
I could not deliver your message to nobody@customer.example.\r
\r
--report\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mail.customer.example\r
\r
Final-Recipient: rfc822; nobody@customer.example\r
Action: failed\r
Status: 5.1.1\r
\r
--report\r
Content-Type: message/rfc822\r
\r
From: support@sandbox.example\r
To: nobody@customer.example\r
Subject: Your request\r
Message-ID: <an-older-message@sandbox.example>\r
\r
Hello\r
--report--\r
"""
