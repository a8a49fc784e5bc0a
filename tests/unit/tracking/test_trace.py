import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from activities.mime.message import Address, Defect
from mailboxes.choices import FilteringMethod
from tests.unit.tracking.builders import (
    CC,
    FACTS,
    TO,
    addresses,
    candidate,
    match,
    message,
    queue,
    sender,
    stored,
    user,
)
from tracking.acceptance import (
    Acceptance,
    AcceptanceRules,
    MessageFacts,
    Owner,
    Party,
    accept,
)
from tracking.choices import (
    AcceptReason,
    Lacks,
    Outcome,
    OwnerBecause,
    QueueItemBecause,
    ResolvedBecause,
    SkipReason,
    SubReason,
)
from tracking.correlate import CorrelationCandidates, CorrelationSwitches, correlate
from tracking.ownership import OwnerChoice
from tracking.resolution import (
    ACCOUNT,
    CONTACT,
    LEAD,
    QUEUE,
    USER,
    AddressBook,
    Match,
    ResolutionRules,
    resolve_recipients,
    resolve_sender,
)
from tracking.telling import Kind, sentences, summary
from tracking.trace import (
    MOST_ENTRIES,
    Decision,
    DroppedAttachment,
    Failure,
    Named,
    PlannedQueueItem,
    reasons_of,
    to_data,
    without_personal,
)

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
SUPPORT = queue("q1", FilteringMethod.RESPONSES, name="Support")
ADA = Match(kind=CONTACT, id="c1", name="Ada Example")
SUBJECT = "A subject that nobody else may read"


def decided(outcome: Outcome, **fields) -> Decision:
    return Decision(outcome=outcome, decided_at=NOW, **fields)


def line(decision: Decision) -> str:
    return str(summary(to_data(decision)))


def texts(decision: Decision, kind: Kind) -> list[str]:
    return [str(s) for s in sentences(to_data(decision)) if s.kind == kind]


def judged(*candidates, correlation=None, sent_by=None, rules=None, facts=FACTS) -> Acceptance:
    return accept(facts, candidates, correlation, sent_by or sender(), rules or AcceptanceRules())


def rejected(*candidates, **context) -> Decision:
    return decided(Outcome.REJECTED, acceptance=judged(*candidates, **context))


def whole() -> Decision:
    """A decision with everything in it."""
    one = message(
        message_id="new@example.com",
        subject=SUBJECT,
        html="<p>A body that is nobody's business</p>",
        to=addresses("support@example.org", "nobody@example.net"),
        cc=(Address("gone@example.org"),),
        auto_submitted="auto-replied",
        in_reply_to="unknown@example.com",
        references=("old@example.com",),
        defects=(Defect("bad_date", "Date: yesterday"),),
    )
    book = AddressBook(
        {
            "support@example.org": (match(QUEUE, "q1", name="Support"),),
            "gone@example.org": (match(USER, "u9", name="Ben", active=False),),
        }
    )
    correlation = correlate(
        one,
        CorrelationCandidates([stored("old@example.com", subject="Something else")]),
        CorrelationSwitches(),
    )
    return decided(
        Outcome.TRACKED,
        mailbox=Named("mailboxes.mailbox", "m1", "Support"),
        forwarded_by=Named(USER, "u1", "Carol"),
        size=2048,
        received_at=NOW,
        message=one,
        sender=replace(sender(CONTACT), match=ADA, others=(match(LEAD, "l1", name="Ada Lead"),)),
        recipients=resolve_recipients(one, book),
        correlation=correlation,
        acceptance=judged(candidate(SUPPORT, TO), correlation=correlation),
        owner=OwnerChoice(
            Owner(user_id=UUID(int=5), name="Olga"), OwnerBecause.FIRST_ELIGIBLE, SUPPORT
        ),
        regarding=Named(CONTACT, "c1", "Ada Example"),
        queue_items=(PlannedQueueItem(Named(QUEUE, "q1", "Support"), QueueItemBecause.RECIPIENT),),
        dropped_attachments=(DroppedAttachment("film.mov", 9_000_000, "too_large"),),
        message_id_reused=True,
    )


# -- the whole story in one line


def test_the_issue_of_a_replies_only_queue():
    assert line(rejected(candidate(SUPPORT))) == (
        "Rejected, NoCorrelationMatch: the filter of queue Support accepts replies only, and this"
        " message answers nothing stored here. (R3.24)"
    )


@pytest.mark.parametrize(
    ("filtering", "says"),
    [
        (FilteringMethod.NONE, "the filter of user Ben accepts no email."),
        (
            FilteringMethod.LEADS_CONTACTS_ACCOUNTS,
            "accepts mail from leads, contacts and accounts only, and the sender is none of them.",
        ),
        (FilteringMethod.EMAIL_ENABLED, "known addresses only, and no record has the sender's."),
    ],
)
def test_each_refusing_filter_has_its_words(filtering, says):
    said = line(rejected(candidate(user("u1", filtering, name="Ben"))))
    assert says in said
    assert said.startswith("Rejected, NoCorrelationMatch: ")


def test_several_refusing_filters_are_counted():
    many = [candidate(user(f"u{n}", FilteringMethod.NONE), position=n) for n in range(3)]
    assert "2 other filters don't take it, either." in line(rejected(*many))
    assert "1 other filter doesn't take it, either." in line(rejected(*many[:2]))
    assert "other filter" not in line(rejected(many[0]))


def test_list_mail_names_the_mailbox_and_the_filter_that_would_take_it():
    said = line(rejected(candidate(SUPPORT, None, is_reading=True)))
    assert "It came to queue Support as list mail or Bcc" in said
    assert "“All email messages”" in said
    assert said.endswith("(R3.27)")


def test_other_rejections_name_reason_and_rule():
    invalid = rejected(facts=MessageFacts(sender=""))
    assert line(invalid).startswith("Rejected, InvalidSender: ")
    assert line(invalid).endswith("(R3.12)")
    assert line(rejected()).endswith("no recipient is an active user or queue here. (R3.22)")
    inactive = rejected(candidate(queue(active=False)))
    assert "are inactive" in line(inactive)
    only = rejected(candidate(user()), rules=AcceptanceRules(only_reading_party=True))
    assert "only the mailbox being read decides" in line(only)
    automatic = rejected(
        candidate(user()),
        rules=AcceptanceRules(reject_auto_submitted=True),
        facts=MessageFacts(sender="ada@example.com", auto_submitted="auto-replied"),
    )
    assert line(automatic).endswith("the organization does not track it. (R3.13)")


@pytest.mark.parametrize("sub", ["not_attached", "method_not_forward", "forwarder_unknown"])
def test_each_bad_forward_has_its_words(sub):
    said = line(decided(Outcome.REJECTED, reason="InvalidForwardMailItem", sub_reason=sub))
    other = line(decided(Outcome.REJECTED, reason="InvalidForwardMailItem", sub_reason="?"))
    assert said.startswith("Rejected, InvalidForwardMailItem: ")
    assert said.endswith("(R3.75)")
    assert (said == other) == (sub == "not_attached")


def test_accepting_filter_is_named():
    everything = decided(Outcome.TRACKED, acceptance=judged(candidate(user("u1", name="Ben"))))
    assert line(everything) == (
        "Tracked, AcceptAll: the filter of user Ben takes all email. (R3.24)"
    )
    list_mail = judged(candidate(queue("q1", name="Support"), None, is_reading=True))
    said = line(decided(Outcome.TRACKED, acceptance=list_mail))
    assert "though it is no recipient" in said
    assert said.endswith("(R3.27)")
    assert line(whole()).startswith("Tracked, CorrelationMatch: queue Support takes replies")
    known = sender(CONTACT)
    by_sender = decided(
        Outcome.TRACKED,
        sender=known,
        acceptance=judged(
            candidate(user("u1", FilteringMethod.EMAIL_ENABLED, name="Ben")), sent_by=known
        ),
    )
    assert line(by_sender) == (
        "Tracked, SenderMatch: user Ben takes mail of known senders: contact Ada. (R3.24)"
    )
    by_hand = judged(facts=MessageFacts(sender="a@example.com", chosen=SubReason.MANUAL))
    assert line(decided(Outcome.TRACKED, acceptance=by_hand)).startswith("Tracked by hand")


@pytest.mark.parametrize("reason", SkipReason)
def test_each_skip_has_its_words(reason):
    said = line(
        decided(
            Outcome.SKIPPED,
            reason=reason.value,
            skip_detail="2026-02-01T00:00:00+00:00",
            skip_limit=NOW.isoformat(),
        )
    )
    unknown = line(decided(Outcome.SKIPPED, reason="something_new"))
    assert said.startswith("Skipped: ")
    assert said != f"Skipped: {reason.value}."
    assert unknown == "Skipped: something_new."


def test_skip_tells_what_was_compared():
    early = decided(
        Outcome.SKIPPED,
        reason="before_start",
        skip_detail="2026-02-01T00:00:00+00:00",
        skip_limit=NOW.isoformat(),
    )
    assert line(early) == (
        "Skipped: received 2026-02-01 00:00 UTC, before the start date 2026-03-01 08:00 UTC. (R3.6)"
    )
    large = decided(
        Outcome.SKIPPED,
        reason="too_large",
        skip_detail=str(200 * 1024**2),
        skip_limit=str(150 * 1024**2),
    )
    assert "200.0 MB" in line(large)
    assert "150.0 MB" in line(large)


def test_failures_tell_code_attempts_and_what_comes_next():
    retrying = decided(
        Outcome.RETRYING,
        failure=Failure(
            code="SocketTimedOut", text="No answer.", attempt=2, attempts=5, next_attempt_at=NOW
        ),
    )
    assert line(retrying) == (
        "Not stored yet, SocketTimedOut: attempt 2 of 5 failed. No answer. (R3.72)"
    )
    assert texts(retrying, Kind.ADVICE) == ["It is tried again at 2026-03-01 08:00 UTC by itself."]
    assert reasons_of(retrying) == ("SocketTimedOut", "")
    lost = decided(Outcome.QUARANTINED, failure=Failure(code="Unknown"))
    assert line(lost) == "Quarantined, Unknown: the message could not be stored. (R3.67)"
    assert "retry" in texts(lost, Kind.ADVICE)[0]
    assert line(decided(Outcome.GONE)).startswith("Gone: ")
    assert line(decided(Outcome.DUPLICATE)).endswith("no second email is made. (R3.20)")


@pytest.mark.parametrize(
    ("zone", "written"), [("Asia/Tokyo", "17:00 JST"), ("America/Sao_Paulo", "05:00 -03")]
)
def test_times_name_their_zone_and_run_to_24_hours(settings, zone, written):
    settings.TIME_ZONE = zone
    failure = Failure(code="Unknown", attempt=1, attempts=3, next_attempt_at=NOW)
    for language in ("en", "ja"):
        with translation.override(language):
            (advice,) = texts(decided(Outcome.RETRYING, failure=failure), Kind.ADVICE)
            assert f"2026-03-01 {written}" in advice


@pytest.mark.rule("R3.67")
def test_only_an_original_that_was_had_is_said_to_be_kept():
    failure = Failure(code="Unknown")
    (had,) = texts(decided(Outcome.QUARANTINED, message=message(), failure=failure), Kind.ADVICE)
    (never,) = texts(decided(Outcome.QUARANTINED, failure=failure), Kind.ADVICE)
    assert had.startswith("The original message is kept")
    assert never.startswith("No original is kept here, for the server never handed it out")
    blanked = without_personal(to_data(decided(Outcome.QUARANTINED, failure=failure)))
    advice = [str(said) for said in sentences(blanked) if said.kind == Kind.ADVICE]
    assert advice == ["Names and addresses were erased when their retention ended. (R3.73)"]


def test_a_dismissed_item_tells_what_it_was_dismissed_after():
    data = to_data(decided(Outcome.QUARANTINED, message=message(), failure=Failure(code="Poison")))
    told = [str(said) for said in sentences({**data, "outcome": "skipped", "reason": "Dismissed"})]
    assert told[0].startswith("Dismissed by hand, after Poison: it could not be stored")
    assert not any("is kept" in line for line in told)


def test_every_rejection_says_what_to_do():
    for reason in (r for r in AcceptReason if not r.accepts and r.value in (1, 3, 7)):
        for sub in SubReason:
            decision = decided(Outcome.REJECTED, reason=reason.code, sub_reason=sub.value)
            assert texts(decision, Kind.ADVICE), (reason, sub)


# -- the steps


def test_all_steps_of_a_decision_are_told_in_order():
    told = sentences(to_data(whole()))
    assert told[0].kind == Kind.SUMMARY
    kinds = list(dict.fromkeys(sentence.kind for sentence in told))
    assert kinds == [
        Kind.SUMMARY,
        Kind.MESSAGE,
        Kind.ADDRESS,
        Kind.CORRELATION,
        Kind.CANDIDATE,
        Kind.RESULT,
    ]


def test_addresses_tell_what_they_stand_for_and_why():
    told = texts(whole(), Kind.ADDRESS)
    assert told[0].startswith("Sender ada@example.com: contact Ada Example, being first")
    assert "lead Ada Lead" in told[0]
    assert told[1] == "To support@example.org: queue Support. (R3.36)"
    assert "nobody@example.net: no record has this address" in told[2]
    assert told[4] == (
        "gone@example.org also belongs to user Ben (inactive), who is disabled and does not"
        " count. (R3.39)"
    )


def test_unresolved_senders_tell_why():
    for because, rule in (
        (ResolvedBecause.NO_MATCH, "R3.37"),
        (ResolvedBecause.TOO_MANY, "R3.34"),
        (ResolvedBecause.NO_ADDRESS, "R3.12"),
    ):
        decision = decided(Outcome.TRACKED, sender=replace(sender(), because=because))
        assert texts(decision, Kind.ADDRESS)[0].endswith(f"({rule})")


def test_correlation_tells_each_id_and_its_fate():
    assert texts(whole(), Kind.CORRELATION) == [
        "In-Reply-To: no email stored here has the id unknown@example.com. (R4.4)",
        "References: old@example.com is the id of an email stored here. (R4.4)",
        "Its subject is another one than that of the email it answers. (R4.5)",
    ]
    off = correlate(message(), CorrelationCandidates(), CorrelationSwitches(headers=False))
    told = texts(decided(Outcome.REJECTED, correlation=off), Kind.CORRELATION)
    assert told[0] == "In-Reply-To: switched off in the organization. (R4.3)"


@pytest.mark.rule("R3.52")
def test_a_file_left_out_tells_what_it_really_is():
    dropped = (
        DroppedAttachment("invoice\u202efdp.pdf", 2048, "blocked_type", "exe"),
        DroppedAttachment("start.bat", 100, "blocked"),
    )
    decision = decided(Outcome.TRACKED, dropped_attachments=dropped)
    assert [text for text in texts(decision, Kind.RESULT) if "left out" in text] == [
        "Attachment invoicefdp.pdf (2.0 KB) was left out: it is a file of the blocked type “exe”,"
        " whatever its name says. (R3.52)",
        "Attachment start.bat (100 bytes) was left out: its extension is blocked. (R3.52)",
    ]


def test_candidates_tell_role_filter_and_answer():
    decision = rejected(
        candidate(user("u1", FilteringMethod.NONE, name="Ben"), TO, is_reading=True),
        candidate(queue("q1", active=False, name="Old"), CC),
    )
    assert texts(decision, Kind.CANDIDATE) == [
        "User Ben, To, whose mailbox is being read, filter “No email messages”: does not"
        " accept (accepts no email). (R3.24)",
        "Queue Old, Cc: not asked (inactive). (R3.22)",
    ]


def test_results_tell_owner_regarding_queues_and_what_was_left_out():
    assert texts(whole(), Kind.RESULT) == [
        "Owner: user Olga, who owns queue Support (first recipient who may own email). (R3.48)",
        "Regarding: contact Ada Example, as the email that it answers. (R3.49)",
        "Waits in queue Support: the queue is a recipient. (R3.53)",
        "Attachment film.mov (8.6 MB) was left out: larger than the organization allows. (R3.51)",
    ]


def test_sentences_are_in_the_language_of_their_reader(monkeypatch):
    """Translated when told, not when decided: the catalogue of the moment is asked."""
    data = to_data(rejected(candidate(SUPPORT)))
    asked = []
    monkeypatch.setattr(
        "tracking.telling._", lambda text: asked.append(translation.get_language()) or text
    )
    with translation.override("ja"):
        sentences(data)
    assert asked
    assert set(asked) == {"ja"}


# -- the data


def test_data_is_json_and_comes_back_the_same():
    data = to_data(whole())
    assert json.loads(json.dumps(data)) == data
    assert data["v"] == 1
    assert (data["outcome"], data["reason"]) == ("tracked", "CorrelationMatch")
    assert "sub_reason" not in data


def test_subject_and_body_are_never_in_the_data():
    text = json.dumps(to_data(whole()))
    assert SUBJECT not in text
    assert "nobody's business" not in text


def test_long_lists_are_cut_and_say_how_long_they_were():
    many = message(to=addresses(*(f"p{n}@example.net" for n in range(5000))))
    decision = decided(
        Outcome.TRACKED, message=many, recipients=resolve_recipients(many, AddressBook())
    )
    data = to_data(decision)
    assert data["recipients"]["n"] == 5000
    assert len(data["recipients"]["list"]) == MOST_ENTRIES
    assert texts(decision, Kind.ADDRESS)[-1] == f"And {5000 - MOST_ENTRIES} more recipients."
    assert len(json.dumps(data)) < 5000


def test_plain_decision_is_small():
    data = to_data(decided(Outcome.SKIPPED, reason="own_probe"))
    assert data == {
        "v": 1,
        "outcome": "skipped",
        "reason": "own_probe",
        "at": "2026-03-01T08:00:00+00:00",
    }


PERSONAL = ("ada", "Ada", "support@", "Support", "Olga", "Ben", "Carol", "old@", "new@", "film")


def test_what_is_personal_is_blanked_and_the_story_stays():
    before = to_data(whole())
    text = json.dumps(before)
    assert all(word in text for word in PERSONAL)
    after = without_personal(before)
    assert not [word for word in PERSONAL if word in json.dumps(after)]
    for key in ("v", "outcome", "reason", "at", "size"):
        assert after[key] == before[key]
    told = sentences(after)
    assert str(told[0]).startswith("Tracked, CorrelationMatch: a queue takes replies")
    assert told[-1].rule == "R3.73"


def test_blanked_rejection_keeps_reason_and_filter():
    after = without_personal(to_data(rejected(candidate(SUPPORT))))
    assert str(summary(after)) == (
        "Rejected, NoCorrelationMatch: the filter of a queue accepts replies only, and this"
        " message answers nothing stored here. (R3.24)"
    )


def test_failure_text_is_blanked_with_the_rest():
    decision = decided(
        Outcome.QUARANTINED, failure=Failure(code="Unknown", text="bad address ada@example.com")
    )
    assert "ada@" not in json.dumps(without_personal(to_data(decision)))


def test_no_data_is_said_to_be_none():
    assert [str(s) for s in sentences({})] == ["Nothing is recorded about this decision."]


words = st.text("aZ0%(s){.:-+T", max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
KEYS = [*to_data(whole()), "sub_reason", "skip", "failure", "duplicate_of", "internal", "blanked"]


@given(st.dictionaries(st.sampled_from(KEYS), json_values), st.sampled_from(list(Outcome)))
def test_data_of_any_version_can_be_told(data, outcome):
    for told in sentences({**data, "outcome": outcome.value}) + sentences(without_personal(data)):
        assert told.text


@given(st.data())
def test_whatever_part_is_missing_or_new_the_rest_is_told(draw):
    data = json.loads(json.dumps(to_data(whole())))
    nodes = [data]
    for node in nodes:
        children = node.values() if isinstance(node, dict) else node
        nodes += [child for child in children if isinstance(child, dict | list)]
    node = draw.draw(st.sampled_from([n for n in nodes if isinstance(n, dict) and n]))
    key = draw.draw(st.sampled_from(sorted(node)))
    if draw.draw(st.booleans()):
        del node[key]
    else:
        node[key] = draw.draw(json_values)
    assert all(told.text for told in sentences(data))


def test_skip_without_details_still_says_why():
    large = decided(Outcome.SKIPPED, reason="too_large", size=200 * 1024**2)
    assert line(large) == "Skipped: 200.0 MB is too large. (R3.10)"
    early = decided(Outcome.SKIPPED, reason="before_start")
    assert line(early) == "Skipped: received before the start date. (R3.6)"


def test_owner_whose_name_was_not_at_hand_is_told_by_role():
    choice = OwnerChoice(Owner(user_id=UUID(int=5)), OwnerBecause.MAILBOX_OWNER)
    assert texts(decided(Outcome.TRACKED, owner=choice), Kind.RESULT) == [
        "Owner: owner of the mailbox it was read from. (R3.48)"
    ]


def test_sub_reason_stands_in_the_data_under_the_name_of_its_column():
    decision = rejected(candidate(SUPPORT))
    assert to_data(decision)["sub_reason"] == "filter_replies_only"
    assert reasons_of(decision) == ("NoCorrelationMatch", "filter_replies_only")


# -- how an answer was found

STRANGER = "mallory@evil.example"
ON = CorrelationSwitches(smart_matching=True)
OLD = stored(
    "old@example.com",
    subject="Offer of March",
    tracking_token="CRM:0001001",
    index=bytes(22),
    participants=("ada@example.com", "support@example.com"),
)


def told_of(one, *emails, switches=ON) -> list[str]:
    pool = CorrelationCandidates(emails, matching=switches.matching)
    correlation = correlate(one, pool, switches)
    return texts(decided(Outcome.TRACKED, correlation=correlation), Kind.CORRELATION)


def written(subject: str, sent_by: str = "ada@example.com", **fields):
    return message(
        subject=subject,
        senders=addresses(sent_by),
        to=addresses("support@example.com"),
        **fields,
    )


@pytest.mark.parametrize(
    ("one", "emails", "said"),
    [
        (
            written("Re: CRM:0001001"),
            [OLD],
            "Tracking token: CRM:0001001 is that of a conversation stored here. Common participants:"
            " ada@example.com, support@example.com. (R4.12)",
        ),
        (
            written("Re: CRM:0001001"),
            [OLD, replace(OLD, id=UUID(int=5), keys=())],
            "Tracking token: of 2 conversations with CRM:0001001 the most recent one with common"
            " participants: ada@example.com, support@example.com. (R4.8)",
        ),
        (
            message(subject="CRM:0001001", senders=addresses(STRANGER)),
            [OLD],
            "Tracking token: CRM:0001001 is stored here, but neither the sender nor a recipient takes"
            " part in that conversation. Not believed. (R4.13)",
        ),
        (
            written("CRM:0001002"),
            [OLD],
            "Tracking token: no email stored here has CRM:0001002. (R4.12)",
        ),
        (written("Offer"), [], "Tracking token: the subject has none. (R4.12)"),
        (
            written("Offer", thread_index="A" * 30),
            [OLD],
            "Conversation index: an email of the same conversation is stored here. (R4.14)",
        ),
        (
            written("Offer", thread_index="B" * 30),
            [OLD],
            "Conversation index: no email of this conversation is stored here. (R4.14)",
        ),
        (
            written("Offer of March"),
            [OLD],
            "Smart matching: the newest email that shares enough: words of the subject 3 (needed 3),"
            " addresses 2 (needed 2). (R4.16)",
        ),
        (
            written("Offer of March", STRANGER),
            [OLD],
            "Smart matching: of 1 emails with such a subject none matches. The nearest shares: words 3"
            " (needed 3), addresses 1 (needed 2). (R4.16)",
        ),
        (
            written("Invoice"),
            [OLD],
            "Smart matching: no email of the last 90 days has such a subject. (R4.17)",
        ),
        (
            written(""),
            [OLD],
            "Smart matching: the message has no words in its subject, or too few addresses. (R4.16)",
        ),
    ],
)
def test_each_step_says_what_it_looked_for_and_what_it_came_to(one, emails, said):
    assert said in told_of(one, *emails)


def test_steps_that_are_switched_off_say_so():
    off = CorrelationSwitches(headers=False, tokens=False)
    said = told_of(written("CRM:0001001", thread_index="A" * 30), OLD, switches=off)
    assert [line.partition(":")[0] for line in said if line.endswith("(R4.3)")] == [
        "In-Reply-To",
        "References",
        "Tracking token",
        "Conversation index",
        "Smart matching",
    ]


def test_who_takes_part_is_blanked_and_the_counts_stay():
    for subject in ("CRM:0001001", "Offer of March"):
        pool = CorrelationCandidates([OLD], matching=ON.matching)
        found = correlate(written(subject), pool, ON)
        data = to_data(decided(Outcome.TRACKED, correlation=found))
        kept = json.dumps(without_personal(data))
        assert "ada@example.com" not in kept
        assert "CRM:0001001" not in kept
        assert "conversations" in kept or "addresses_needed" in kept


# -- rights, mail between own users, ambiguity, envelopes


def denied(party: Party) -> Decision:
    return decided(
        Outcome.RETRYING,
        acceptance=judged(candidate(party)),
        failure=Failure(code="PrivilegeDenied", text="for the log", attempt=1, attempts=5),
    )


@pytest.mark.rule("R3.29")
@pytest.mark.parametrize(
    ("party", "said"),
    [
        (
            user("Ben", lacks=Lacks.LICENCE),
            "User Ben takes it, but may not own email: without a licence.",
        ),
        (
            queue("Night", lacks=Lacks.MEMBER),
            "Queue Night takes it, but may not own email: its owner is a team without any member who"
            " may own email.",
        ),
    ],
)
def test_who_may_not_own_email_is_told_with_what_is_lacking(party, said):
    assert said in line(denied(party))
    filter_said, right_said = texts(denied(party), Kind.CANDIDATE)
    assert "accepts" in filter_said
    assert right_said.startswith("But ")
    assert right_said.endswith("(R3.29)")


@pytest.mark.rule("R3.29")
def test_whoever_accepts_in_place_of_another_is_the_one_told_of():
    unlicensed = candidate(user("Ben", lacks=Lacks.LICENCE), None, is_reading=True)
    acceptance = judged(unlicensed, candidate(user("Cleo"), CC))
    told = line(decided(Outcome.TRACKED, acceptance=acceptance))
    assert told == "Tracked, AcceptAll: the filter of user Cleo takes all email. (R3.24)"


ONCE = AcceptanceRules(ignore_internal_email=True)
STORED = replace(FACTS, sent_copy_stored=True)


@pytest.mark.parametrize(
    ("sent_by", "facts", "rules", "said"),
    [
        ("", STORED, ONCE, "no user or queue here, so this is no mail between own users. (R3.41)"),
        (QUEUE, STORED, ONCE, "what a queue sends is tracked at both ends. (R3.43)"),
        (
            USER,
            STORED,
            ONCE,
            "whose sent copy is stored: users who receive it aren't asked. (R3.44)",
        ),
        (
            USER,
            FACTS,
            ONCE,
            "whose sent copy isn't stored: users who receive it are asked. (R3.44)",
        ),
        (
            USER,
            FACTS,
            replace(ONCE, only_if_sent_copy_stored=False),
            "Mail from user Ada: users who receive it aren't asked. (R3.41)",
        ),
    ],
)
def test_mail_between_own_users_is_told_before_the_candidates(sent_by, facts, rules, said):
    context = {"sent_by": sender(sent_by), "facts": facts, "rules": rules}
    decision = replace(rejected(candidate(user("Ben")), **context), sender=context["sent_by"])
    assert said in texts(decision, Kind.CANDIDATE)[0]


@pytest.mark.rule("R3.41", "R3.42")
def test_dropped_users_and_queues_are_told_with_their_rule():
    rules = replace(ONCE, queues_stay=False)
    acceptance = judged(
        candidate(user("Ben")),
        candidate(SUPPORT, CC),
        sent_by=sender(USER),
        facts=STORED,
        rules=rules,
    )
    decision = decided(Outcome.REJECTED, acceptance=acceptance)
    assert line(decision).startswith("Rejected, InternalEmailReject: ")
    assert texts(decision, Kind.CANDIDATE)[1:] == [
        "User Ben, To: not asked (mail between own users). (R3.41)",
        "Queue Support, Cc: not asked (mail between own users). (R3.42)",
    ]


def test_nothing_is_said_of_own_users_where_two_activities_are_wanted():
    (only,) = texts(rejected(candidate(SUPPORT), sent_by=sender(USER)), Kind.CANDIDATE)
    assert only.startswith("Queue Support")


OLGA = UUID(int=7)
ADDRESS = "ada@example.com"


def sender_told(*matches: Match, rules: ResolutionRules) -> str:
    found = resolve_sender(Address(ADDRESS), AddressBook({ADDRESS: matches}), rules)
    (told,) = texts(decided(Outcome.TRACKED, sender=found), Kind.ADDRESS)
    return told


@pytest.mark.rule("R3.33", "R3.35")
def test_why_one_of_several_or_none_is_told():
    mine = match(ACCOUNT, name="Example Ltd", owner_user_id=OLGA)
    both = mine, match(CONTACT, name="Ada")
    owned = sender_told(*both, rules=ResolutionRules(owner_user_id=OLGA))
    assert owned == (
        "Sender ada@example.com: account Example Ltd, which the owner of the mailbox being read owns."
        " Also with this address: contact Ada. (R3.33)"
    )
    left_open = sender_told(*both, rules=ResolutionRules(leave_senders_open=True))
    assert left_open.endswith(
        "leaves such a sender unresolved: contact Ada, account Example Ltd. (R3.35)"
    )


@pytest.mark.rule("R3.36")
def test_own_address_that_is_left_open_is_told_as_the_reason():
    one = message(to=addresses(ADDRESS))
    book = AddressBook({ADDRESS: (match(USER, name="Ben"), match(CONTACT, name="Ben Example"))})
    recipients = resolve_recipients(one, book, ResolutionRules(leave_recipients_open=True))
    decision = replace(rejected(), recipients=recipients)
    assert line(decision) == (
        "Rejected, NoRecipientMatch: several records have ada@example.com, among them user Ben, and the"
        " organization leaves such addresses unresolved. (R3.36)"
    )
    (told,) = texts(decision, Kind.ADDRESS)
    assert told.endswith("unresolved: user Ben, contact Ben Example. (R3.36)")


@pytest.mark.rule("R3.39")
def test_inactive_records_that_are_left_out_are_told():
    inactive = match(CONTACT, name="Ada", active=False)
    book = AddressBook({ADDRESS: (inactive,)})
    found = resolve_sender(Address(ADDRESS), book, ResolutionRules(ignore_inactive=True))
    told = texts(decided(Outcome.TRACKED, sender=found), Kind.ADDRESS)
    assert told == [
        "Sender ada@example.com: no record has this address; left unresolved. (R3.37)",
        "ada@example.com also belongs to contact Ada (inactive): inactive records don't count here."
        " (R3.39)",
    ]


@pytest.mark.rule("R10.9")
def test_evidence_of_the_envelope_is_told_and_blanked_with_what_is_personal():
    reading = user("Ben", FilteringMethod.LEADS_CONTACTS_ACCOUNTS)
    named = candidate(reading, None, is_reading=True, delivered="ben@example.org")
    decision = decided(Outcome.TRACKED, acceptance=judged(named, sent_by=sender(CONTACT)))
    assert "The envelope names ben@example.org, so it is judged like a recipient. (R10.9)" in texts(
        decision, Kind.CANDIDATE
    )
    assert "ben@example.org" not in json.dumps(without_personal(to_data(decision)))
