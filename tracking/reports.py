"""PURE  Which sent email a report is about, and what it tells of those it was sent to (R5.21).

Anybody can write a bounce. So only one that names a message which left from here, by its id, may say
something about an address; what is found by its header, or only by an address, is a likely guess.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from activities.choices import DeliveryResult
from activities.mime.message import (
    DeliveryReport,
    MessageKind,
    ParsedMessage,
    ReportedRecipient,
)
from mailboxes.addresses import address_key
from tracking.choices import ReportWay
from tracking.correlate import CorrelationCandidates, StoredEmail, reported_id

#: Servers give up after five days; a day is for their clocks, one for ours.
DAYS = 7
NEAR = timedelta(days=1)  # between the Date that is returned and the one that was sent
MOST_ADDRESSES = 20  # of one report, that are looked for
MOST_TOLD = 100  # recipients of one report that are noted
MOST_DETAIL = 500

_RESULTS = {
    "delayed": DeliveryResult.DELAYED,
    "delivered": DeliveryResult.DELIVERED,
    "displayed": DeliveryResult.READ,
    # Thrown away unread, passed on or worked through by a program: it had arrived.
    "deleted": DeliveryResult.DELIVERED,
    "dispatched": DeliveryResult.DELIVERED,
    "processed": DeliveryResult.DELIVERED,
    "complaint": DeliveryResult.COMPLAINED,
}
_OF_KIND = {
    MessageKind.BOUNCE: "failed",
    MessageKind.DELAY: "delayed",
    MessageKind.RECEIPT: "delivered",
    MessageKind.COMPLAINT: "complaint",
}
_GOT_THROUGH = (DeliveryResult.DELIVERED, DeliveryResult.READ, DeliveryResult.COMPLAINED)
#: From what the least is known by to what the most is. So it makes no difference in which order reports
#: come in: bad news goes before good news from on the way, and whoever read it has it.
_RANK = {
    result: rank
    for rank, result in enumerate(
        (
            DeliveryResult.NONE,
            DeliveryResult.ACCEPTED,
            DeliveryResult.DELAYED,
            DeliveryResult.DELIVERED,
            DeliveryResult.UNDELIVERED,
            DeliveryResult.BOUNCED,
            DeliveryResult.READ,
            DeliveryResult.COMPLAINED,
            DeliveryResult.REDIRECTED,  # went to somebody else, who alone can tell of it
            DeliveryResult.REFUSED,  # never left, so nobody can tell of it
        )
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What became of one recipient. `address`: its key; `named`: the report has this very address;
    `status`: the code alone."""

    address: str
    result: DeliveryResult
    detail: str = ""
    status: str = ""
    named: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The email that a report is about, None if none is known; `looked_for`: the id, subject or address
    that it was looked for by; `of`: so many might be meant."""

    way: ReportWay = ReportWay.NONE
    email: StoredEmail | None = None
    looked_for: str = ""
    of: int = 1

    @property
    def is_certain(self) -> bool:
        """It names a message that we sent."""
        return self.way == ReportWay.MESSAGE_ID

    @property
    def is_one(self) -> bool:
        """There is no doubt which of several is meant."""
        return self.email is not None and self.of == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What is noted on a sent email. `certain`: see About; `at`: when the report came."""

    email_id: UUID
    news: tuple[News, ...]
    certain: bool
    at: datetime

    @property
    def flags(self) -> tuple[News, ...]:
        """What says something about an address itself: only of those that the email was sent to, and
        only if we know that it was (anybody can write a bounce)."""
        return tuple(one for one in self.news if one.named) if self.certain else ()


def addresses_to_look_for(message: ParsedMessage, candidates: CorrelationCandidates) -> set[str]:
    """Whom mail was sent to that a report may be about, which names no message that left from here.
    As they are written, and in lower case: stored addresses are as they were typed."""
    report = message.report
    if report is None or candidates.sent_with(reported_id(message)):
        return set()
    if reported_id(message) and not report.returned_subject:
        return set()  # it names another message, and shows nothing of it
    written = [*(r.address for r in report.recipients), *report.returned_to]
    some = list(dict.fromkeys(address for address in written if "@" in address))[:MOST_ADDRESSES]
    return {*some, *(address.lower() for address in some)}


def about(
    message: ParsedMessage,
    candidates: CorrelationCandidates,
    sent: Sequence[StoredEmail],
    now: datetime,
) -> About | None:
    """None: the message reports on nothing. `sent`: emails to the addresses that it names."""
    report = message.report
    if report is None:
        return None
    reported = reported_id(message)
    if reported and (email := candidates.sent_with(reported)):
        return About(way=ReportWay.MESSAGE_ID, email=email, looked_for=reported)
    lately = [email for email in sent if _is_recent(email, now)]
    lately.sort(key=lambda email: email.recency, reverse=True)
    return (
        _by_header(report, lately)
        or (_by_recipient(report, lately) if not reported else None)
        or About(looked_for=reported or ", ".join(_keys(report)))
    )


def _is_recent(email: StoredEmail, now: datetime) -> bool:
    return email.at is not None and now - timedelta(days=DAYS) <= email.at <= now


def _keys(report: DeliveryReport) -> tuple[str, ...]:
    keys = (address_key(recipient.address) for recipient in report.recipients)
    return tuple(dict.fromkeys(key for key in keys if key))[:MOST_TOLD]


def _by_header(report: DeliveryReport, lately: Iterable[StoredEmail]) -> About | None:
    """Subject, To and Date as they were sent, and whoever is told of is a recipient."""
    subject, to = _words(report.returned_subject), {address_key(a) for a in report.returned_to}
    if not (subject and to and report.returned_date):
        return None
    told = set(_keys(report))
    found = [
        email
        for email in lately
        if _words(email.subject) == subject
        and to.issubset(email.recipients)
        and (not told or told & set(email.recipients))
        and _is_near(email.sent_on or email.at, report.returned_date)
    ]
    if not found:
        return None
    subject = report.returned_subject[:200]
    return About(way=ReportWay.HEADER, email=found[0], looked_for=subject, of=len(found))


def _by_recipient(report: DeliveryReport, lately: Iterable[StoredEmail]) -> About | None:
    """The newest one that was sent to all of them, if the subject that is told doesn't contradict."""
    told, subject = _keys(report), _words(report.returned_subject)
    found = [
        email
        for email in lately
        if told
        and set(told).issubset(email.recipients)
        and (not subject or _words(email.subject) == subject)
    ]
    if not found:
        return None
    looked_for = ", ".join(told)[:320]
    return About(way=ReportWay.RECIPIENT, email=found[0], looked_for=looked_for, of=len(found))


def _words(subject: str) -> str:
    return " ".join(subject.split()).casefold()


def _is_near(sent: datetime | None, returned: datetime) -> bool:
    return sent is not None and abs(sent - returned) <= NEAR


# -- what it tells -------------------------------------------------------------------------------


def news_of(message: ParsedMessage, email: StoredEmail) -> tuple[News, ...]:
    """Of each recipient of the email that the report tells something of, the weightiest.

    An address that we didn't write to is where a recipient's mail was passed on to: that of the only
    recipient, else nobody knows whose. A report without any address speaks of the only recipient.
    """
    report, recipients = message.report, email.recipients
    if report is None or not recipients:
        return ()
    told: dict[str, News] = {}
    for one in report.recipients[:MOST_TOLD] or (ReportedRecipient(),):
        news = _news(message.kind, one, recipients)
        if news is not None and (
            news.address not in told or replaces(news.result, told[news.address].result)
        ):
            told[news.address] = news
    return tuple(told.values())


def _news(kind: MessageKind, one: ReportedRecipient, recipients: Sequence[str]) -> News | None:
    result, key = result_of(kind, one), address_key(one.address)
    if result is None:
        return None
    detail = " ".join(part for part in (one.status, one.diagnostic) if part)
    if key in recipients:
        return News(address=key, result=result, detail=_bounded(detail), status=one.status)
    if len(recipients) > 1:
        return None
    detail = f"{one.address}: {detail}" if key else detail
    return News(address=recipients[0], result=result, detail=_bounded(detail), named=False)


def _bounded(detail: str) -> str:
    return "".join(c if c.isprintable() else " " for c in detail)[:MOST_DETAIL]


def result_of(kind: MessageKind, one: ReportedRecipient) -> DeliveryResult | None:
    """None: it changes nothing, e.g. that a server passed the message on without a later word."""
    action = one.action or _OF_KIND.get(kind, "")
    if action == "failed":
        if kind != MessageKind.BOUNCE:  # a program that could not work on what it got
            return None
        return DeliveryResult.BOUNCED if one.hard else DeliveryResult.UNDELIVERED
    return _RESULTS.get(action)


def replaces(new: int, old: int) -> bool:
    """Whether a later word about a recipient is worth more than what is known."""
    return _RANK[DeliveryResult(new)] > _RANK[DeliveryResult(old)]


def proofs_of(effects: Iterable[Effect]) -> dict[str, datetime]:
    """Addresses that mail got through to, and when that was told last."""
    proofs: dict[str, datetime] = {}
    for effect in effects:
        for one in effect.flags:
            if one.result in _GOT_THROUGH:
                proofs[one.address] = max(effect.at, proofs.get(one.address, effect.at))
    return proofs


def effect_of(
    message: ParsedMessage, found: About, *, tracked: bool, at: datetime
) -> Effect | None:
    """What the sent email learns. The report of a message that we sent is a fact about our own mail, so
    it counts whatever becomes of the report; a guess counts only if the report is tracked, too."""
    if found.email is None or not found.is_one or not (tracked or found.is_certain):
        return None
    news = news_of(message, found.email)
    if not news:
        return None
    return Effect(email_id=found.email.id, news=news, certain=found.is_certain, at=at)
