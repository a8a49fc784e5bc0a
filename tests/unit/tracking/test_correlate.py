import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest

from activities.choices import CorrelationMethod, Direction
from tests.unit.tracking.builders import STORED_ID, addresses, message, stored
from tracking.choices import AttemptOutcome, CorrelationStep
from tracking.conversation_index import base_hash
from tracking.correlate import (
    MAX_REFERENCES,
    CorrelationCandidates,
    CorrelationSwitches,
    correlate,
    ids_to_look_up,
    key_of,
    switches_of,
    wanted,
)
from tracking.matching import MatchRules, Noise

ON = CorrelationSwitches()
IN_REPLY_TO, REFERENCES = CorrelationStep.IN_REPLY_TO, CorrelationStep.REFERENCES
TOKEN, INDEX = CorrelationStep.TRACKING_TOKEN, CorrelationStep.CONVERSATION_INDEX
CLEO, SUPPORT = "cleo@customer.example", "support@example.com"
ROOT = bytes(range(22))


def tried(correlation):
    return [(attempt.step, attempt.outcome) for attempt in correlation.tried]


def header(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def day(number: int) -> datetime:
    return datetime(2026, 3, number, tzinfo=UTC)


def find(one, *emails, switches=ON):
    return correlate(one, CorrelationCandidates(emails), switches)


@pytest.mark.rule("R4.4")
def test_in_reply_to_finds_the_email_with_that_id():
    found = find(message(in_reply_to="old@example.com"), stored("old@example.com"))
    assert (found.email_id, found.method) == (STORED_ID, CorrelationMethod.IN_REPLY_TO)
    assert found.method == 3
    assert found.because == IN_REPLY_TO
    assert found.parent_id == STORED_ID
    assert tried(found) == [(IN_REPLY_TO, AttemptOutcome.FOUND)]


@pytest.mark.rule("R4.4")
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(
    ("written", "matches"),
    [
        ("old@example.com", True),
        ("  <old@example.com> ", True),
        ("Old@example.com", False),
        ("old@EXAMPLE.com", False),
        ("old@example.com.", False),
        ("old@example.co", False),
    ],
)
def test_ids_compare_exactly_after_trimming(written, matches, direction):
    email = stored("old@example.com", direction=direction)
    assert find(message(in_reply_to=written), email).matched is matches


def test_long_ids_compare_to_their_last_character():
    long = "a" * 900
    assert find(message(in_reply_to=long), stored(long)).matched
    assert not find(message(in_reply_to=long + "b"), stored(long)).matched


@pytest.mark.rule("R4.4")
def test_references_are_tried_from_last_to_first_after_in_reply_to():
    first, last = stored("1@x", id=UUID(int=1)), stored("3@x", id=UUID(int=3))
    one = message(in_reply_to="unknown@x", references=("1@x", "2@x", "3@x", "4@x"))
    found = find(one, first, last)
    assert found.email_id == last.id
    assert (found.method, found.because) == (CorrelationMethod.IN_REPLY_TO, REFERENCES)
    assert tried(found) == [
        (IN_REPLY_TO, AttemptOutcome.NOT_FOUND),
        (REFERENCES, AttemptOutcome.FOUND),
    ]
    assert found.tried[1].looked_for == ("4@x", "3@x", "2@x", "1@x")
    assert found.tried[1].found == "3@x"


def test_in_reply_to_wins_over_references():
    answered, other = stored("a@x", id=UUID(int=1)), stored("b@x", id=UUID(int=2))
    one = message(in_reply_to="a@x", references=("a@x", "b@x"))
    assert find(one, answered, other).email_id == answered.id


def test_strict_parity_tries_no_references():
    one = message(references=("old@example.com",))
    found = find(one, stored("old@example.com"), switches=CorrelationSwitches(references=False))
    assert not found.matched
    assert tried(found)[:2] == [
        (IN_REPLY_TO, AttemptOutcome.NOTHING_TO_LOOK_FOR),
        (REFERENCES, AttemptOutcome.SWITCHED_OFF),
    ]


@pytest.mark.parametrize(
    "switches", [CorrelationSwitches(headers=False), CorrelationSwitches(ignore_headers=True)]
)
@pytest.mark.rule("R4.3")
def test_switched_off_headers_are_not_compared(switches):
    one = message(
        in_reply_to="old@example.com", references=("old@example.com",), thread_index=header(ROOT)
    )
    found = find(one, stored("old@example.com", index=ROOT), switches=switches)
    assert (found.matched, found.method) == (False, CorrelationMethod.NONE)
    assert {step for step, outcome in tried(found) if outcome == AttemptOutcome.SWITCHED_OFF} >= {
        IN_REPLY_TO,
        REFERENCES,
        INDEX,
    }
    assert wanted([one], switches).index_hashes == frozenset()


class Site:
    def __init__(self, **values: object) -> None:
        self.values = values

    def effective(self, name: str) -> object:
        return self.values[name]


@pytest.mark.rule("R4.3")
def test_switches_come_from_the_organization():
    names = {
        "email_correlation_enabled": "headers",
        "ignore_conversation_index_and_in_reply_to_for_correlation": "ignore_headers",
        "references_correlate": "references",
        "link_reports": "reports",
        "use_tracking_tokens": "tokens",
        "check_token_participants": "check_participants",
        "enable_smart_matching": "smart_matching",
    }
    others = {
        "tracking_prefix": "New:",
        "former_tracking_prefixes": ["CRM:", "New:", ""],
        "hash_filter_keywords": "^Re:",
        "hash_max_count": 10,
        "hash_delta_subject_count": 1,
        "hash_min_address_count": 3,
        "smart_matching_days": 30,
    }
    for chosen, field in names.items():
        switches = switches_of(Site(**{name: name == chosen for name in names}, **others))
        assert {f for f in names.values() if getattr(switches, f)} == {field}
        assert switches.prefixes == ("New:", "CRM:")
    matching = switches.matching
    assert (matching.most, matching.subjects_may_differ, matching.addresses_needed) == (10, 1, 3)
    assert (matching.noise.off("Re: x"), switches.days) == (" x", 30)


def test_message_without_headers_answers_nothing():
    found = find(message(), stored())
    assert (found.matched, found.email_id, found.parent_id) == (False, None, None)
    assert [outcome for _, outcome in tried(found)] == [
        *[AttemptOutcome.NOTHING_TO_LOOK_FOR] * 4,
        AttemptOutcome.SWITCHED_OFF,
    ]


def test_message_that_names_itself_does_not_answer_its_own_copy():
    one = message(message_id="same@x", in_reply_to="same@x", references=("same@x",))
    assert ids_to_look_up(one) == ()
    assert not find(one, stored("same@x")).matched


def test_the_id_that_the_server_gave_finds_the_email_too():
    email = stored(keys=(key_of("ours@x"), key_of("servers@x")))
    assert find(message(in_reply_to="servers@x"), email).matched
    assert find(message(in_reply_to="ours@x"), email).matched


def test_of_two_copies_the_sent_one_is_answered():
    received = stored("m@x", id=UUID(int=1), direction=Direction.INCOMING)
    sent = stored("m@x", id=UUID(int=2), direction=Direction.OUTGOING)
    for order in ((sent, received), (received, sent)):
        assert find(message(in_reply_to="m@x"), *order).email_id == sent.id


def test_reply_finds_mail_that_was_decided_right_before_it():
    candidates = CorrelationCandidates()
    one = message(in_reply_to="new@x")
    assert not correlate(one, candidates, ON).matched
    candidates.add(stored("new@x"))
    assert correlate(one, candidates, ON).matched


def test_ids_to_look_up_cover_all_that_is_compared_and_no_more():
    one = message(in_reply_to="<a@x>", references=("b@x", "a@x", " c@x ", "b@x", ""))
    assert ids_to_look_up(one) == ("a@x", "b@x", "c@x")
    for message_id in ids_to_look_up(one):
        assert find(one, stored(message_id)).matched


def test_endless_references_keep_the_last_and_the_very_first():
    many = message(references=tuple(f"{n}@x" for n in range(5000)))
    ids = ids_to_look_up(many)
    assert len(ids) == MAX_REFERENCES
    assert (ids[0], ids[-2], ids[-1]) == ("4999@x", "4981@x", "0@x")
    assert find(many, stored("0@x")).matched


@pytest.mark.rule("R4.5")
@pytest.mark.parametrize(
    ("subject", "earlier", "changed"),
    [
        ("Re: Offer", "Offer", False),
        ("AW: WG: Offer", "RE: offer", False),
        ("Re[2]:  Offer  for\tyou", "Offer for you", False),
        ("Re：見積", "見積", False),
        ("Offer", "Re: Offer", False),
        ("Re: Offer CRM:0001001", "Offer", False),
        ("Re: Offer", "Offer crm:0001001", False),
        ("Re: Offer CRM:0001001 CRM:0002002", "WG: Offer", False),
        ("CRM:0001001 Re: Offer", "Offer CRM:0001002", False),
        ("Offer CRM:12", "Offer", True),
        ("Invoice", "Offer", True),
        ("Re: Invoice: March", "Invoice: April", True),
        ("", "Offer", True),
    ],
)
def test_changed_subject_is_seen_through_prefixes_and_token(subject, earlier, changed):
    email = stored("m@x", subject=earlier)
    assert find(message(subject=subject, in_reply_to="m@x"), email).subject_changed is changed


# -- conversation index


@pytest.mark.rule("R4.14")
@pytest.mark.parametrize("later", [b"", b"12345", b"1234512345"])
def test_conversation_index_finds_an_email_of_the_conversation(later):
    one = message(thread_index=header(ROOT + later))
    found = find(one, stored("other@x", index=ROOT + b"54321"))
    assert (found.email_id, found.method) == (STORED_ID, CorrelationMethod.CONVERSATION_INDEX)
    assert found.method == 5
    assert found.parent_id == STORED_ID
    assert tried(found)[-1] == (INDEX, AttemptOutcome.FOUND)
    assert base_hash(header(ROOT + b"54321")) in wanted([one], ON).index_hashes


@pytest.mark.rule("R4.14")
def test_all_22_octets_are_compared_and_not_their_hash_alone():
    one = message(thread_index=header(ROOT))
    other = stored("other@x", index=ROOT[:21] + b"x")
    assert not find(one, other).matched
    assert (INDEX, AttemptOutcome.NOT_FOUND) in tried(find(one, other))


def test_of_a_conversation_the_email_that_was_answered_is_found_else_the_newest():
    root = stored("1@x", id=UUID(int=1), index=ROOT, at=day(1))
    branch = stored("2@x", id=UUID(int=2), index=ROOT + b"aaaaa", at=day(2))
    other = stored("3@x", id=UUID(int=3), index=ROOT + b"bbbbb", at=day(3))
    answer = message(thread_index=header(ROOT + b"aaaaa" + b"ccccc"))
    assert find(answer, root, branch, other).email_id == branch.id
    assert find(answer, root, other).email_id == root.id
    assert find(message(thread_index=header(ROOT)), root, branch, other).email_id == other.id


@pytest.mark.rule("R4.1")
def test_ids_win_over_the_conversation_index():
    answered = stored("old@x", id=UUID(int=1))
    other = stored("other@x", id=UUID(int=2), index=ROOT)
    one = message(in_reply_to="old@x", thread_index=header(ROOT))
    assert find(one, answered, other).email_id == answered.id


def test_the_other_copy_of_the_same_message_is_not_answered():
    one = message(message_id="same@x", thread_index=header(ROOT))
    assert not find(one, stored("same@x", index=ROOT)).matched
    assert not find(message(thread_index="AAAA"), stored(index=ROOT)).matched


# -- tracking token


def tokened(token="CRM:0001001", *people, **fields):
    fields = {"tracking_token": token, "participants": people or (SUPPORT, CLEO), **fields}
    return stored(f"{fields.get('id', 0)}@tokened", **fields)


def from_cleo(subject="Re: Offer CRM:0001001", **fields):
    return message(subject=subject, senders=addresses(CLEO), to=addresses(SUPPORT), **fields)


def find_token(one, *emails, switches=ON):
    return correlate(one, CorrelationCandidates(emails, own={SUPPORT}), switches)


@pytest.mark.rule("R4.1", "R4.12")
def test_token_finds_the_email_that_bears_it():
    found = find_token(from_cleo("AW: Offer crm:0001001"), tokened())
    assert (found.email_id, found.method) == (STORED_ID, CorrelationMethod.TRACKING_TOKEN)
    assert found.method == 4
    assert found.parent_id is None
    assert tried(found)[-1] == (TOKEN, AttemptOutcome.FOUND)
    assert (found.tried[-1].found, found.tried[-1].shared) == ("CRM:0001001", (CLEO,))


@pytest.mark.rule("R4.1")
def test_token_comes_behind_ids_and_before_the_conversation_index():
    by_id = stored("old@x", id=UUID(int=1))
    by_token = tokened(id=UUID(int=2))
    by_index = stored("other@x", id=UUID(int=3), index=ROOT)
    every = (by_id, by_token, by_index)
    fields = {"in_reply_to": "old@x", "thread_index": header(ROOT)}
    assert find_token(from_cleo(**fields), *every).email_id == by_id.id
    fields["in_reply_to"] = ""
    assert find_token(from_cleo(**fields), *every).email_id == by_token.id
    assert find_token(from_cleo("Offer", **fields), *every).email_id == by_index.id


@pytest.mark.rule("R4.3")
def test_switched_off_tokens_are_not_compared():
    switches = CorrelationSwitches(tokens=False)
    found = find_token(from_cleo(), tokened(), switches=switches)
    assert not found.matched
    assert (TOKEN, AttemptOutcome.SWITCHED_OFF) in tried(found)
    assert wanted([from_cleo()], switches).tokens == frozenset()
    assert wanted([from_cleo()], ON).tokens == {"CRM:0001001"}


@pytest.mark.rule("R4.3")
def test_tokens_work_where_headers_are_switched_off():
    assert find_token(from_cleo(), tokened(), switches=CorrelationSwitches(headers=False)).matched


@pytest.mark.rule("R4.13")
@pytest.mark.parametrize(
    ("sender", "to", "believed"),
    [
        (CLEO, SUPPORT, True),
        ("stranger@evil.example", SUPPORT, False),
        ("colleague@customer.example", f"{SUPPORT} {CLEO}", True),
        ("stranger@evil.example", "x@y.example", False),
        (SUPPORT, CLEO, True),
        ("CLEO@Customer.Example", SUPPORT, True),
    ],
)
def test_token_is_believed_of_those_who_take_part(sender, to, believed):
    one = message(subject="Offer CRM:0001001", senders=addresses(sender), to=addresses(*to.split()))
    found = find_token(one, tokened())
    assert found.matched is believed
    if not believed:
        assert (TOKEN, AttemptOutcome.NOT_BELIEVED) in tried(found)
        assert not found.has_unknown_token


@pytest.mark.rule("R4.13")
def test_between_own_users_they_themselves_count():
    own = {"ada@example.com", "ben@example.com"}
    email = tokened("CRM:0001001", "ada@example.com", "ben@example.com")
    one = message(
        subject="CRM:0001001",
        senders=addresses("ben@example.com"),
        to=addresses("ada@example.com"),
    )
    assert correlate(one, CorrelationCandidates([email], own), ON).matched


@pytest.mark.rule("R4.13")
def test_strict_parity_believes_anybody():
    switches = CorrelationSwitches(check_participants=False)
    one = message(subject="CRM:0001001", senders=addresses("stranger@evil.example"))
    assert find_token(one, tokened(), switches=switches).matched


@pytest.mark.rule("R4.8")
def test_of_tokens_that_repeat_the_most_recent_conversation_with_a_participant_wins():
    old = tokened(id=UUID(int=1), at=day(1))
    newer = tokened(id=UUID(int=2), at=day(2))
    others = tokened("CRM:0001001", SUPPORT, "dan@else.example", id=UUID(int=3), at=day(3))
    found = find_token(from_cleo(), old, newer, others)
    assert found.email_id == newer.id
    assert found.tried[-1].conversations == 3
    assert not find_token(from_cleo(), others).matched


@pytest.mark.rule("R4.8")
def test_a_conversation_is_as_recent_as_its_last_email_and_has_all_its_participants():
    started = tokened(id=UUID(int=1), at=day(1))
    answered = tokened(
        "CRM:0001001", SUPPORT, id=UUID(int=4), conversation_tracking_id=UUID(int=1), at=day(5)
    )
    other = tokened(id=UUID(int=2), at=day(3))
    assert find_token(from_cleo(), started, answered, other).email_id == answered.id


@pytest.mark.rule("R3.15", "R4.12")
def test_token_that_nothing_bears_is_unknown():
    found = find_token(from_cleo(), tokened("CRM:0001002"))
    assert not found.matched
    assert found.has_unknown_token
    assert not find_token(from_cleo("Offer"), tokened()).has_unknown_token


def test_of_several_tokens_the_last_is_tried_first_and_then_the_others():
    one = from_cleo("FW: Offer CRM:0001001 CRM:0001002")
    first, last = tokened(id=UUID(int=1)), tokened("CRM:0001002", id=UUID(int=2))
    assert find_token(one, first, last).email_id == last.id
    assert find_token(one, first).email_id == first.id


def test_message_with_a_token_is_no_answer_to_its_own_copy():
    email = stored("same@x", tracking_token="CRM:0001001", participants=(CLEO,))
    assert not find_token(from_cleo(message_id="same@x"), email).matched


# -- smart matching

SMART = CorrelationSwitches(smart_matching=True, matching=MatchRules(noise=Noise(r"^(\w+:\s*)+")))
SMART_STEP = CorrelationStep.SMART_MATCHING


def similar(subject="Offer of March", *people, **fields):
    fields = {"subject": subject, "participants": people or (SUPPORT, CLEO), **fields}
    return stored(f"{fields.get('id', 0)}@similar", **fields)


def find_similar(one, *emails, switches=SMART, since=None):
    pool = CorrelationCandidates(emails, {SUPPORT}, switches.matching, since)
    return correlate(one, pool, switches)


@pytest.mark.rule("R4.1", "R4.16")
def test_smart_matching_finds_an_email_of_the_same_subject_and_people():
    found = find_similar(from_cleo("AW: offer of march"), similar())
    assert (found.email_id, found.method) == (STORED_ID, CorrelationMethod.SMART_MATCHING)
    assert found.method == 6
    assert found.parent_id is None
    assert tried(found)[-1] == (SMART_STEP, AttemptOutcome.FOUND)
    (scored,) = found.tried[-1].scores
    assert (scored.score.subject, scored.score.addresses) == (3, 2)


@pytest.mark.rule("R4.1")
def test_smart_matching_comes_last():
    by_index = stored("other@x", id=UUID(int=3), index=ROOT)
    one = from_cleo("Offer of March", thread_index=header(ROOT))
    assert find_similar(one, similar(), by_index).email_id == by_index.id


@pytest.mark.rule("R4.3")
def test_smart_matching_is_off_until_it_is_switched_on():
    one = from_cleo("Offer of March")
    found = find_similar(one, similar(), switches=ON)
    assert not found.matched
    assert tried(found)[-1] == (SMART_STEP, AttemptOutcome.SWITCHED_OFF)
    assert not wanted([one], ON).words
    assert wanted([one], SMART).words


@pytest.mark.rule("R4.16")
def test_the_newest_match_wins():
    every = [similar(id=UUID(int=n), at=day(n)) for n in (1, 3, 2)]
    near_but_newer = similar("Offer of April", id=UUID(int=9), at=day(9))
    found = find_similar(from_cleo("Re: Offer of March"), *every, near_but_newer)
    assert found.email_id == UUID(int=3)
    assert found.tried[-1].scores[0].email_id == UUID(int=3)


@pytest.mark.rule("R4.16")
@pytest.mark.parametrize(
    "email",
    [similar("Offer of April"), similar("Offer of March", CLEO), similar("Re: Offer of March now")],
)
def test_near_is_not_enough_and_the_nearest_is_told(email):
    found = find_similar(from_cleo("Offer of March"), email)
    assert not found.matched
    attempt = found.tried[-1]
    assert attempt.outcome == AttemptOutcome.NOT_FOUND
    assert [one.email_id for one in attempt.scores] == [email.id] * attempt.compared


@pytest.mark.rule("R4.16")
@pytest.mark.parametrize("subject", ["", "Re:", "AW: WG:"])
def test_an_empty_subject_matches_nothing(subject):
    found = find_similar(from_cleo(subject), similar(subject))
    assert tried(found)[-1] == (SMART_STEP, AttemptOutcome.NOTHING_TO_LOOK_FOR)


@pytest.mark.rule("R4.17")
def test_what_is_too_old_is_not_compared():
    one = from_cleo("Offer of March")
    assert find_similar(one, similar(at=day(5)), since=day(5)).matched
    assert not find_similar(one, similar(at=day(4)), since=day(5)).matched


def test_message_does_not_match_its_own_copy():
    email = stored("same@x", subject="Offer", participants=(SUPPORT, CLEO))
    assert not find_similar(from_cleo("Offer", message_id="same@x"), email).matched


def test_too_few_addresses_are_not_looked_up():
    alone = message(subject="Offer", senders=addresses(CLEO))
    assert wanted([alone], SMART) == wanted([], SMART)
    assert tried(find_similar(alone))[-1] == (SMART_STEP, AttemptOutcome.NOTHING_TO_LOOK_FOR)
