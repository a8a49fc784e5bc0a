"""PURE  What sending recorded of an email, as a picture of its path: written, checked, handed over, answered.

    how it began ──> how it left ──> what became of it

The console reads the rows and draws the stations as it draws those of mail that came in (R8.33).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from activities.choices import EmailStatus
from serversync.choices import SubmissionState
from tracking import stored
from tracking.choices import StationState
from tracking.stations import Phase, Station, station, stopped_at
from tracking.telling import Kind, Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One submission. `code` and `reply`: what the server said, or what stood in the way."""

    number: int
    state: str
    claimed_at: datetime | None = None
    handed_over_at: datetime | None = None
    finished_at: datetime | None = None
    reply: str = ""
    code: str = ""
    permanent: bool = False
    copy_filed: bool = False
    look_again_at: datetime | None = None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One outgoing email. `attempts`: oldest first; `why`: a sentence that says why it waits; `copies`: the
    mailboxes in whose sent items it was seen; `copy_waits`: a copy is still to be put there."""

    status: int
    now: datetime
    written_at: datetime | None = None
    written_by: str = ""
    is_automatic: bool = False
    submitted_at: datetime | None = None
    submitted_by: str = ""
    mailbox: str = ""
    not_before: datetime | None = None
    postponed_until: datetime | None = None
    why: str = ""
    error_code: str = ""
    attempts: tuple[Attempt, ...] = ()
    copies: tuple[str, ...] = ()
    copy_waits: bool = False
    came_back: int = 0

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def is_submitted(self) -> bool:
        return self.submitted_at is not None or bool(self.attempts)


def path_of(sending: Sending) -> tuple[Phase, ...]:
    """Translated when called."""
    way = (
        Phase("writing", _("How it began"), (_written(sending), _checked(sending), _wait(sending))),
        Phase("sending", _("How it left"), tuple(_hand_over(sending))),
        Phase("result", _("What became of it"), tuple(_results(sending))),
    )
    return (*stopped_at(way[:2], _stop_of(sending)), way[2])


def _stop_of(sending: Sending) -> str:
    last = sending.last
    if last is not None and last.state in (SubmissionState.REFUSED, SubmissionState.UNKNOWN):
        return "answer"
    return ""


# -- how it began --------------------------------------------------------------------------------


def _written(sending: Sending) -> Station:
    name, told = _("Written"), []
    if sending.written_at is not None:
        values = {"at": stored.when(sending.written_at)}
        told.append(Sentence(_("The draft was made at %(at)s.") % values))
    if sending.is_automatic:
        return station("written", name, _("by a rule, as its answer"), told, rule="R3.59")
    who = sending.written_by
    return station("written", name, _("by %(who)s") % {"who": who} if who else "", told)


def _checked(sending: Sending) -> Station:
    name = _("Checked")
    if not sending.is_submitted:
        return station("checked", name, _("not sent yet"), state=StationState.UNASKED)
    text = _(
        "Its sender has an address, each recipient has one, and whoever sent it may send as that"
        " sender."
    )
    return station("checked", name, _("nothing was missing"), [Sentence(text, "R5.3")])


def _wait(sending: Sending) -> Station:
    """In the send queue: for a worker, for its time, or for its mailbox."""
    name = _("Waiting")
    if not sending.is_submitted:
        return station("waiting", name, "", state=StationState.UNASKED)
    told = list(_since(sending))
    if sending.status != EmailStatus.PENDING_SEND:
        phrase = _("through %(mailbox)s") % {"mailbox": sending.mailbox} if sending.mailbox else ""
        return station("waiting", name, phrase, told, rule="R5.8")
    phrase, rule = _waits_for(sending)
    told += [Sentence(sending.why)] if sending.why else []
    return station("waiting", name, phrase, told, state=StationState.WAITING, rule=rule)


def _since(sending: Sending) -> Iterator[Sentence]:
    if sending.submitted_at is not None:
        values = {"who": sending.submitted_by, "at": stored.when(sending.submitted_at)}
        text = _("%(who)s sent it at %(at)s.") if sending.submitted_by else _("Sent at %(at)s.")
        yield Sentence(text % values, "R5.8")
    if sending.not_before is not None:
        text = _("It is not to leave before %(at)s.")
        yield Sentence(text % {"at": stored.when(sending.not_before)}, "R5.6")


def _waits_for(sending: Sending) -> tuple[str, str]:
    if sending.not_before is not None and sending.not_before > sending.now:
        return _("until %(at)s") % {"at": stored.when(sending.not_before)}, "R5.6"
    if sending.postponed_until is not None and sending.postponed_until > sending.now:
        values = {"at": stored.when(sending.postponed_until)}
        if not sending.error_code:
            return _("it can be undone until %(at)s") % values, "R5.2"
        return _("tried again at %(at)s") % values, "R5.12"
    return _("for its mailbox's turn"), "R5.8"


# -- how it left ---------------------------------------------------------------------------------


def _hand_over(sending: Sending) -> Iterator[Station]:
    names = {"claimed": _("Claimed"), "handed_over": _("Handed over"), "answer": _("Answer")}
    last = sending.last
    if last is None:
        for key, name in names.items():
            yield station(key, name, "", state=StationState.UNASKED)
        return
    yield _claimed(sending.attempts, last, names["claimed"])
    yield _handed_over(last, names["handed_over"])
    yield _answer(last, names["answer"])


def _claimed(attempts: Sequence[Attempt], last: Attempt, name: str) -> Station:
    phrase = _("attempt %(number)d") % {"number": last.number}
    if last.claimed_at is not None:
        phrase = f"{phrase}, {stored.when(last.claimed_at)}"
    told = [_told(attempt) for attempt in attempts[:-1]]
    return station("claimed", name, phrase, told, rule="R5.11" if told else "R5.9")


def _told(attempt: Attempt) -> Sentence:
    """An earlier attempt in one line."""
    values = {
        "number": attempt.number,
        "state": stored.label(SubmissionState, attempt.state),
        "reply": attempt.reply or attempt.code,
    }
    text = _("Attempt %(number)d: %(state)s. %(reply)s") % values
    return Sentence(text.rstrip(), "R5.12", Kind.RESULT)


def _handed_over(last: Attempt, name: str) -> Station:
    if last.handed_over_at is None:
        return station("handed_over", name, _("not handed over"), state=StationState.UNASKED)
    text = _(
        "Noted before the last byte that the server needs to take it: from then on it is not sent"
        " again without proof that it did not leave."
    )
    told = [Sentence(text, "R5.17")]
    return station("handed_over", name, stored.when(last.handed_over_at), told)


def _answer(last: Attempt, name: str) -> Station:
    told = list(_reply(last))
    if last.state == SubmissionState.ACCEPTED:
        phrase, state = _("accepted"), StationState.DECIDED
        if last.refused:
            phrase = _("accepted, but not for all")
        return station("answer", name, phrase, told, state=state, rule="R5.18")
    if last.state == SubmissionState.PARTLY:
        phrase = _("accepted, but not for all")
        return station("answer", name, phrase, told, state=StationState.WAITING, rule="R5.16")
    if last.state == SubmissionState.REFUSED:
        phrase = _("refused for good") if last.permanent else _("refused for now")
        return station("answer", name, phrase, told, rule="R5.15")
    if last.state == SubmissionState.UNKNOWN:
        return station("answer", name, _("none: it may have left"), told, rule="R5.17")
    if last.state == SubmissionState.RELEASED:
        phrase = _("it did not leave")
        return station("answer", name, phrase, told, state=StationState.ENDED, rule="R5.13")
    return station("answer", name, "", told, state=StationState.WAITING)


def _reply(last: Attempt) -> Iterator[Sentence]:
    if words := last.reply or last.code:
        yield Sentence(_("The answer: %(words)s") % {"words": words})
    for line in last.refused:
        yield Sentence(line, "R5.16")
    if last.state != SubmissionState.UNKNOWN:
        return
    if last.look_again_at is not None:
        text = _("It is looked for in sent items at %(at)s.")
        yield Sentence(text % {"at": stored.when(last.look_again_at)}, "R5.17")
    else:
        yield Sentence(_("A person decides whether it left."), "R5.17")


# -- what became of it ---------------------------------------------------------------------------


def _results(sending: Sending) -> Iterator[Station]:
    yield _status(sending)
    if sending.status == EmailStatus.SENT or sending.copies:
        yield _copy(sending)
    if sending.came_back:
        yield _reports(sending)


def _status(sending: Sending) -> Station:
    states = {
        EmailStatus.SENT: StationState.DONE,
        EmailStatus.FAILED: StationState.ENDED,
        EmailStatus.CANCELED: StationState.ENDED,
        EmailStatus.PENDING_SEND: StationState.WAITING,
        EmailStatus.SENDING: StationState.WAITING,
    }
    state = states.get(sending.status, StationState.UNASKED)  # type: ignore[call-overload]
    last = sending.last
    ended = last.finished_at if last is not None and sending.status == EmailStatus.SENT else None
    phrase = stored.when(ended) if ended else sending.error_code
    name = stored.label(EmailStatus, sending.status)
    return station("outcome", name, phrase, state=state, rule="R5.2")


def _copy(sending: Sending) -> Station:
    name, last = _("Copy"), sending.last
    told = [
        Sentence(_("It was seen in the sent items of %(mailbox)s.") % {"mailbox": one}, "R3.60")
        for one in sending.copies
    ]
    if last is not None and last.copy_filed:
        phrase = _("filed by the server as it took it")
        return station("copy", name, phrase, told, state=StationState.DONE, rule="R5.18")
    if told:
        phrase = _("in sent items")
        return station("copy", name, phrase, told, state=StationState.DONE, rule="R5.18")
    if sending.copy_waits:
        phrase = _("filed with the next cycle")
        return station("copy", name, phrase, state=StationState.WAITING, rule="R5.18")
    phrase = _("none is known of")
    return station("copy", name, phrase, state=StationState.UNASKED, rule="R5.18")


def _reports(sending: Sending) -> Station:
    count = sending.came_back
    phrase = ngettext("%(count)d report", "%(count)d reports", count) % {"count": count}
    return station("came_back", _("Came back"), phrase, state=StationState.DONE, rule="R5.21")
