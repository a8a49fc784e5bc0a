"""PURE  A stored decision as a picture of the message's path: which stations it came to, and how far (R8.33).

    how it came ──> what it is ──> who takes it ──> what became of it

The stations stand in the order in which they are asked (R3.19), so that behind the one where a message
stopped nothing was asked. Like `telling`, this takes what any version stored, and what retention left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tracking import byhand, creation_words, stored, telling
from tracking.acceptance import NO_CANDIDATE
from tracking.choices import (
    AcceptReason,
    AttemptOutcome,
    CorrelationStep,
    HookState,
    InternalCheck,
    Lacks,
    Outcome,
    OwnerBecause,
    PartyKind,
    ResolvedBecause,
    SkipReason,
    StationState,
    SubReason,
    Way,
    Why,
)
from tracking.creation import Said
from tracking.stations import Phase, Ref, Station, Step, station, stopped_at
from tracking.stored import Data
from tracking.telling import Kind, Sentence
from tracking.trace import DISMISSED, UNTRACKED

INVALID_FORWARD = "InvalidForwardMailItem"  # R3.75
MOST_STEPS = 8

#: Where a rejected message stopped (R3.19).
STOPS = {
    AcceptReason.INVALID_SENDER.code: "sender",
    AcceptReason.NO_RECIPIENT_MATCH.code: "recipients",
    AcceptReason.INTERNAL_EMAIL_REJECT.code: "internal",
    AcceptReason.NO_CORRELATION_MATCH.code: "filters",
    INVALID_FORWARD: "forward",
}
#: Ways on which no filter is asked, and the sub-reasons that say so.
CHOSEN = {
    SubReason.FOLDER_RULE: (Way.FOLDER, "R7.6"),
    SubReason.CATEGORY: (Way.CATEGORY, "R7.21"),
    SubReason.MANUAL: (Way.MANUAL, "R3.18"),
}
EMAIL = "activities.email"


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What came after the decision. `filed`: the record that it is under now, in words, if that is another
    one; `hooks`: late runs of a site's own code, as name, state and error; `copies`: how many more of the
    same message were seen."""

    filed: str = ""
    hooks: tuple[tuple[str, str, str], ...] = ()
    copies: int = 0


def path_of(data: Data, *, folder: str = "", since: Since = Since()) -> tuple[Phase, ...]:
    """`folder`: where the message lies on its server, in words. Translated when called."""
    judged = _judged(data)
    way = (
        Phase("arrival", _("How it came"), tuple(_arrival(judged, folder))),
        Phase("knowledge", _("What it is"), (_sender(judged), _known(judged), _answers(judged))),
        Phase("acceptance", _("Who takes it"), tuple(_acceptance(judged))),
        Phase("result", _("What became of it"), tuple(_results(data, judged, since))),
    )
    stop = _stop_of(judged)
    if stop == "outcome":
        return way
    return (*stopped_at(way[:3], stop), way[3])


def _judged(data: Data) -> Data:
    """The decision as it was taken, before somebody untracked the message, or asked to track it."""
    if data.get("reason") == UNTRACKED:
        outcome = Outcome.DUPLICATE if data.get("duplicate_of") else Outcome.TRACKED
        return {**data, "outcome": outcome.value, "reason": ""}
    if byhand.is_waiting(data):
        return {**byhand.before(data), "way": ""}
    return data


def _stop_of(data: Data) -> str:
    """The key of the last station that it came to; "" where it passed them all."""
    outcome, reason = stored.text(data, "outcome"), stored.text(data, "reason")
    if outcome == Outcome.REJECTED:
        return STOPS.get(reason, "")
    if outcome == Outcome.DUPLICATE:
        # Another worker stored it first, after all of this was asked.
        return "outcome" if _was_asked(data) else "known"
    if outcome == Outcome.SKIPPED and reason != DISMISSED:
        return "forward" if _is_wrapper(data) else "checks"
    if outcome == Outcome.GONE:
        return "fetched"
    if outcome in (Outcome.SKIPPED, Outcome.RETRYING, Outcome.QUARANTINED):
        return _failed_at(data)
    return ""


def _failed_at(data: Data) -> str:
    if stored.map_of(data, "denied"):
        return "rights"
    return "outcome" if stored.map_of(data, "message") or data.get("blanked") else "fetched"


def _was_asked(data: Data) -> bool:
    """Whether correlation and filters had their say."""
    return bool(stored.map_of(data, "parties") or stored.map_of(data, "correlation"))


def _untold(key: str, name: str, data: Data) -> Station:
    """A station of which nothing is stored: nothing was asked, or it was erased since."""
    if data.get("blanked"):
        return station(key, name, _("no longer known"), rule="R3.73")
    return station(key, name, _("nothing is recorded"), state=StationState.UNASKED)


# -- how it came ---------------------------------------------------------------------------------


def _arrival(data: Data, folder: str) -> Iterator[Station]:
    yield _arrived(data, folder)
    yield _fetched(data)
    forward = _forward(data)
    if forward and stored.map_of(data, "forwarded_by") and not _is_wrapper(data):
        yield from (forward, _checks(data))  # an original is looked at when it is out
    else:
        yield from filter(None, (_checks(data), forward))
    yield _read_for(data)


def _is_wrapper(data: Data) -> bool:
    return stored.text(data, "reason") in (INVALID_FORWARD, SkipReason.FORWARD_WRAPPER)


def _arrived(data: Data, folder: str) -> Station:
    received = stored.text(data, "received")
    where = folder or stored.text(stored.map_of(data, "folder"), "name")
    if stored.text(data, "way") == Way.SENT:
        where = where or _("sent items")
    phrase = ", ".join(filter(None, (where, received and stored.moment(received))))
    return station("arrived", _("Arrived"), phrase or _("on its server"), telling.about_way(data))


def _fetched(data: Data) -> Station:
    name = _("Fetched")
    told = [*telling.about_header(data), *telling.about_content(data)]
    if stored.text(data, "outcome") == Outcome.GONE:
        return station("fetched", name, _("no longer on the server"), [telling.summary(data)])
    if _stop_of(data) == "fetched":
        return station("fetched", name, _code(data), [telling.summary(data)], rule="R3.72")
    if not stored.number(data, "size"):
        return _untold("fetched", name, data)
    size = stored.octets(str(stored.number(data, "size")))
    if not (stored.map_of(data, "message") or data.get("blanked")):
        return station("fetched", name, size, state=StationState.UNASKED)
    defects = stored.count(stored.map_of(data, "message"), "defects")
    faults = ngettext("%(count)d defect", "%(count)d defects", defects) % {"count": defects}
    return station("fetched", name, f"{size}, {faults}" if defects else size, told)


def _code(data: Data) -> str:
    return stored.text(stored.map_of(data, "failure"), "code") or stored.text(data, "reason")


def _checks(data: Data) -> Station:
    name, reason = _("Checked"), stored.text(data, "reason")
    if _stop_of(data) == "checks" and reason in SkipReason.values:
        phrase = stored.label(SkipReason, reason)
        return station("checks", name, phrase, [telling.summary(data)])
    told = _(
        "It is a candidate: not before the start date, not too large, no test message of ours, no"
        " calendar traffic, no rights-protected mail that is to be left alone."
    )
    return station("checks", name, _("a candidate"), [Sentence(told, "R3.6", Kind.MESSAGE)])


def _forward(data: Data) -> Station | None:
    """Of what came through a forward mailbox: the wrapper, or an original that was in one."""
    name, reason = _("Forward"), stored.text(data, "reason")
    if reason == INVALID_FORWARD:
        phrase = stored.label(SubReason, stored.text(data, "sub_reason")) or _("no original in it")
        return station("forward", name, phrase, [telling.summary(data)])
    if reason == SkipReason.FORWARD_WRAPPER:
        phrase = _("only the wrapper of an original")
        return station("forward", name, phrase, [telling.summary(data), *_originals(data)])
    if forwarder := stored.map_of(data, "forwarded_by"):
        phrase = _("an original, forwarded by %(who)s") % {"who": stored.who(forwarder)}
        return station("forward", name, phrase, telling.about_way(data), rule="R3.75")
    return None


def _originals(data: Data) -> Iterator[Sentence]:
    count = stored.text(stored.map_of(data, "skip"), "detail")
    if count.isdecimal():
        text = ngettext("It holds %(count)d original.", "It holds %(count)d originals.", int(count))
        yield Sentence(text % {"count": int(count)}, "R3.75")


def _read_for(data: Data) -> Station:
    """Whose mailbox it was read from. In a forward mailbox that is whoever forwarded it."""
    name = _("Read for")
    mailbox = stored.text(stored.map_of(data, "mailbox"), "name")
    forwarder = stored.map_of(data, "forwarded_by")
    reading = next((p for p in stored.entries(data, "parties") if p.get("reading")), {})
    if not (mailbox or forwarder or reading):
        return _untold("read_for", name, data)
    told = []
    if mailbox:
        told = [Sentence(_("The mailbox %(mailbox)s was read.") % {"mailbox": mailbox}, "R3.23")]
    if party := forwarder or reading:
        return station("read_for", name, stored.who(party), told)
    return station("read_for", name, _("mailbox %(name)s") % {"name": mailbox}, told)


# -- what it is ----------------------------------------------------------------------------------


def _sender(data: Data) -> Station:
    name, sender = _("Sender"), stored.map_of(data, "sender")
    if not sender and stored.text(data, "reason") != AcceptReason.INVALID_SENDER.code:
        return _untold("sender", name, data)
    told = [telling.about_sender(sender), *telling.about_ignored(sender)] if sender else []
    address, record = stored.text(sender, "address"), stored.record(stored.map_of(sender, "match"))
    if stored.text(data, "reason") == AcceptReason.INVALID_SENDER.code:
        return station("sender", name, _("no usable address"), told or [telling.summary(data)])
    if record:
        return station("sender", name, record, told, refs=_ref(stored.map_of(sender, "match")))
    why = stored.text(sender, "why")
    if why in (ResolvedBecause.LEFT_OPEN, ResolvedBecause.TOO_MANY):
        return station("sender", name, stored.label(ResolvedBecause, why), told)
    return station("sender", name, _("unknown: %(address)s") % {"address": address}, told)


def _ref(match: Data) -> list[Ref]:
    kind, key = stored.text(match, "kind"), stored.text(match, "id")
    return [Ref(kind, key)] if kind and key else []


def _known(data: Data) -> Station:
    name, other = _("Stored before?"), stored.text(data, "duplicate_of")
    if stored.text(data, "outcome") == Outcome.DUPLICATE and not _was_asked(data):
        refs = [Ref(EMAIL, other)] if other else []
        return station("known", name, _("stored already"), [telling.summary(data)], refs=refs)
    if data.get("id_reused"):
        phrase = _("new, though its Message-ID is not")
        return station("known", name, phrase, telling.about_id(data))
    if not (stored.map_of(data, "sender") or _was_asked(data)):
        return _untold("known", name, data)
    told = Sentence(_("No email with its Message-ID and direction was stored here."), "R3.20")
    return station("known", name, _("new here"), [told])


def _answers(data: Data) -> Station:
    name, correlation = _("Answers"), stored.map_of(data, "correlation")
    report = data.get("report")
    told = list(telling.about_correlation(data))
    if not (correlation or report):
        return _untold("answers", name, data)
    refs = [Ref(EMAIL, key) for key in _emails_of(correlation, report)]
    steps = [_attempt(attempt) for attempt in stored.entries(correlation, "tried")]
    if step := stored.label(CorrelationStep, correlation.get("step")):
        phrase = _("an email stored here, by %(step)s") % {"step": step}
    elif refs:
        phrase = _("a report on an email that was sent")
    else:
        phrase = _("nothing that is stored here")
    rule = told[len(steps) - 1].rule if steps else ""
    steps += _not_tried(correlation)
    return station("answers", name, phrase, told, steps=steps, refs=refs, rule=rule)


def _emails_of(correlation: Data, report: Any) -> list[str]:
    maps = (correlation, report if isinstance(report, dict) else {})
    return list(dict.fromkeys(key for data in maps if (key := stored.text(data, "email"))))


def _not_tried(correlation: Data) -> list[Step]:
    """The methods behind the one that found an email."""
    if not correlation.get("step"):
        return []
    tried = {stored.text(attempt, "step") for attempt in stored.entries(correlation, "tried")}
    left = (step for step in CorrelationStep if step not in {*tried, CorrelationStep.REPORT})
    return [Step(str(step.label), str(StationState.UNASKED.label)) for step in left]


def _attempt(attempt: Data) -> Step:
    outcome = stored.text(attempt, "outcome")
    asked = outcome in (
        AttemptOutcome.FOUND,
        AttemptOutcome.NOT_FOUND,
        AttemptOutcome.NOT_BELIEVED,
    )
    return Step(
        stored.label(CorrelationStep, attempt.get("step")),
        stored.label(AttemptOutcome, attempt.get("outcome")),
        outcome == AttemptOutcome.FOUND if asked else None,
    )


# -- who takes it --------------------------------------------------------------------------------


def _acceptance(data: Data) -> Iterator[Station]:
    yield _recipients(data)
    yield _internal(data)
    chosen = _chosen_by(data)
    if chosen is not None:
        yield _chosen(data, chosen)
    yield _filters(data) if chosen is None else _unfiltered()
    if stored.map_of(data, "denied"):
        yield _rights(data)


def _recipients(data: Data) -> Station:
    name = _("Recipients")
    recipients = stored.entries(data, "recipients")
    out = [party for party in stored.entries(data, "parties") if not _is_asked(party)]
    told = [
        *(line for one in recipients for line in _recipient(one)),
        *(line for party in out for line in telling.about_party(party)),
    ]
    if stored.text(data, "reason") == AcceptReason.NO_RECIPIENT_MATCH.code:
        sub = stored.text(data, "sub_reason")
        phrase = stored.label(SubReason, sub) if sub else _("nobody here is meant")
        return station("recipients", name, phrase, [telling.summary(data), *told])
    if not recipients:
        return _untold("recipients", name, data)
    refs = [ref for one in recipients for match in _matches(one) for ref in _ref(match)]
    return station("recipients", name, _counted(data), told, refs=refs[:MOST_STEPS])


def _recipient(recipient: Data) -> Iterator[Sentence]:
    yield telling.about_recipient(recipient)
    yield from telling.about_ignored(recipient)


def _matches(recipient: Data) -> list[Data]:
    return stored.entries(recipient, "matches")


def _counted(data: Data) -> str:
    """How many addresses, and how many of those that are listed are of users or queues."""
    count = stored.count(data, "recipients")
    ours = sum(
        any(stored.text(match, "kind") in PartyKind.values for match in _matches(recipient))
        for recipient in stored.entries(data, "recipients")
    )
    text = ngettext("%(count)d address", "%(count)d addresses", count) % {"count": count}
    mine = ngettext("%(count)d of them ours", "%(count)d of them ours", ours) % {"count": ours}
    return f"{text}, {mine}"


def _internal(data: Data) -> Station:
    """Mail between own users (R3.40-R3.45)."""
    name, check = _("Between own users?"), stored.text(data, "internal")
    told = list(telling.about_internal(data))
    if check == InternalCheck.TWO_ACTIVITIES:
        text = _(
            "What one of us sends to another is kept twice, as sent and as received, so it plays no"
            " part who sent it."
        )
        phrase, told = _("plays no part"), [Sentence(text, "R3.40", Kind.CANDIDATE)]
        return station("internal", name, phrase, told)
    if not check:
        return _untold("internal", name, data)
    return station("internal", name, _origin(check), told)


def _origin(check: str) -> str:
    texts = {
        InternalCheck.NOT_CHECKED.value: _("not checked"),
        InternalCheck.NOT_INTERNAL.value: _("no, it comes from outside"),
        InternalCheck.FROM_QUEUE.value: _("from a queue: tracked at both ends"),
        InternalCheck.SENT_COPY_STORED.value: _("yes, and the sent copy is stored"),
        InternalCheck.SENT_COPY_MISSING.value: _("yes, but no sent copy is stored"),
        InternalCheck.ALWAYS.value: _("yes: the sender tracks it"),
    }
    return texts.get(check, check)


def _chosen_by(data: Data) -> SubReason | None:
    """Why no filter was asked, None if filters were."""
    way, sub = stored.text(data, "way"), stored.text(data, "sub_reason")
    return next((chosen for chosen in CHOSEN if chosen == sub or CHOSEN[chosen][0] == way), None)


def _chosen(data: Data, chosen: SubReason) -> Station:
    way, rule = CHOSEN[chosen]
    phrase = str(way.label)
    if folder := stored.text(stored.map_of(data, "folder"), "name"):
        phrase = _("it lies in “%(folder)s”") % {"folder": folder}
    told = byhand.about_request(data) if chosen == SubReason.MANUAL else []
    if stored.text(data, "outcome") == Outcome.TRACKED:
        told = [*told, telling.summary(data)]
    state = StationState.PASSED if stored.map_of(data, "denied") else StationState.DECIDED
    return station("chosen", _("Chosen"), phrase, told, state=state, rule=rule)


def _unfiltered() -> Station:
    return station("filters", _("Filters"), "", state=StationState.UNASKED)


def _is_asked(party: Data) -> bool:
    return stored.text(party, "why") not in NO_CANDIDATE


def _filters(data: Data) -> Station:
    name = _("Filters")
    parties = [party for party in stored.entries(data, "parties") if _is_asked(party)]
    told = [line for party in parties for line in telling.about_party(party)]
    steps = [_said(party) for party in parties[:MOST_STEPS]]
    if stored.text(data, "reason") == AcceptReason.NO_CORRELATION_MATCH.code:
        sub = stored.text(data, "sub_reason")
        phrase = stored.label(SubReason, sub) if sub else _("nobody takes it")
        return station("filters", name, phrase, [telling.summary(data), *told], steps=steps)
    if denied := stored.map_of(data, "denied"):
        phrase = _("%(who)s takes it") % {"who": stored.who(denied)}
        return station("filters", name, phrase, told, steps=steps)
    if entity := stored.map_of(data, "entity"):
        return _taken(data, entity, told, steps)
    if not parties:
        return _untold("filters", name, data)
    return station("filters", name, "", told, steps=steps)


def _taken(data: Data, entity: Data, told: list[Sentence], steps: list[Step]) -> Station:
    phrase = stored.who(entity)
    accepting = [p for p in stored.entries(data, "parties") if p.get("accepted")]
    same = [p for p in accepting if stored.text(p, "id") == stored.text(entity, "id")]
    if found := next(iter(same or accepting), None):
        phrase = f"{phrase}: {stored.label(Why, found.get('why'))}"
    if stored.text(data, "outcome") == Outcome.TRACKED and stored.text(data, "reason"):
        told = [telling.summary(data), *told]
    return station("filters", _("Filters"), phrase, told, state=StationState.DECIDED, steps=steps)


def _said(party: Data) -> Step:
    return Step(stored.who(party), stored.label(Why, party.get("why")), bool(party.get("accepted")))


def _rights(data: Data) -> Station:
    denied = stored.map_of(data, "denied")
    phrase = stored.label(Lacks, denied.get("lacks")) or _("may not own email")
    return station("rights", _("May own email?"), phrase, [telling.summary(data)], rule="R3.29")


# -- what became of it ---------------------------------------------------------------------------


def _results(data: Data, judged: Data, since: Since) -> Iterator[Station]:
    yield _outcome(judged)
    if stored.text(judged, "outcome") == Outcome.TRACKED:
        yield from (_filed(judged, since), _owner(judged), _queues(judged))
    elif stored.entries(judged, "queue_items"):
        yield _queues(judged)
    if stored.map_of(judged, "filed"):
        yield _in_folder(judged)
    if isinstance(judged.get("made"), list):
        yield _made(judged)
    if dropped := stored.count(judged, "dropped"):
        yield _left_out(judged, dropped)
    for hook in since.hooks:
        yield _hook(*hook)
    if after := _afterwards(data):
        yield after
    if since.copies:
        yield _copies(since.copies)


def _outcome(data: Data) -> Station:
    outcome, other = stored.text(data, "outcome"), stored.text(data, "duplicate_of")
    told = list(telling.about_advice(data))
    if stored.text(data, "reason") or outcome != Outcome.TRACKED:
        told.insert(0, telling.summary(data))
    return station(
        "outcome",
        stored.label(Outcome, outcome) if outcome else _("Outcome"),
        _came_to(data, outcome),
        told,
        state=_ending(data, outcome),
        refs=[Ref(EMAIL, other)] if other else [],
    )


def _came_to(data: Data, outcome: str) -> str:
    texts = {
        Outcome.TRACKED.value: _("an email was made of it"),
        Outcome.REJECTED.value: _("no email was made of it"),
        Outcome.DUPLICATE.value: _("a copy of a stored email"),
        Outcome.SKIPPED.value: _("it is left alone"),
        Outcome.QUARANTINED.value: _("it could not be stored"),
        Outcome.RETRYING.value: _attempted(data),
        Outcome.GONE.value: _("nothing of it could be read"),
    }
    return texts.get(outcome, _("nothing is recorded"))


def _ending(data: Data, outcome: str) -> StationState:
    if outcome == Outcome.TRACKED:
        return StationState.DONE
    if outcome == Outcome.RETRYING:
        return StationState.WAITING
    if outcome == Outcome.QUARANTINED and _stop_of(data) == "outcome":
        return StationState.STOPPED
    return StationState.ENDED if outcome in Outcome.values else StationState.UNASKED


def _attempted(data: Data) -> str:
    failure = stored.map_of(data, "failure")
    if not (stored.number(failure, "attempt") and stored.number(failure, "attempts")):
        return _("it is tried again")
    text = _("attempt %(attempt)d of %(attempts)d failed")
    return text % {key: stored.number(failure, key) for key in ("attempt", "attempts")}


def _filed(data: Data, since: Since) -> Station:
    name, told = _("Filed under"), list(telling.about_regarding(data))
    if since.filed:
        text = _("Since then it was filed under another record: %(record)s.")
        told.append(Sentence(text % {"record": since.filed}, "R7.10", Kind.RESULT))
        return station("filed", name, since.filed, told, state=StationState.DONE, rule="R7.10")
    if told:
        regarding = stored.map_of(data, "regarding")
        phrase, refs = stored.record(regarding), _ref(regarding)
        return station("filed", name, phrase, told, state=StationState.DONE, refs=refs)
    if data.get("blanked"):
        return _untold("filed", name, data)
    text = _("It answers nothing that has a record, and no folder or rule gave it one.")
    told = [Sentence(text, "R3.49", Kind.RESULT)]
    return station("filed", name, _("no record"), told, state=StationState.DONE)


def _owner(data: Data) -> Station:
    name, owner = _("Owner"), stored.map_of(data, "owner")
    if not owner:
        return _untold("owner", name, data)
    why = stored.label(OwnerBecause, owner.get("why"))
    phrase = stored.record(owner) if stored.text(owner, "name") else why
    return station("owner", name, phrase, telling.about_owner(data), state=StationState.DONE)


def _queues(data: Data) -> Station:
    items = stored.entries(data, "queue_items")
    phrase = ", ".join(stored.text(item, "name") or stored.who(item) for item in items)
    return station(
        "queues",
        _("Queues"),
        phrase or _("waits in none"),
        telling.about_queues(data),
        state=StationState.DONE,
        rule="" if items else "R3.53",
    )


def _in_folder(data: Data) -> Station:
    folder = stored.text(stored.map_of(data, "filed"), "folder")
    told = telling.about_folder(data)
    return station("folder", _("Folder"), folder, told, state=StationState.DONE)


def _made(data: Data) -> Station:
    """Records and answers that mail makes (R3.57-R3.59)."""
    notes = [note for note in data["made"] if isinstance(note, dict)]
    phrase = ", ".join(filter(None, map(_made_of, notes))) or _("nothing")
    told = telling.about_made(data)
    return station("made", _("Made of it"), phrase, told, state=StationState.DONE)


def _made_of(note: Data) -> str:
    said = stored.text(note, "said")
    if said == Said.CASE:
        return _("case %(case)s") % {"case": stored.text(note, "case")}
    if said == Said.PERSON:
        return creation_words.kind_of(note.get("kind"))
    return _("an automatic answer") if said == Said.ANSWER else ""


def _left_out(data: Data, count: int) -> Station:
    text = ngettext("%(count)d left out", "%(count)d left out", count) % {"count": count}
    told = telling.about_files(data)
    return station("files", _("Attachments"), text, told, state=StationState.DONE)


def _afterwards(data: Data) -> Station | None:
    """What a person did, or asked for, when the decision had been taken."""
    told, what = byhand.about_request(data), byhand.of(data).get("what")
    name = _("By hand")
    if byhand.is_waiting(data):
        phrase = _("tracked with the next cycle")
        return station("by_hand", name, phrase, told, state=StationState.WAITING)
    if data.get("reason") == UNTRACKED:
        if what == byhand.DELETE:
            return station("by_hand", name, _("deleted here"), told, state=StationState.DECIDED)
        told = told or [telling.summary(data)]
        return station("by_hand", name, _("untracked"), told, state=StationState.DECIDED)
    if byhand.REPLAYED in data or what == byhand.REPLAY:
        phrase = _("decided again")
        return station("replayed", _("Replay"), phrase, told, state=StationState.DONE)
    if data.get("reason") == DISMISSED:
        phrase = _("let go of, so it is not tried again")
        return station("by_hand", name, phrase, state=StationState.DECIDED, rule="R3.67")
    return None


def _hook(name: str, state: str, error: str) -> Station:
    """A site's own code on receipt that took too long, and so runs later (R9.11)."""
    states = {
        HookState.PENDING.value: StationState.WAITING,
        HookState.DONE.value: StationState.DONE,
    }
    words = stored.label(HookState, state).lower()
    told = [Sentence(error, kind=Kind.RESULT)] if error else []
    return station(
        "hook",
        _("Own code"),
        f"{name}: {words}",
        told,
        state=states.get(state, StationState.STOPPED),
        rule="R9.11",
    )


def _copies(count: int) -> Station:
    text = ngettext("%(count)d more copy", "%(count)d more copies", count) % {"count": count}
    return station("copies", _("Also seen"), text, state=StationState.DONE, rule="R3.20")
