"""What mail makes, and what it doesn't: the decision alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from activities.choices import CaseState
from activities.mime.message import Address, MessageKind, ParsedMessage
from mailboxes.choices import AutoCreate
from tracking.acceptance import Owner
from tracking.choices import ResolvedBecause
from tracking.creation import (
    Case,
    Company,
    Facts,
    Item,
    Pace,
    Rule,
    Said,
    Why,
    decide,
    is_unattended,
    key_of,
)
from tracking.resolution import Match, Resolution

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
RITA = "rita@customer.example"
OWNER = Owner(user_id=uuid4(), name="Ada")
RULE_OWNER = Owner(user_id=uuid4(), name="Ben")
SENDS = uuid4()
CONTACT = Match(kind="activities.contact", id=str(uuid4()), name="Rita Example")
CASE_ID = uuid4()


def rule(**columns):
    columns = {
        "id": uuid4(),
        "name": "Requests",
        "queue_id": uuid4(),
        "queue_name": "Support",
        "queue_address": "support@example.com",
        "owner": RULE_OWNER,
        "items": (Item(number=1, name="everything"),),
        "sends": SENDS,
    } | columns
    return Rule(**columns)


def facts(sender=None, **columns):
    message = columns.pop("message", {})
    address = columns.pop("address", RITA)
    columns = {
        "message": ParsedMessage(
            size=1,
            body_size=1,
            senders=(Address(address, "Rita Example"),),
            **({"subject": "It is broken"} | message),
        ),
        "now": NOW,
        "sender": Resolution(
            address=address,
            name="Rita Example",
            match=sender,
            because=ResolvedBecause.ONLY_MATCH if sender else ResolvedBecause.NO_MATCH,
        ),
        "owner": OWNER,
        "new_case": lambda: (CASE_ID, "CAS-1"),
    } | columns
    return Facts(**columns)


def said(creation):
    return [(note.said, note.why) for note in creation.notes]


# -- people from personal options


@pytest.mark.rule("R3.57")
@pytest.mark.parametrize(
    ("wish", "kind"),
    [(AutoCreate.CONTACT, "activities.contact"), (AutoCreate.LEAD, "activities.lead")],
)
def test_unknown_sender_becomes_what_the_user_chose(wish, kind):
    made = decide(facts(wants=wish, wanter="Ada"))

    assert made.person.kind == kind
    assert (made.person.name.first, made.person.name.last) == ("Rita", "Example")
    assert made.person.address == RITA
    assert made.person.owner == OWNER
    assert made.person.topic == "It is broken"
    assert made.person.match.id == str(key_of(kind, RITA))
    assert said(made) == [(Said.PERSON, Why.OPTION)]
    assert made.case is None


@pytest.mark.rule("R3.57")
def test_nobody_is_made_unasked_or_where_the_organization_forbids_it():
    assert not decide(facts()).makes_something
    assert not decide(facts(wants=AutoCreate.CONTACT, sender=CONTACT)).makes_something
    assert not decide(facts(wants=AutoCreate.CONTACT, incoming=False)).makes_something
    off = decide(facts(wants=AutoCreate.CONTACT, allowed=False))
    assert not off.makes_something
    assert said(off) == [(Said.NO_PERSON, Why.SWITCHED_OFF)]


@pytest.mark.rule("R3.57")
@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"own_domains": frozenset({"customer.example"})}, Why.OWN_DOMAIN),
        ({"message": {"kind": MessageKind.BOUNCE}}, Why.AUTOMATIC),
        ({"message": {"kind": MessageKind.AUTO_REPLY}}, Why.AUTOMATIC),
        ({"message": {"kind": MessageKind.DELAY}}, Why.AUTOMATIC),
        ({"message": {"kind": MessageKind.COMPLAINT}}, Why.AUTOMATIC),
        ({"message": {"kind": MessageKind.LIST}}, Why.LIST),
        ({"message": {"own_header": "answer"}}, Why.OWN_MARK),
        ({"message": {"null_path": True}}, Why.NULL_PATH),
        ({"address": "MAILER-DAEMON@customer.example"}, Why.UNATTENDED),
        ({"address": f"{'x' * 100}@customer.example"}, Why.UNATTENDED),
    ],
)
def test_never_of_machines_and_own_people(columns, why):
    for wish in (AutoCreate.CONTACT, AutoCreate.LEAD):
        made = decide(facts(wants=wish, **columns))

        assert not made.makes_something
        assert said(made) == [(Said.NO_PERSON, why)]


@pytest.mark.rule("R3.57")
def test_a_sender_who_is_ambiguous_or_left_out_is_not_made_again():
    for because in (ResolvedBecause.TOO_MANY, ResolvedBecause.NO_ADDRESS):
        one = facts(wants=AutoCreate.CONTACT)
        assert not decide(replace(one, sender=replace(one.sender, because=because))).makes_something
    one = facts(wants=AutoCreate.CONTACT)
    made = decide(replace(one, sender=replace(one.sender, ignored=(CONTACT,))))
    assert said(made) == [(Said.NO_PERSON, Why.IGNORED_RECORD)]


@pytest.mark.parametrize(
    ("local", "unattended"),
    [
        *((one, True) for one in ("noreply", "no-reply", "No_Reply", "donotreply", "do-not-reply")),
        *((one, True) for one in ("postmaster", "mailer-daemon", "bounces+rita=x.example")),
        *((one, True) for one in ("users-bounces", "owner-users", "users-request", "nobody")),
        *((one, False) for one in ("rita", "support", "info", "noreen", "reply", "notes", "auto")),
        *((one, False) for one in ("bouncer", "no", "request", "prvs", "automation")),
    ],
)
def test_addresses_where_nobody_reads(local, unattended):
    assert is_unattended(f"{local}@customer.example") is unattended


def test_keys_are_those_of_kind_and_address():
    keys = {
        key_of(kind, address, number)
        for kind in ("activities.contact", "activities.lead")
        for address in (RITA, "ann@customer.example")
        for number in (0, 1)
    }

    assert len(keys) == 8
    assert key_of("activities.contact", RITA) in keys


# -- the brake on what spam can make


@pytest.mark.rule("R3.58")
@pytest.mark.parametrize(
    ("pace", "why"),
    [
        (Pace(hour=100, day=100), Why.HOUR_LIMIT),
        (Pace(hour=0, day=500), Why.DAY_LIMIT),
        (Pace(hour=99, day=499), None),
    ],
)
def test_strangers_become_so_many_records_and_no_more(pace, why):
    one = rule(allow_unknown=True, owner_creates=AutoCreate.CONTACT)
    paces = {one.maker: pace, "ada": pace}
    by_rule = decide(facts(rules=(one,), by_queue=True, pace=paces.get))
    by_option = decide(facts(wants=AutoCreate.LEAD, taker="ada", pace=paces.get))

    if why is None:
        assert (by_rule.maker, by_option.maker) == (one.maker, "ada")
        assert by_rule.case and by_option.person
    else:
        assert said(by_rule) == [(Said.NO_CASE, why), (Said.NO_PERSON, why)]
        assert said(by_option) == [(Said.NO_PERSON, why)]
        assert not by_rule.makes_something and by_rule.leaves is None
        assert {note.maker for note in by_rule.notes} == {one.maker}


@pytest.mark.rule("R3.58")
def test_whoever_is_known_is_not_braked():
    made = decide(facts(sender=CONTACT, rules=(rule(),), pace=lambda maker: Pace(999, 999)))

    assert made.case is not None


# -- cases


@pytest.mark.rule("R3.59")
def test_a_case_takes_its_title_from_the_subject_and_its_customer_from_the_sender():
    one = rule()

    made = decide(facts(sender=CONTACT, rules=(one,)))

    assert (made.case.title, made.case.number, made.case.id) == ("It is broken", "CAS-1", CASE_ID)
    assert made.case.contact_id == UUID(CONTACT.id)
    assert made.case.account_id is made.case.primary_contact_id is None
    assert made.leaves == one.queue_id
    assert made.person is made.answer is None
    assert said(made) == [(Said.CASE, Why.RULE)]


@pytest.mark.rule("R3.59")
def test_the_customer_is_the_account_of_the_contact():
    account = Company(uuid4(), "Customer Ltd")

    case = decide(facts(sender=CONTACT, company=account, rules=(rule(),))).case

    assert (case.account_id, case.contact_id) == (account.id, None)
    assert case.primary_contact_id == UUID(CONTACT.id)
    assert case.customer_name == "Customer Ltd"


@pytest.mark.rule("R3.59")
def test_an_account_is_the_customer_itself_and_a_lead_is_none():
    account = replace(CONTACT, kind="activities.account")
    lead = replace(CONTACT, kind="activities.lead")
    user = replace(CONTACT, kind="mailboxes.systemuser")

    assert decide(facts(sender=account, rules=(rule(),))).case.account_id == UUID(account.id)
    for other in (lead, user):
        made = decide(facts(sender=other, rules=(rule(allow_unknown=True),)))
        assert not made.makes_something
        assert said(made) == [(Said.NO_CASE, Why.SENDER_KIND)]


@pytest.mark.rule("R3.58")
def test_the_first_item_that_holds_says_what_the_case_is_like():
    refund = [{"test": "subject_contains", "value": "broken"}]
    items = (
        Item(number=1, name="orders", conditions=[{"test": "subject_contains", "value": "order"}]),
        Item(number=2, name="urgent", conditions=refund, priority=1, kind=2),
        Item(number=3, name="rest"),
    )

    case = decide(facts(sender=CONTACT, rules=(rule(items=items),))).case

    assert (case.item.number, case.priority, case.kind) == (2, 1, 2)
    none = decide(facts(sender=CONTACT, rules=(rule(items=items[:1]),)))
    assert said(none) == [(Said.NO_CASE, Why.NO_ITEM)]


@pytest.mark.rule("R3.58")
def test_a_rule_can_do_what_its_owner_may():
    unable = rule(lacks="activities.add_incident")
    half = rule(allow_unknown=True, lacks_contacts="activities.add_contact")

    made = decide(facts(sender=CONTACT, rules=(unable,)))
    assert said(made) == [(Said.NO_CASE, Why.RIGHTS)]
    assert made.notes[0].about["permission"] == "activities.add_incident"
    assert said(decide(facts(rules=(half,)))) == [(Said.NO_CASE, Why.RIGHTS)]
    gone = decide(facts(sender=CONTACT, rules=(rule(disabled=True),)))
    assert said(gone) == [(Said.NO_CASE, Why.OWNER_DISABLED)]
    assert decide(facts(sender=CONTACT, rules=(half,))).case is not None


@pytest.mark.rule("R3.59")
@pytest.mark.parametrize(
    ("allow_unknown", "option", "person", "case"),
    [
        (True, AutoCreate.NONE, "activities.contact", True),
        (True, AutoCreate.CONTACT, "activities.contact", True),
        (True, AutoCreate.LEAD, "activities.contact", True),
        (False, AutoCreate.CONTACT, "activities.contact", False),
        (False, AutoCreate.LEAD, None, False),
        (False, AutoCreate.NONE, None, False),
    ],
)
def test_matrix_of_unknown_senders(allow_unknown, option, person, case):
    one = rule(allow_unknown=allow_unknown, owner_creates=option)

    # What the queue's own owner wants is not asked beside a rule.
    made = decide(facts(rules=(one,), by_queue=True, wants=AutoCreate.LEAD))

    assert (made.person.kind if made.person else None) == person
    assert (made.case is not None) is case
    if made.case and made.person:
        assert made.case.contact_id == made.person.id


@pytest.mark.rule("R3.59")
def test_the_rule_makes_its_contact_whatever_the_organization_lets_users_do():
    made = decide(facts(rules=(rule(allow_unknown=True),), allowed=False))

    assert made.case is not None
    assert made.person is not None


@pytest.mark.rule("R3.59")
def test_a_user_who_accepted_it_keeps_his_option_beside_the_queue_s_rule():
    made = decide(facts(rules=(rule(),), wants=AutoCreate.LEAD, wanter="Ada"))

    assert made.person.kind == "activities.lead"
    assert made.case is None


@pytest.mark.rule("R3.59")
def test_mail_about_an_open_case_makes_none():
    open_case = Case(id=uuid4(), number="CAS-0")

    made = decide(facts(sender=CONTACT, rules=(rule(also_settled=True),), related=(open_case,)))

    assert not made.makes_something
    assert made.leaves is None
    assert said(made) == [(Said.NO_CASE, Why.RELATED_OPEN)]


@pytest.mark.rule("R3.59")
@pytest.mark.parametrize(
    ("also_settled", "minutes_ago", "makes"),
    [(False, 10_000, False), (True, 59, False), (True, 60, True), (True, 10_000, True)],
)
def test_mail_about_a_resolved_case(also_settled, minutes_ago, makes):
    settled = Case(
        id=uuid4(),
        number="CAS-0",
        state=CaseState.RESOLVED,
        settled_on=NOW - timedelta(minutes=minutes_ago),
    )
    one = rule(also_settled=also_settled, settled_for=timedelta(minutes=60))

    made = decide(facts(sender=CONTACT, rules=(one,), related=(settled,)))

    assert (made.case is not None) is makes
    if not makes:
        assert said(made) == [(Said.NO_CASE, Why.RELATED_SETTLED)]


@pytest.mark.rule("R3.59")
@pytest.mark.parametrize(
    "message",
    [
        {"kind": MessageKind.BOUNCE},
        {"kind": MessageKind.AUTO_REPLY},
        {"kind": MessageKind.RECEIPT},
        {"kind": MessageKind.LIST},
        {"kind": MessageKind.CALENDAR},
        {"own_header": "answer"},
    ],
)
def test_no_case_and_no_answer_of_machines(message):
    one = rule(allow_unknown=True, answers=True, owner_creates=AutoCreate.CONTACT)

    for sender in (None, CONTACT):
        made = decide(facts(sender=sender, rules=(one,), message=message, wants=AutoCreate.CONTACT))
        assert not made.makes_something
        assert made.answer is None
        assert said(made)[0][0] == Said.NO_CASE


def test_the_second_queue_s_rule_is_asked_if_the_first_makes_nothing():
    first, second = rule(items=()), rule()

    made = decide(facts(sender=CONTACT, rules=(first, second)))

    assert made.leaves == second.queue_id
    assert said(made) == [(Said.NO_CASE, Why.NO_ITEM), (Said.CASE, Why.RULE)]


def test_what_a_folder_files_makes_no_case():
    made = decide(facts(sender=CONTACT, rules=(rule(),), filed_by_folder=True))

    assert said(made) == [(Said.NO_CASE, Why.FOLDER)]


# -- answers


@pytest.mark.rule("R3.59")
def test_an_answer_goes_to_the_sender():
    made = decide(facts(rules=(rule(answers=True, allow_unknown=True),)))

    assert made.answer.address == RITA
    assert made.answer.to == made.person.match
    assert made.answer.case == made.case
    assert said(made)[-1] == (Said.ANSWER, Why.RULE)


@pytest.mark.rule("R3.59")
@pytest.mark.parametrize(
    ("columns", "changes", "why"),
    [
        ({"sender": replace(CONTACT, do_not_email=True)}, {}, Why.UNWANTED),
        ({"sender": CONTACT, "address": "noreply@customer.example"}, {}, Why.UNATTENDED),
        ({"sender": CONTACT, "message": {"null_path": True}}, {}, Why.NULL_PATH),
        ({"sender": CONTACT, "message": {"answer_unwanted": True}}, {}, Why.SUPPRESSED),
        ({"sender": CONTACT}, {"sends": None}, Why.NO_OUTGOING),
        ({"sender": CONTACT, "answered_address": 5}, {}, Why.ADDRESS_LIMIT),
        ({"sender": CONTACT, "most_per_address": 0}, {}, Why.ADDRESS_LIMIT),
        ({"sender": CONTACT, "answered_queue": {SENDS: 100}}, {}, Why.QUEUE_LIMIT),
        ({"sender": CONTACT, "arrived": NOW - timedelta(days=3, minutes=1)}, {}, Why.TOO_LATE),
    ],
)
def test_what_holds_an_answer_back_holds_back_no_case(columns, changes, why):
    made = decide(facts(rules=(rule(answers=True, **changes),), **columns))

    assert made.case is not None
    assert made.answer is None
    assert said(made)[-1] == (Said.NO_ANSWER, why)


def test_below_the_limits_an_answer_leaves():
    one = rule(answers=True)

    made = decide(
        facts(sender=CONTACT, rules=(one,), answered_address=4, answered_queue={SENDS: 99})
    )

    assert made.answer is not None
