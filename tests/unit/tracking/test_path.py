"""How far a message came, as a picture: each kind of end, and whatever old data may lack."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from tests.unit.tracking.test_trace import (
    KEYS,
    NOW,
    SUPPORT,
    decided,
    json_values,
    judged,
    rejected,
    whole,
)
from tracking.acceptance import Acceptance, AcceptanceRules
from tracking.choices import (
    AcceptReason,
    InternalCheck,
    Lacks,
    Outcome,
    ResolvedBecause,
    SkipReason,
    StationState,
    SubReason,
    Way,
)
from tracking.correlate import CorrelationCandidates, CorrelationSwitches, correlate
from tracking.path import path_of
from tracking.resolution import QUEUE, USER, AddressBook, resolve_recipients
from tracking.stations import Ref, Station
from tracking.trace import (
    Decision,
    Failure,
    Named,
    reasons_of,
    to_data,
    without_personal,
    without_subjects,
)

OLGA = {"id": "u9", "name": "Olga"}


def stations(decision: Decision | dict, **context) -> dict[str, Station]:
    data = decision if isinstance(decision, dict) else to_data(decision)
    return {one.key: one for phase in path_of(data, **context) for one in phase.stations}


def states(decision: Decision | dict) -> dict[str, str]:
    return {key: one.state.value for key, one in stations(decision).items()}


def stop(decision: Decision | dict) -> list[str]:
    """Where it stopped; nothing behind it was asked."""
    found = states(decision)
    stops = [key for key, state in found.items() if state == StationState.STOPPED]
    if stops and stops != ["outcome"]:
        keys = list(found)
        behind = keys[keys.index(stops[0]) + 1 : keys.index("outcome")]
        assert all(found[key] == StationState.UNASKED for key in behind)
    return stops


def read(outcome: Outcome, **fields) -> Decision:
    """A message that was fetched and whose addresses were looked up."""
    one = fields.pop("message", message(to=addresses("support@example.org", "who@example.net")))
    book = AddressBook({"support@example.org": (match(QUEUE, "q1", name="Support"),)})
    known = {
        "message": one,
        "size": 2048,
        "received_at": NOW,
        "mailbox": Named("mailboxes.mailbox", "m1", "Support <support@example.org>"),
        "sender": sender(),
        "recipients": resolve_recipients(one, book),
    }
    return decided(outcome, **{**known, **fields})


# -- tracked


def test_a_reply_goes_the_whole_way():
    found = stations(whole(), folder="Inbox")
    assert found["arrived"].phrase == "Inbox, 2026-03-01 08:00 UTC"
    assert found["read_for"].phrase == "User Carol"
    assert (found["sender"].phrase, found["sender"].rule) == ("Contact Ada Example", "R3.32")
    assert found["sender"].refs == (Ref("activities.contact", "c1"),)
    assert found["known"].phrase == "New, though its Message-ID is not"
    assert found["answers"].phrase == "An email stored here, by References"
    assert found["recipients"].phrase == "3 addresses, 1 of them ours"
    assert found["filters"].phrase == "Queue Support: it answers tracked email"
    assert found["filters"].state == StationState.DECIDED
    assert found["outcome"].name == "Tracked"
    assert found["filed"].phrase == "Contact Ada Example"
    assert found["owner"].phrase.endswith("Olga")
    assert found["queues"].phrase == "Support"
    assert found["files"].phrase == "1 left out"
    assert stop(whole()) == []


def test_each_method_of_correlation_says_what_came_of_it():
    steps = stations(whole())["answers"].steps
    assert [(step.name, step.words, step.said) for step in steps] == [
        ("In-Reply-To", "not stored here", False),
        ("References", "found", True),
        ("tracking token", "not asked", None),
        ("conversation index", "not asked", None),
        ("smart matching", "not asked", None),
    ]
    assert stations(whole())["answers"].refs == (Ref("activities.email", str(stored().id)),)


def test_what_answers_nothing_names_all_that_was_tried():
    one = message(in_reply_to="unknown@example.com")
    correlation = correlate(one, CorrelationCandidates(), CorrelationSwitches(tokens=False))
    answers = stations(read(Outcome.TRACKED, correlation=correlation))["answers"]
    assert answers.phrase == "Nothing that is stored here"
    assert {step.name: step.words for step in answers.steps} == {
        "In-Reply-To": "not stored here",
        "References": "the message has none",
        "tracking token": "switched off",
        "conversation index": "the message has none",
        "smart matching": "switched off",
    }


def test_the_filter_that_took_it_stands_beside_those_that_did_not():
    cautious = candidate(user("Ben", FilteringMethod.NONE), TO)
    taking = candidate(queue("q1", FilteringMethod.ALL, name="Support"), CC)
    filters = stations(read(Outcome.TRACKED, acceptance=judged(cautious, taking)))["filters"]
    assert [(step.name, step.said) for step in filters.steps] == [
        ("user Ben", False),
        ("queue Support", True),
    ]
    assert filters.phrase == "Queue Support: accepts all email"
    assert filters.details[0].rule == "R3.24"


@pytest.mark.parametrize(
    ("way", "sub_reason", "phrase", "rule"),
    [
        (Way.FOLDER, SubReason.FOLDER_RULE, "It lies in “Projects”", "R7.6"),
        (Way.CATEGORY, SubReason.CATEGORY, "It carries the tracking category", "R7.21"),
    ],
)
def test_what_people_chose_is_asked_no_filter(way, sub_reason, phrase, rule):
    acceptance = Acceptance(reason=AcceptReason.ACCEPT_ALL, sub_reason=sub_reason)
    folder = Named("", "f1", "Projects") if way == Way.FOLDER else None
    decision = read(Outcome.TRACKED, acceptance=acceptance, way=way, folder=folder)
    found = stations(decision)
    assert (found["chosen"].phrase, found["chosen"].rule) == (phrase, rule)
    assert found["chosen"].state == StationState.DECIDED
    assert found["filters"].state == StationState.UNASKED


def test_sent_items_say_where_they_were_found():
    arrived = stations(read(Outcome.TRACKED, way=Way.SENT))["arrived"]
    assert arrived.phrase == "Sent items, 2026-03-01 08:00 UTC"
    assert arrived.rule == "R3.60"


# -- rejected


def test_without_a_usable_sender_nothing_else_is_asked():
    bad = replace(sender(), address="", because=ResolvedBecause.NO_ADDRESS)
    decision = read(
        Outcome.REJECTED, sender=bad, acceptance=Acceptance(reason=AcceptReason.INVALID_SENDER)
    )
    assert stop(decision) == ["sender"]
    assert stations(decision)["sender"].phrase == "No usable address"
    assert stations(decision)["outcome"].state == StationState.ENDED


def test_mail_for_nobody_here_stops_at_its_recipients():
    listed = candidate(user("Ben", FilteringMethod.RESPONSES), None, is_reading=True)
    decision = read(Outcome.REJECTED, acceptance=judged(listed))
    assert reasons_of(decision)[0] == "NoRecipientMatch"
    assert stop(decision) == ["recipients"]
    found = stations(decision)
    assert (found["recipients"].phrase, found["recipients"].rule) == (
        "Nobody here is meant",
        "R3.27",
    )
    assert found["read_for"].phrase == "User Ben"


def test_mail_between_own_users_stops_where_that_is_asked():
    rules = AcceptanceRules(ignore_internal_email=True, only_if_sent_copy_stored=False)
    acceptance = judged(candidate(user("Ben")), sent_by=sender(USER), rules=rules)
    decision = read(Outcome.REJECTED, sender=sender(USER), acceptance=acceptance)
    assert stop(decision) == ["internal"]
    internal = stations(decision)["internal"]
    assert (internal.phrase, internal.rule) == ("Yes: the sender tracks it", "R3.41")


@pytest.mark.parametrize(
    ("check", "phrase", "rule"),
    [
        (InternalCheck.TWO_ACTIVITIES, "Plays no part", "R3.40"),
        (InternalCheck.NOT_INTERNAL, "No, it comes from outside", "R3.41"),
        (InternalCheck.FROM_QUEUE, "From a queue: tracked at both ends", "R3.43"),
        (InternalCheck.SENT_COPY_STORED, "Yes, and the sent copy is stored", "R3.44"),
        (InternalCheck.SENT_COPY_MISSING, "Yes, but no sent copy is stored", "R3.44"),
        (InternalCheck.NOT_CHECKED, "Not checked", "R3.41"),
    ],
)
def test_each_answer_about_own_users_has_its_rule(check, phrase, rule):
    acceptance = replace(judged(candidate(SUPPORT)), internal=check)
    internal = stations(read(Outcome.TRACKED, acceptance=acceptance))["internal"]
    assert (internal.phrase, internal.rule) == (phrase, rule)


def test_a_filter_that_refuses_is_the_end():
    decision = read(Outcome.REJECTED, acceptance=judged(candidate(SUPPORT)))
    assert stop(decision) == ["filters"]
    filters = stations(decision)["filters"]
    assert (filters.phrase, filters.rule) == ("The filter accepts replies only", "R3.24")
    assert [(step.name, step.said) for step in filters.steps] == [("queue Support", False)]


def test_automatic_mail_is_refused_by_its_rule():
    rules = AcceptanceRules(reject_auto_submitted=True)
    facts = replace(FACTS, auto_submitted="auto-replied")
    acceptance = judged(candidate(SUPPORT), rules=rules, facts=facts)
    decision = read(Outcome.REJECTED, acceptance=acceptance)
    assert stop(decision) == ["filters"]
    assert stations(decision)["filters"].rule == "R3.13"


@pytest.mark.parametrize("sub", ["not_attached", "method_not_forward", "forwarder_unknown"])
def test_a_forward_that_is_none_stops_there(sub):
    decision = read(Outcome.REJECTED, reason="InvalidForwardMailItem", sub_reason=sub)
    assert stop(decision) == ["forward"]
    assert stations(decision)["forward"].rule == "R3.75"
    assert stations(decision)["forward"].phrase == SubReason(sub).label


def test_a_reason_of_another_version_ends_without_a_guess():
    decision = read(Outcome.REJECTED, reason="SomethingNew")
    assert stop(decision) == []
    assert stations(decision)["outcome"].state == StationState.ENDED


# -- forwards


def test_the_wrapper_of_a_forward_stops_and_its_original_goes_on():
    by = Named(USER, "u1", "Carol")
    wrapper = read(
        Outcome.SKIPPED,
        reason=SkipReason.FORWARD_WRAPPER.value,
        skip_detail="2",
        forwarded_by=by,
    )
    assert stop(wrapper) == ["forward"]
    told = [one.text for one in stations(wrapper)["forward"].details]
    assert "It holds 2 originals." in told
    inner = stations(read(Outcome.TRACKED, forwarded_by=by, acceptance=judged(candidate(SUPPORT))))
    assert inner["forward"].phrase == "An original, forwarded by user Carol"
    assert inner["read_for"].phrase == "User Carol"
    assert list(inner).index("forward") < list(inner).index("read_for")


# -- duplicates


def test_a_duplicate_stops_where_the_stored_one_is_found():
    decision = read(
        Outcome.DUPLICATE,
        acceptance=Acceptance(reason=AcceptReason.DUPLICATE),
        duplicate_of=stored().id,
    )
    assert stop(decision) == ["known"]
    known = stations(decision)["known"]
    assert (known.phrase, known.rule) == ("Stored already", "R3.20")
    assert known.refs == (Ref("activities.email", str(stored().id)),)


def test_a_message_that_lost_a_race_was_asked_everything():
    decision = read(
        Outcome.DUPLICATE,
        acceptance=replace(judged(candidate(SUPPORT)), reason=AcceptReason.DUPLICATE, entity=None),
        duplicate_of=stored().id,
    )
    assert stop(decision) == []
    assert stations(decision)["known"].phrase == "New here"
    assert stations(decision)["outcome"].phrase == "A copy of a stored email"


def test_a_duplicate_in_a_tracked_folder_says_what_the_folder_did():
    data = to_data(read(Outcome.DUPLICATE, duplicate_of=stored().id))
    data["filed"] = {"folder": "Inbox/Projects", "why": "rule"}
    assert stations(data)["folder"].phrase == "Inbox/Projects"


# -- skipped, failed, gone


@pytest.mark.parametrize("reason", sorted(set(SkipReason) - {SkipReason.FORWARD_WRAPPER}))
def test_what_is_no_candidate_stops_at_the_checks(reason):
    decision = decided(Outcome.SKIPPED, reason=reason.value, size=300, received_at=NOW)
    assert stop(decision) == ["checks"]
    checks = stations(decision)["checks"]
    assert (checks.phrase, bool(checks.rule)) == (reason.label, True)
    assert stations(decision)["fetched"].state == StationState.UNASKED


FAILED = Failure(code="SocketTimedOut", text="no answer", attempt=2, attempts=5)


def test_what_could_not_be_fetched_waits_for_another_try():
    decision = decided(Outcome.RETRYING, size=300, failure=FAILED)
    assert stop(decision) == ["fetched"]
    found = stations(decision)
    assert found["fetched"].phrase == "SocketTimedOut"
    assert (found["outcome"].phrase, found["outcome"].state) == (
        "Attempt 2 of 5 failed",
        StationState.WAITING,
    )


def test_what_could_not_be_stored_is_in_quarantine():
    decision = decided(Outcome.QUARANTINED, size=300, message=message(), failure=FAILED)
    assert stop(decision) == ["outcome"]
    assert stations(decision)["outcome"].name == "Quarantined"
    assert stations(decision)["outcome"].rule == "R3.67"


def test_what_never_came_over_is_quarantined_where_it_was_fetched():
    decision = decided(Outcome.QUARANTINED, size=300, failure=FAILED)
    assert stop(decision) == ["fetched"]
    assert stations(decision)["outcome"].state == StationState.ENDED


def test_who_takes_it_but_may_not_own_email_holds_it_up():
    lacking = candidate(user("Ben", FilteringMethod.ALL, lacks=Lacks.LICENCE))
    decision = read(Outcome.RETRYING, acceptance=judged(lacking), failure=FAILED)
    assert stop(decision) == ["rights"]
    found = stations(decision)
    assert found["filters"].phrase == "User Ben takes it"
    assert (found["rights"].phrase, found["rights"].rule) == ("Without a licence", "R3.29")


def test_what_is_gone_was_never_read():
    decision = decided(Outcome.GONE, received_at=NOW)
    assert stop(decision) == ["fetched"]
    assert stations(decision)["outcome"].name == "Gone"


def test_what_somebody_let_go_of_says_where_it_had_failed():
    failed = to_data(decided(Outcome.QUARANTINED, size=300, failure=FAILED))
    dismissed = {**failed, "outcome": "skipped", "reason": "Dismissed"}
    assert stop(dismissed) == ["fetched"]
    assert stations(dismissed)["by_hand"].state == StationState.DECIDED


# -- by hand


def asked(what: str, **more) -> dict:
    return {"by_hand": {"what": what, "by": OLGA, "at": NOW.isoformat(), **more}}


def test_a_request_waits_behind_the_decision_that_stands():
    before = to_data(read(Outcome.REJECTED, acceptance=judged(candidate(SUPPORT))))
    was = {key: before[key] for key in ("outcome", "reason", "sub_reason")}
    waiting = {**before, "outcome": "retrying", "reason": "", "way": "manual"}
    waiting |= asked("track", was=was)
    assert stop(waiting) == ["filters"]
    found = stations(waiting)
    assert "chosen" not in found
    assert found["outcome"].name == "Rejected"
    assert found["by_hand"].state == StationState.WAITING
    assert "Olga asked" in found["by_hand"].details[0].text


@pytest.mark.rule("R8.33")
def test_what_was_tracked_by_hand_says_who_asked():
    acceptance = Acceptance(reason=AcceptReason.ACCEPT_ALL, sub_reason=SubReason.MANUAL)
    data = to_data(read(Outcome.TRACKED, acceptance=acceptance, way=Way.MANUAL)) | asked("track")
    chosen = stations(data)["chosen"]
    assert (chosen.state, chosen.rule) == (StationState.DECIDED, "R3.18")
    assert "Olga asked" in chosen.details[0].text
    assert "by_hand" not in stations(data)


@pytest.mark.parametrize(("what", "phrase"), [("unlink", "Untracked"), ("delete", "Deleted here")])
def test_untracking_stands_at_the_end_of_the_way_it_had_gone(what, phrase):
    data = {**to_data(whole()), "outcome": "rejected", "reason": "Untracked", **asked(what)}
    found = stations(data)
    assert stop(data) == []
    assert found["filters"].state == StationState.DECIDED
    assert found["by_hand"].phrase == phrase
    assert "Olga" in found["by_hand"].details[0].text


def test_what_a_replay_decided_again_says_so():
    found = stations(to_data(whole()) | {"replayed": {"by": OLGA, "at": NOW.isoformat()}})
    assert found["replayed"].rule == "R8.33"
    assert "Olga" in found["replayed"].details[0].text


def test_who_took_the_category_off_is_not_known():
    found = stations({**to_data(whole()), "outcome": "rejected", "reason": "Untracked"})
    assert found["by_hand"].rule == "R7.21"


# -- what made records, and what may not be read


def test_records_that_were_made_are_named():
    made = [
        {"said": "person", "why": "rule", "kind": "activities.contact", "name": "Ada"},
        {"said": "case", "why": "rule", "case": "CAS-1", "rule": "Claims"},
        {"said": "no_answer", "why": "list"},
    ]
    found = stations({**to_data(whole()), "made": made})["made"]
    assert found.phrase == "Contact, case CAS-1"
    assert found.rule == "R3.59"


@pytest.mark.rule("R8.30")
def test_subjects_are_kept_from_those_who_may_not_read():
    case = {"kind": "activities.incident", "id": "i1", "name": "My salary (CAS-1)"}
    report = {"kind": "bounce", "by": "header", "for": "My salary", "told": []}
    made = [{"said": "case", "why": "rule", "case": "CAS-1"}]
    data = {**to_data(whole()), "regarding": case, "made": made, "report": report}
    assert "salary" in repr(stations(data))
    shown = without_subjects(data)
    assert "salary" not in repr(stations(shown))
    assert stations(shown)["filed"].phrase == "Case CAS-1"


# -- whatever was stored


def test_blanked_data_keeps_the_shape_of_the_path():
    blanked = without_personal(to_data(rejected(candidate(SUPPORT))))
    assert stop(blanked) == ["filters"]
    assert stations(blanked)["sender"].phrase == "No longer known"


def test_nothing_is_said_of_nothing():
    found = stations({})
    assert found["outcome"].phrase == "Nothing is recorded"
    assert not [one for one in found.values() if one.is_loud]


@given(
    st.dictionaries(st.sampled_from([*KEYS, "by_hand", "made", "replayed", "report"]), json_values)
)
def test_data_of_any_version_can_be_drawn(data):
    for outcome in Outcome:
        assert stations({**data, "outcome": outcome.value})
        assert stations(without_subjects(without_personal({**data, "outcome": outcome.value})))


@given(st.data())
def test_whatever_part_is_missing_or_new_the_rest_is_drawn(draw):
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
    assert all(one.name for one in stations(data).values())
