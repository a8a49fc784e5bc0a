from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.mime.message import Address
from mailboxes.choices import FilteringMethod
from tests.unit.tracking.builders import (
    BCC,
    CC,
    FACTS,
    TO,
    addresses,
    candidate,
    correlated,
    match,
    message,
    queue,
    sender,
    user,
)
from tracking.acceptance import (
    Acceptance,
    AcceptanceRules,
    MessageFacts,
    accept,
    accept_sent,
    candidates_of,
    delivered_to,
    facts_of,
    is_automatic,
    rules_of,
)
from tracking.choices import (
    AcceptReason,
    AttemptOutcome,
    CorrelationStep,
    InternalCheck,
    Lacks,
    SubReason,
    Why,
)
from tracking.correlate import Attempt, Correlation
from tracking.resolution import ACCOUNT, CONTACT, LEAD, QUEUE, USER, AddressBook, resolve_recipients

RULES = AcceptanceRules()
ALL, RESPONSES, LCA = (
    FilteringMethod.ALL,
    FilteringMethod.RESPONSES,
    FilteringMethod.LEADS_CONTACTS_ACCOUNTS,
)
ENABLED, NONE = FilteringMethod.EMAIL_ENABLED, FilteringMethod.NONE


def judge(*candidates, facts=FACTS, correlation=None, sent_by=None, rules=RULES) -> Acceptance:
    return accept(facts, candidates, correlation, sent_by or sender(), rules)


def outcome(acceptance: Acceptance) -> tuple[AcceptReason, str]:
    return acceptance.reason, acceptance.sub_reason.value


# -- codes and order


@pytest.mark.rule("R3.15")
def test_reasons_have_the_published_codes_names_and_results():
    assert [(r.code, r.value, r.accepts) for r in AcceptReason] == [
        ("Unknown", -1, False),
        ("Duplicate", 0, False),
        ("NoCorrelationMatch", 1, False),
        ("CorrelationMatch", 2, True),
        ("NoRecipientMatch", 3, False),
        ("InternalEmailReject", 4, False),
        ("SenderMatch", 5, True),
        ("AcceptAll", 6, True),
        ("InvalidSender", 7, False),
    ]


def test_checks_come_in_their_order():
    """Sender, then duplicate, then recipients, then filters: each hides what comes after it."""
    stored_before = MessageFacts(sender="", already_stored=True)
    assert judge(facts=stored_before).reason == AcceptReason.INVALID_SENDER
    stored_before = MessageFacts(sender="ada@example.com", already_stored=True)
    assert judge(candidate(user()), facts=stored_before).reason == AcceptReason.DUPLICATE
    assert judge().reason == AcceptReason.NO_RECIPIENT_MATCH
    refusing = candidate(user(filtering=NONE))
    assert judge(refusing).reason == AcceptReason.NO_CORRELATION_MATCH
    assert judge(candidate(user())).reason == AcceptReason.ACCEPT_ALL


@pytest.mark.parametrize(
    "senders",
    [
        (),
        (Address("", "Ada"),),
        (Address("MAILER-DAEMON"),),
        (Address("@example.com"),),
        (Address("ada@"),),
        (Address("ada@."),),
        (Address("ada@exa mple.com"),),
        (Address("ada@example.com\x00"),),
    ],
)
def test_missing_or_unparsable_sender_is_invalid(senders):
    facts = facts_of(message(senders=senders))
    assert outcome(judge(candidate(user()), facts=facts)) == (AcceptReason.INVALID_SENDER, "")


def test_manual_tracking_asks_no_filter_and_has_no_accepting_entity():
    facts = MessageFacts(sender="ada@example.com", chosen=SubReason.MANUAL)
    verdict = judge(candidate(user(filtering=NONE)), facts=facts)
    assert outcome(verdict) == (AcceptReason.ACCEPT_ALL, SubReason.MANUAL)
    assert (verdict.accepted, verdict.entity) == (True, None)


# -- filters


@pytest.mark.rule("R3.24")
@pytest.mark.parametrize(
    ("filtering", "answers", "kind", "reason", "sub_reason"),
    [
        (ALL, False, "", "AcceptAll", ""),
        (RESPONSES, True, "", "CorrelationMatch", ""),
        (RESPONSES, False, CONTACT, "NoCorrelationMatch", "filter_replies_only"),
        (LCA, False, LEAD, "SenderMatch", ""),
        (LCA, False, CONTACT, "SenderMatch", ""),
        (LCA, False, ACCOUNT, "SenderMatch", ""),
        (LCA, False, USER, "NoCorrelationMatch", "filter_sender_unknown"),
        (LCA, False, "shop.customer", "NoCorrelationMatch", "filter_sender_unknown"),
        (LCA, False, "", "NoCorrelationMatch", "filter_sender_unknown"),
        (ENABLED, False, CONTACT, "SenderMatch", ""),
        (ENABLED, False, USER, "SenderMatch", ""),
        (ENABLED, False, QUEUE, "SenderMatch", ""),
        (ENABLED, False, "shop.customer", "SenderMatch", ""),
        (ENABLED, False, "", "NoCorrelationMatch", "filter_sender_unknown"),
        (NONE, True, CONTACT, "NoCorrelationMatch", "filter_none"),
    ],
)
def test_each_filter_accepts_what_it_says(filtering, answers, kind, reason, sub_reason):
    found = judge(
        candidate(queue(filtering=filtering)),
        correlation=correlated() if answers else Correlation(),
        sent_by=sender(kind),
    )
    assert (found.reason.code, found.sub_reason) == (reason, sub_reason)
    assert found.accepted == (reason != "NoCorrelationMatch")
    assert (found.entity is not None) == found.accepted


@pytest.mark.rule("R3.25")
@pytest.mark.parametrize("filtering", [LCA, ENABLED])
def test_sender_filters_take_replies_of_unknown_senders_only_if_switched_on(filtering):
    reply = candidate(user(filtering=filtering))
    off = judge(reply, correlation=correlated())
    on = judge(
        reply,
        correlation=correlated(),
        rules=AcceptanceRules(sender_filters_accept_replies=True),
    )
    assert off.reason == AcceptReason.NO_CORRELATION_MATCH
    assert on.reason == AcceptReason.CORRELATION_MATCH


def test_unknown_token_is_a_reason_of_its_own():
    tried = Attempt(
        step=CorrelationStep.TRACKING_TOKEN,
        outcome=AttemptOutcome.NOT_FOUND,
        looked_for=("CRM:0001001",),
    )
    found = judge(candidate(user(filtering=RESPONSES)), correlation=Correlation(tried=(tried,)))
    assert outcome(found) == (AcceptReason.NO_CORRELATION_MATCH, SubReason.TOKEN_UNKNOWN)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", False),
        ("no", False),
        ("No; reason=person", False),
        ("auto-replied", True),
        ("Auto-Generated; x=y", True),
    ],
)
def test_automatic_mail_says_so_in_its_header(value, expected):
    assert is_automatic(value) is expected


def test_automatic_mail_is_judged_like_any_other_unless_switched_off():
    facts = MessageFacts(sender="ada@example.com", auto_submitted="auto-replied")
    assert judge(candidate(user()), facts=facts).accepted
    rules = AcceptanceRules(reject_auto_submitted=True)
    found = judge(candidate(user()), facts=facts, rules=rules)
    assert outcome(found) == (AcceptReason.NO_CORRELATION_MATCH, SubReason.AUTO_SUBMITTED)
    assert judge(candidate(user()), rules=rules).accepted


# -- candidates


def candidates(one, parties, matches, reading=None):
    book = AddressBook(matches)
    return candidates_of(
        resolve_recipients(one, book), {party.key: party for party in parties}, reading
    )


@pytest.mark.rule("R3.22", "R3.23")
def test_every_recipient_party_may_accept_whoever_is_read():
    """A mailbox that takes nothing is still where a message enters."""
    reading, other = user("u1", NONE), queue("q1", ALL)
    found = candidates(
        message(to=addresses("u1@example.org"), bcc=addresses("q1@example.org")),
        [reading, other],
        {"u1@example.org": (match(USER, "u1"),), "q1@example.org": (match(QUEUE, "q1"),)},
        reading,
    )
    assert [(c.party, c.role, c.is_reading) for c in found] == [
        (reading, TO, True),
        (other, BCC, False),
    ]
    assert judge(*found).entity == other
    only_reading = judge(*found, rules=AcceptanceRules(only_reading_party=True))
    assert outcome(only_reading) == (AcceptReason.NO_CORRELATION_MATCH, SubReason.FILTER_NONE)
    assert [v.why for v in only_reading.verdicts] == [Why.FILTER_NONE, Why.NOT_READING]


def test_only_the_party_being_read_means_nobody_if_it_is_no_recipient():
    reading, other = user("u1", RESPONSES), user("u2", ALL)
    found = candidates(
        message(to=addresses("u2@example.org")),
        [other],
        {"u2@example.org": (match(USER, "u2"),)},
        reading,
    )
    assert outcome(judge(*found, rules=AcceptanceRules(only_reading_party=True))) == (
        AcceptReason.NO_RECIPIENT_MATCH,
        SubReason.ONLY_READING_PARTY,
    )


def test_records_that_are_no_parties_are_no_candidates():
    found = candidates(
        message(to=addresses("ada@example.com")), [], {"ada@example.com": (match(CONTACT),)}
    )
    assert found == ()


def test_party_under_several_addresses_is_one_candidate_at_its_best_place():
    party = user("u1")
    found = candidates(
        message(
            to=addresses("x@example.org", "second@example.org"), cc=addresses("u1@example.org")
        ),
        [party],
        {a: (match(USER, "u1"),) for a in ("second@example.org", "u1@example.org")},
    )
    assert [(c.role, c.position, c.address) for c in found] == [(TO, 1, "second@example.org")]


def test_inactive_parties_are_no_candidates():
    inactive = candidate(queue("q1", ALL, active=False))
    found = judge(inactive)
    assert outcome(found) == (AcceptReason.NO_RECIPIENT_MATCH, SubReason.PARTY_INACTIVE)
    assert judge(inactive, candidate(user("u2", RESPONSES))).reason == (
        AcceptReason.NO_CORRELATION_MATCH
    )


@pytest.mark.rule("R3.27")
@pytest.mark.parametrize("filtering", list(FilteringMethod))
def test_list_mail_is_taken_only_where_the_mailbox_read_takes_all(filtering):
    reading = queue("q1", filtering)
    found = judge(
        *candidates(message(to=addresses("list@example.net")), [], {}, reading),
        correlation=correlated(),
        sent_by=sender(CONTACT),
    )
    if filtering == ALL:
        assert (found.reason, found.entity) == (AcceptReason.ACCEPT_ALL, reading)
    else:
        assert outcome(found) == (AcceptReason.NO_RECIPIENT_MATCH, "")


def test_mailbox_read_takes_all_although_a_recipient_refuses():
    reading = queue("q1", ALL)
    found = judge(candidate(user("u2", NONE)), candidate(reading, None, is_reading=True))
    assert (found.reason, found.entity) == (AcceptReason.ACCEPT_ALL, reading)


@pytest.mark.rule("R3.28")
@pytest.mark.parametrize(
    ("of_user", "of_queue", "winner"), [(NONE, ALL, "q1"), (ALL, NONE, "u1"), (NONE, NONE, None)]
)
def test_address_of_a_user_and_a_queue_makes_both_candidates(of_user, of_queue, winner):
    found = judge(
        *candidates(
            message(to=addresses("both@example.org")),
            [queue("q1", of_queue), user("u1", of_user)],
            {"both@example.org": (match(QUEUE, "q1"), match(USER, "u1"))},
        )
    )
    assert [v.candidate.party.id for v in found.verdicts] == ["u1", "q1"]
    assert (found.entity.id if found.entity else None) == winner


# -- who wins


@pytest.mark.rule("R3.26")
@given(
    st.permutations(
        [
            candidate(user("read", ALL), CC, position=4, is_reading=True),
            candidate(user("to0", ALL), TO, position=0),
            candidate(queue("a-to0", ALL), TO, position=0),
            candidate(queue("to1", ALL), TO, position=1),
            candidate(user("cc0", ALL), CC, position=0),
            candidate(user("bcc0", ALL), BCC, position=0),
        ]
    )
)
def test_accepting_entity_follows_the_order_of_recipients(mixed):
    won = []
    while mixed:
        won.append(judge(*mixed).entity.id)
        mixed = [c for c in mixed if c.party.id != won[-1]]
    assert won == ["read", "to0", "a-to0", "to1", "cc0", "bcc0"]


def test_sub_reason_is_that_of_the_first_candidate():
    first = candidate(user("u1", RESPONSES), TO, position=0)
    second = candidate(user("u2", NONE), TO, position=1)
    assert judge(second, first).sub_reason == SubReason.FILTER_REPLIES_ONLY


parties = st.builds(
    lambda number, queue_, filtering, active, lacks: (queue if queue_ else user)(
        f"p{number}", filtering, active=active, lacks=lacks
    ),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(FilteringMethod),
    st.booleans(),
    st.sampled_from([Lacks.NOTHING, Lacks.NOTHING, Lacks.LICENCE]),
)
some_candidates = st.lists(
    st.builds(candidate, parties, st.sampled_from([TO, CC, BCC, None]), position=st.integers(0, 3)),
    max_size=6,
)
contexts = st.fixed_dictionaries(
    {
        "correlation": st.sampled_from([None, Correlation(), correlated()]),
        "sent_by": st.sampled_from([sender(), sender(CONTACT), sender(USER)]),
        "rules": st.builds(AcceptanceRules, sender_filters_accept_replies=st.booleans()),
    }
)


@given(some_candidates, contexts, st.randoms())
def test_the_order_in_which_candidates_were_read_changes_nothing(mixed, context, random):
    # Two parties with one id can't be; the order between equals would be theirs.
    mixed = list({c.party.id: c for c in mixed}.values())
    before = judge(*mixed, **context)
    random.shuffle(mixed)
    assert judge(*mixed, **context) == before


@given(some_candidates, contexts)
def test_an_active_recipient_that_takes_all_always_accepts(others, context):
    assert judge(*others, candidate(user("all", ALL)), **context).accepted


@given(some_candidates, contexts)
def test_another_recipient_that_takes_nothing_never_turns_the_decision(others, context):
    before = judge(*others, **context)
    after = judge(*others, candidate(user("none", NONE), BCC, position=9), **context)
    assert after.accepted == before.accepted
    assert (after.entity, after.denied) == (before.entity, before.denied)


@given(some_candidates, contexts)
def test_accepted_has_an_entity_that_accepted_and_every_candidate_has_a_verdict(mixed, context):
    found = judge(*mixed, **context)
    assert len(found.verdicts) == len(mixed)
    accepting = [v.candidate.party for v in found.verdicts if v.accepted]
    able = [party for party in accepting if party.can_own]
    assert found.accepted == bool(able)
    assert found.entity == (able[0] if able else None)
    assert found.denied == (accepting[0] if accepting and not able else None)


# -- settings


class Site:
    """An organization whose named switches are on."""

    def __init__(self, *on: str) -> None:
        self.on = on

    def effective(self, name: str) -> bool:
        return name in self.on


@pytest.mark.parametrize(
    ("switch", "rule"),
    [
        ("use_filtering_method_of_syncing_mailbox_only_for_correlation", "only_reading_party"),
        ("sss_force_filtering_method_for_user_mailboxes", "only_reading_party"),
        ("sender_filters_accept_replies", "sender_filters_accept_replies"),
        ("do_not_auto_track_auto_submitted", "reject_auto_submitted"),
        ("ignore_internal_email", "ignore_internal_email"),
        ("do_not_ignore_internal_email_to_queues", "queues_stay"),
        ("ignore_internal_email_from_queues", "from_queues"),
        ("ignore_internal_email_detection_enhancement", "only_if_sent_copy_stored"),
    ],
)
def test_rules_come_from_the_organization(switch, rule):
    all_off = rules_of(Site())
    assert not any(getattr(all_off, field.name) for field in fields(AcceptanceRules))
    assert rules_of(Site(switch)) == replace(all_off, **{rule: True})


# -- who may own email


@pytest.mark.rule("R3.29")
def test_party_that_accepts_but_may_not_own_email_is_denied_not_rejected():
    for taking in (user("u1", lacks=Lacks.LICENCE), queue("q1", lacks=Lacks.MEMBER)):
        found = judge(candidate(taking))
        assert (found.accepted, found.entity, found.denied) == (False, None, taking)
        assert found.reason == AcceptReason.UNKNOWN
        assert [v.accepted for v in found.verdicts] == [True]


@pytest.mark.rule("R3.29")
def test_another_who_accepts_and_may_own_email_takes_it():
    unlicensed = candidate(user("u1", lacks=Lacks.LICENCE), is_reading=True)
    able = user("u2")
    found = judge(unlicensed, candidate(able, CC))
    assert (found.entity, found.denied) == (able, None)


@pytest.mark.rule("R3.29")
def test_nobody_who_accepts_means_rejected_whatever_anybody_may():
    found = judge(candidate(user("u1", NONE, lacks=Lacks.LICENCE)))
    assert (found.reason, found.denied) == (AcceptReason.NO_CORRELATION_MATCH, None)


@pytest.mark.rule("R3.29")
def test_what_a_person_chose_asks_no_filter_but_the_right_all_the_same():
    facts = MessageFacts(sender="ada@example.com", chosen=SubReason.CATEGORY)
    mine = user("u1", NONE, lacks=Lacks.PERMISSION)
    found = judge(candidate(mine, is_reading=True), candidate(user("u2")), facts=facts)
    assert (found.accepted, found.denied, found.sub_reason) == (False, mine, SubReason.CATEGORY)
    beside = judge(candidate(mine), candidate(user("u2"), is_reading=True), facts=facts)
    assert beside.accepted


@pytest.mark.rule("R3.29")
def test_sent_items_of_who_may_not_own_email_are_denied():
    mine = user("u1", lacks=Lacks.LICENCE)
    found = accept_sent(FACTS, mine, Correlation(), [], RULES)
    assert (found.accepted, found.denied) == (False, mine)


# -- mail between own users

ONCE = AcceptanceRules(ignore_internal_email=True)
ALWAYS = replace(ONCE, only_if_sent_copy_stored=False)
SENT_COPY = replace(FACTS, sent_copy_stored=True)


def whys(acceptance: Acceptance) -> dict[str, Why]:
    return {verdict.candidate.party.id: verdict.why for verdict in acceptance.verdicts}


@pytest.mark.rule("R3.40")
def test_two_activities_between_users_unless_switched_off():
    found = judge(candidate(user()), facts=SENT_COPY, sent_by=sender(USER))
    assert (found.accepted, found.internal) == (True, InternalCheck.TWO_ACTIVITIES)
    once = judge(candidate(user()), facts=SENT_COPY, sent_by=sender(USER), rules=ONCE)
    assert outcome(once) == (AcceptReason.INTERNAL_EMAIL_REJECT, SubReason.SENT_COPY_STORED)


@pytest.mark.rule("R3.41")
def test_mail_from_a_user_passes_users_by_and_reaches_queues():
    to_both = candidate(user("u1")), candidate(queue("q1"), position=1)
    found = judge(*to_both, facts=SENT_COPY, sent_by=sender(USER), rules=ONCE)
    assert found.entity.id == "q1"
    assert whys(found) == {"u1": Why.INTERNAL, "q1": Why.ALL}
    refusing = candidate(queue("q1", NONE), position=1)
    found = judge(to_both[0], refusing, facts=SENT_COPY, sent_by=sender(USER), rules=ONCE)
    assert outcome(found) == (AcceptReason.NO_CORRELATION_MATCH, SubReason.FILTER_NONE)


@pytest.mark.rule("R3.41")
@pytest.mark.parametrize("kind", ["", CONTACT, LEAD, "shop.customer"])
def test_mail_of_others_is_not_internal(kind):
    found = judge(candidate(user()), facts=SENT_COPY, sent_by=sender(kind), rules=ALWAYS)
    assert (found.accepted, found.internal) == (True, InternalCheck.NOT_INTERNAL)


@pytest.mark.rule("R3.41")
def test_who_was_no_candidate_anyway_is_no_internal_reject():
    inactive = candidate(user(active=False))
    found = judge(inactive, facts=SENT_COPY, sent_by=sender(USER), rules=ONCE)
    assert outcome(found) == (AcceptReason.NO_RECIPIENT_MATCH, SubReason.PARTY_INACTIVE)


@pytest.mark.rule("R3.42")
def test_mail_from_a_user_to_a_queue_drops_only_if_its_switch_is_off():
    for facts in (FACTS, SENT_COPY):
        found = judge(candidate(queue()), facts=facts, sent_by=sender(USER), rules=ONCE)
        assert found.accepted
        off = replace(ONCE, queues_stay=False)
        found = judge(candidate(queue()), facts=facts, sent_by=sender(USER), rules=off)
        assert found.reason == AcceptReason.INTERNAL_EMAIL_REJECT


@pytest.mark.rule("R3.43")
def test_mail_from_a_queue_reaches_everybody_unless_switched_on_and_queues_always():
    to_both = candidate(user("u1")), candidate(queue("q1"), position=1)
    found = judge(*to_both, facts=SENT_COPY, sent_by=sender(QUEUE), rules=ONCE)
    assert (found.entity.id, found.internal) == ("u1", InternalCheck.FROM_QUEUE)
    on = replace(ONCE, from_queues=True, queues_stay=False)
    found = judge(*to_both, facts=SENT_COPY, sent_by=sender(QUEUE), rules=on)
    assert whys(found) == {"u1": Why.INTERNAL, "q1": Why.ALL}


@pytest.mark.rule("R3.44")
def test_mail_of_a_colleague_drops_only_if_its_sent_copy_is_stored():
    """So what a colleague sent from a mail program, untracked, is tracked once: by who receives it."""
    reply = candidate(user(filtering=RESPONSES))
    stored_copy = judge(
        reply, facts=SENT_COPY, correlation=correlated(), sent_by=sender(USER), rules=ONCE
    )
    assert stored_copy.reason == AcceptReason.INTERNAL_EMAIL_REJECT
    untracked = judge(reply, correlation=correlated(), sent_by=sender(USER), rules=ONCE)
    assert untracked.reason == AcceptReason.CORRELATION_MATCH
    assert untracked.internal == InternalCheck.SENT_COPY_MISSING
    no_reply = judge(reply, sent_by=sender(USER), rules=ONCE)
    assert outcome(no_reply) == (AcceptReason.NO_CORRELATION_MATCH, SubReason.FILTER_REPLIES_ONLY)
    always = judge(reply, correlation=correlated(), sent_by=sender(USER), rules=ALWAYS)
    assert (always.reason, always.internal) == (
        AcceptReason.INTERNAL_EMAIL_REJECT,
        InternalCheck.ALWAYS,
    )


# -- evidence of the envelope

OWN = {"u1@example.org": (match(USER, "u1"),), "u2@example.org": (match(USER, "u2"),)}


def enveloped(*named, reading):
    one = message(to=addresses("list@example.net"), delivered_to=named)
    book = AddressBook(OWN)
    parties_ = {party.key: party for party in (reading, user("u2"))}
    delivered = delivered_to(one, reading, book)
    return candidates_of(resolve_recipients(one, book), parties_, reading, delivered)


@pytest.mark.rule("R10.9")
def test_whom_the_envelope_names_is_judged_as_a_recipient():
    reading = user("u1", LCA)
    known = {"sent_by": sender(CONTACT)}
    found = judge(*enveloped("<U1@example.org>", reading=reading), **known)
    assert (found.reason, found.entity) == (AcceptReason.SENDER_MATCH, reading)
    assert judge(*enveloped(reading=reading), **known).reason == AcceptReason.NO_RECIPIENT_MATCH
    unknown = judge(*enveloped("u1@example.org", reading=reading))
    assert unknown.sub_reason == SubReason.FILTER_SENDER_UNKNOWN


@pytest.mark.rule("R10.9")
def test_the_envelope_never_adds_another_than_whose_mailbox_is_read():
    reading = user("u1", RESPONSES)
    (only,) = enveloped("u2@example.org", reading=reading)
    assert (only.party, only.is_recipient) == (reading, False)
    (only,) = enveloped("x@elsewhere.example", "u1@example.org", reading=reading)
    assert only.delivered == "u1@example.org"


def test_the_envelope_is_not_asked_about_a_recipient():
    reading = user("u1")
    one = message(to=addresses("u1@example.org"), delivered_to=("u1@example.org",))
    recipients = resolve_recipients(one, AddressBook(OWN))
    (only,) = candidates_of(recipients, {reading.key: reading}, reading, "u1@example.org")
    assert (only.role, only.delivered) == (TO, "")
