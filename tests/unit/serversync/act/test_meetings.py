"""Meetings: who writes them where, who is told, what their states mean (R6.20 to R6.36a)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailboxes.protocols.items import Importance, Person, Sensitivity, ShowAs, Tell, When
from serversync.act.types import (
    Answer,
    Lifecycle,
    LinkFacts,
    LinkTo,
    Question,
    Side,
    Started,
    Table,
    Verb,
)
from tests.unit.serversync.act.builders import (
    ADA,
    BEN,
    CLEO,
    DAY,
    HOUR,
    NOW,
    PARITY,
    PAST,
    WEEKLY,
    WHEN,
    accepted,
    codes,
    decide,
    meeting,
    moved,
    pair,
    without_server,
    without_store,
)  # fmt: skip

NEW = LinkFacts()
TRACKED = {"tracked": True}
DONE = [Lifecycle.COMPLETED, Lifecycle.CANCELED]
LONG_PAST = moved(-9 * DAY)


def made_there(**facts):
    return decide(without_server(pair(link=NEW, **facts), **facts.pop("record", {})))


def made_here(**facts):
    return decide(without_store(pair(link=NEW, **{"item": TRACKED, **facts})))


# -- R6.20: who sends ----------------------------------------------------------------------------------


@pytest.mark.rule("R6.20")
def test_the_organizers_mailbox_sends_a_meeting_and_invites():
    write = made_there().to_server
    assert write.verb is Verb.CREATE
    assert (write.tell, write.told) == (Tell.ALL, ("ben@example.com",))


@pytest.mark.rule("R6.20")
def test_no_other_mailbox_sends_it():
    new = made_there(record={"organizes": False})
    assert not new.writes
    assert codes(new) == ["not_organizer"]
    changed = decide(pair(store={"subject": "Other"}, record={"organizes": False}))
    assert not changed.writes
    assert codes(changed) == ["not_organizer"]
    invited = decide(pair(store={"subject": "Other"}, item={"organizes": False}))
    assert not invited.writes


@pytest.mark.rule("R6.20")
def test_an_appointment_without_organizer_is_an_error():
    new = made_there(record={"organizes": False, "has_organizer": False})
    assert not new.writes
    assert new.error == "OrganizerMissing"
    changed = decide(pair(store={"subject": "Other"}, record={"has_organizer": False}))
    assert not changed.writes
    assert changed.error == "OrganizerMissing"


def test_an_attendees_change_goes_out_once_the_organizers_copy_says_the_same():
    waits = decide(pair(store={"location": "Room 4"}, item={"organizes": False}))
    there = pair(base=waits.base, store={"location": "Room 4"}, server={"location": "Room 4"})
    decision = decide(replace(there, item=replace(there.item, organizes=False)))
    assert not decision.writes
    assert decision.base.fields["location"] == "Room 4"


def test_an_attendees_own_status_and_reminder_are_not_the_meetings():
    """Several may have tracked it: each copy shows the time in its own way."""
    own = {"show_as": ShowAs.TENTATIVE, "answers": accepted(BEN)}
    facts = {"item": {"organizes": False}, "record": {"organizes": False, "owned": False}}
    assert not decide(pair(server=own, **facts)).writes
    facts["record"]["owned"] = True
    assert set(decide(pair(server=own, **facts)).to_store.fields) == {"show_as", "answers"}


# -- R6.21: status and reminder --------------------------------------------------------------------------


@pytest.mark.rule("R6.21")
@pytest.mark.parametrize("state", DONE)
def test_what_is_completed_or_canceled_here_shows_as_free_there(state):
    decision = decide(pair(record={"lifecycle": state}))
    assert decision.to_server.fields == {"show_as": ShowAs.FREE}


@pytest.mark.rule("R6.21")
def test_what_is_free_here_shows_as_free_there():
    assert decide(pair(store={"show_as": ShowAs.FREE})).to_server.fields == {"show_as": ShowAs.FREE}


@pytest.mark.rule("R6.21")
@pytest.mark.parametrize(
    ("facts", "reminder"),
    [
        ({"store": {"reminder": 15}}, 15),
        ({"store": {"reminder": 15, "when": PAST}}, 15),
        ({"store": {"reminder": 15, "when": LONG_PAST}}, None),
        ({"store": {"reminder": 15, "show_as": ShowAs.FREE}}, None),
        ({"store": {"reminder": 15}, "record": {"lifecycle": Lifecycle.COMPLETED}}, None),
        ({"store": {"reminder": 15}, "record": {"lifecycle": Lifecycle.CANCELED}}, None),
    ],
)
def test_only_what_is_open_and_not_long_past_reminds(facts, reminder):
    assert made_there(**facts).to_server.fields["reminder"] == reminder


# -- R6.22: who is told ----------------------------------------------------------------------------------


@pytest.mark.rule("R6.22")
@pytest.mark.parametrize("fields", [{"when": PAST}, {"when": moved(-DAY - HOUR)}, {"required": ()}])
def test_no_invitation_for_what_has_begun_or_nobody_attends(fields):
    write = made_there(store=fields).to_server
    assert (write.verb, write.tell, write.told) == (Verb.CREATE, Tell.NOBODY, ())


MATTERS = {
    "subject": "Other",
    "body": "More",
    "location": "Room 4",
    "when": moved(HOUR),
    "show_as": ShowAs.OUT_OF_OFFICE,
    "importance": Importance.HIGH,
}


@pytest.mark.rule("R6.22")
@pytest.mark.parametrize("name", MATTERS)
def test_attendees_are_told_of_what_matters_to_them(name):
    write = decide(pair(store={name: MATTERS[name]})).to_server
    assert (write.tell, write.told) == (Tell.ALL, ("ben@example.com",))


@pytest.mark.rule("R6.22")
@pytest.mark.parametrize(
    "changed",
    [{"recurrence": replace(WEEKLY, count=9)}, {"when": replace(WHEN, zone="Asia/Tokyo")}],
)
def test_attendees_of_a_series_are_told_of_its_pattern(changed):
    write = decide(pair(Table.RECURRING_APPOINTMENT, store=changed)).to_server
    assert write.tell is Tell.ALL


@pytest.mark.rule("R6.22")
def test_a_meeting_that_becomes_a_whole_day_is_told():
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    day = When(midnight, midnight + DAY, all_day=True)
    write = decide(pair(store={"when": day})).to_server
    assert write.tell is Tell.ALL


@pytest.mark.rule("R6.22")
@pytest.mark.parametrize(
    "changed",
    [
        {"reminder": 30},
        {"sensitivity": Sensitivity.PRIVATE},
        {"when": replace(WHEN, zone="Asia/Tokyo")},
        {"online_meeting_url": "https://meet.example.com/1"},
    ],
)
def test_nobody_is_told_of_anything_else(changed):
    write = decide(pair(store=changed)).to_server
    assert set(write.fields) == set(changed)
    assert not write.mails


@pytest.mark.rule("R6.22")
def test_all_are_told_when_somebody_need_not_come_any_more():
    base = {"required": (BEN, CLEO)}
    write = decide(
        pair(base=base, server=base, store={"required": (BEN,), "optional": (CLEO,)})
    ).to_server
    assert write.tell is Tell.ALL
    assert write.told == ("ben@example.com", "cleo@example.com")


@pytest.mark.rule("R6.22")
def test_whoever_comes_as_another_kind_of_attendee_is_told_alone():
    base = {"required": (BEN,)}
    write = decide(
        pair(base=base, server=base, store={"required": (), "optional": (CLEO,)})
    ).to_server
    assert write.tell is Tell.CHANGED


@pytest.mark.rule("R6.22")
def test_nobody_is_told_of_what_nobody_attends():
    alone = {"required": ()}
    write = decide(pair(base=alone, server=alone, store=alone | {"subject": "Other"})).to_server
    assert write.fields == {"subject": "Other"}
    assert (write.tell, write.told) == (Tell.NOBODY, ())


@pytest.mark.rule("R6.22")
def test_whoever_comes_or_goes_is_told_and_the_others_are_not():
    base = {"required": (BEN, CLEO)}
    write = decide(
        pair(base=base, server=base, store={"required": (BEN, Person("dan@example.com"))})
    ).to_server
    assert write.tell is Tell.CHANGED
    assert write.told == ("cleo@example.com", "dan@example.com")


@pytest.mark.rule("R6.22")
def test_nobody_is_told_of_a_meeting_that_has_begun():
    running = moved(-DAY - HOUR - HOUR / 2)
    facts = {key: {"when": running} for key in ("base", "server")}
    write = decide(pair(**facts, store={"when": running, "subject": "Other"})).to_server
    assert write.fields == {"subject": "Other"}
    assert not write.mails


def test_a_series_that_began_long_ago_still_tells_while_it_goes_on():
    begun = {
        "when": moved(-21 * DAY),
        "recurrence": replace(WEEKLY, start=PAST.start.date() - 20 * DAY),
    }
    facts = dict.fromkeys(("base", "server"), begun)
    found = pair(Table.RECURRING_APPOINTMENT, **facts, store=begun | {"location": "Room 4"})
    assert decide(found).to_server.tell is Tell.ALL


# -- R6.23: the past -------------------------------------------------------------------------------------


@pytest.mark.rule("R6.23")
def test_past_meetings_are_not_changed_on_the_server():
    past = {key: {"when": PAST} for key in ("base", "server")}
    decision = decide(pair(**past, store={"when": PAST, "subject": "Minutes"}))
    assert not decision.writes
    assert codes(decision) == ["past_meeting"]
    here = decide(
        pair(**past | {"server": {"when": PAST, "subject": "Minutes"}}, store={"when": PAST})
    )
    assert here.to_store.fields == {"subject": "Minutes"}


@pytest.mark.rule("R6.23")
def test_past_meetings_are_changed_where_switched_on():
    past = {key: {"when": PAST} for key in ("base", "server")}
    found = pair(**past, store={"when": PAST, "subject": "Minutes"}, update_past_meetings=True)
    assert decide(found).to_server.fields == {"subject": "Minutes"}


def test_a_past_meeting_that_is_put_off_is_no_past_one():
    past = {key: {"when": PAST} for key in ("base", "server")}
    write = decide(pair(**past)).to_server
    assert write.fields == {"when": WHEN}
    assert write.tell is Tell.ALL


# -- R6.24: drafts ---------------------------------------------------------------------------------------


@pytest.mark.rule("R6.24")
def test_a_draft_waits_until_it_is_sent_where_there_are_drafts():
    draft = {"record": {"draft": True}}
    waiting = made_there(**draft, drafts=True)
    assert not waiting.writes
    assert codes(waiting) == ["draft"]
    assert made_there(**draft).to_server.verb is Verb.CREATE
    again = decide(pair(**draft, store={"subject": "Other"}, drafts=True))
    assert not again.writes
    assert codes(again) == ["draft"]
    sent = decide(pair(store={"subject": "Other"}, drafts=True))
    assert sent.to_server.fields == {"subject": "Other"}


# -- R6.26: somebody is busy -----------------------------------------------------------------------------

BUSY = {"record": {"busy": ("Ben",)}, "server": {"when": moved(HOUR)}}


@pytest.mark.rule("R6.26")
def test_a_busy_party_is_warned_of_and_the_meeting_is_stored():
    decision = decide(pair(**BUSY))
    assert decision.to_store.fields == {"when": moved(HOUR)}
    assert decision.alert == "ExchangeSyncSchedulingConflictsError"
    assert decision.question is None


@pytest.mark.rule("R6.26")
@pytest.mark.parametrize("switches", [{"block_on_conflict": True}, {"settings": PARITY}])
def test_a_busy_party_blocks_until_somebody_decides_where_switched_on(switches):
    asked = decide(pair(**BUSY, **switches))
    assert not asked.writes
    assert asked.question is Question.SCHEDULING_CONFLICT
    question = {"linked": True, "question": Question.SCHEDULING_CONFLICT}
    yes = decide(pair(**BUSY, **switches, link=LinkFacts(**question, answer=Answer.YES)))
    assert yes.to_store.fields == {"when": moved(HOUR)}
    no = decide(pair(**BUSY, **switches, link=LinkFacts(**question, answer=Answer.NO)))
    assert not no.writes
    assert no.question is None


@pytest.mark.rule("R6.26")
def test_tracking_asks_as_well_but_booking_by_the_client_does_not():
    found = without_store(pair(link=NEW, item=TRACKED, block_on_conflict=True), busy=("Ben",))
    assert decide(found).question is Question.SCHEDULING_CONFLICT
    booked = replace(found, link=LinkFacts(started=Started.CLIENT))
    assert decide(booked).to_store.verb is Verb.CREATE


def test_a_change_that_books_nobody_asks_nothing():
    found = pair(record={"busy": ("Ben",)}, server={"subject": "Other"}, block_on_conflict=True)
    assert decide(found).to_store.fields == {"subject": "Other"}


# -- R6.27, R6.28: states --------------------------------------------------------------------------------


@pytest.mark.rule("R6.27")
@pytest.mark.parametrize(
    ("there", "here", "state"),
    [
        (ShowAs.FREE, ShowAs.FREE, Lifecycle.OPEN),
        (ShowAs.WORKING_ELSEWHERE, ShowAs.FREE, Lifecycle.OPEN),
        (ShowAs.TENTATIVE, ShowAs.TENTATIVE, Lifecycle.OPEN),
    ],
)
def test_what_is_free_there_becomes_open_here(there, here, state):
    decision = decide(pair(server={"show_as": there}, record={"lifecycle": Lifecycle.SCHEDULED}))
    assert decision.to_store.fields == {"show_as": here}
    assert decision.to_store.lifecycle is state


@pytest.mark.rule("R6.27")
@pytest.mark.parametrize("state", DONE)
@pytest.mark.parametrize("there", [ShowAs.FREE, ShowAs.WORKING_ELSEWHERE])
def test_what_is_closed_here_stays_so_when_it_is_free_there(state, there):
    decision = decide(
        pair(base={"show_as": ShowAs.BUSY}, server={"show_as": there}, record={"lifecycle": state})
    )
    assert decision.to_store is None


def test_what_is_busy_there_becomes_scheduled_here():
    there = {"base": {"show_as": ShowAs.FREE}, "store": {"show_as": ShowAs.FREE}}
    decision = decide(pair(**there, server={"show_as": ShowAs.BUSY}))
    assert decision.to_store.lifecycle is Lifecycle.SCHEDULED


@pytest.mark.rule("R6.28")
@pytest.mark.parametrize("state", DONE)
def test_changes_there_of_what_is_closed_here_are_ignored(state):
    closed = {"show_as": ShowAs.FREE}
    decision = decide(
        pair(
            base=closed,
            store=closed,
            server=closed | {"subject": "Other", "when": moved(HOUR)},
            record={"lifecycle": state},
        )
    )
    assert not decision.writes
    assert codes(decision) == ["closed_here"]


@pytest.mark.rule("R6.28")
def test_a_change_there_that_is_ignored_wins_no_conflict():
    decision = decide(
        pair(
            base={"show_as": ShowAs.FREE},
            store=Side(meeting(subject="Ours", show_as=ShowAs.FREE), modified_at=NOW),
            server=Side(meeting(subject="Theirs", show_as=ShowAs.FREE), modified_at=NOW + HOUR),
            record={"lifecycle": Lifecycle.COMPLETED},
        )
    )
    assert decision.to_server.fields == {"subject": "Ours"}
    assert [lost.value for lost in decision.lost] == ["Theirs"]


def test_a_meeting_called_off_there_is_canceled_here_once():
    off = decide(pair(server={"is_cancelled": True}))
    assert off.to_store.lifecycle is Lifecycle.CANCELED
    assert off.to_server is None
    opened_again = decide(pair(base={"is_cancelled": True}, server={"is_cancelled": True}))
    assert not opened_again.writes


def test_an_attendees_copy_that_is_called_off_cancels_only_his_own_record():
    invited = {"server": {"is_cancelled": True}, "item": {"organizes": False}}
    owned = decide(pair(**invited, record={"organizes": False, "owned": True}))
    assert owned.to_store.lifecycle is Lifecycle.CANCELED
    of_others = decide(pair(**invited, record={"organizes": False, "owned": False}))
    assert not of_others.writes
    closed = decide(pair(**invited, record={"organizes": False, "writable": False}))
    assert not closed.writes


# -- R6.29, R6.30: meetings of others --------------------------------------------------------------------

INVITED = {
    "item": TRACKED | {"organizes": False, "is_meeting": True},
    "server": {"organizer": CLEO},
}


@pytest.mark.rule("R6.29")
def test_an_attendee_may_track_a_meeting_unless_switched_off():
    assert made_here(**INVITED).to_store.fields["organizer"] == CLEO
    refused = made_here(**INVITED, track_from_non_organizer=False)
    assert not refused.writes
    assert codes(refused) == ["tracked_by_attendee"]


def test_whoever_organizes_a_meeting_may_always_track_it():
    own = {"item": TRACKED | {"is_meeting": True}}
    facts = {"track_from_non_organizer": False}
    assert made_here(**own, **facts).to_store.verb is Verb.CREATE
    own["item"]["organizer_syncs"] = False
    assert made_here(**own, **facts).to_store.verb is Verb.CREATE


@pytest.mark.rule("R6.29")
def test_an_attendee_may_not_track_what_its_organizer_synchronizes_otherwise():
    refused = made_here(**INVITED | {"item": INVITED["item"] | {"organizer_syncs": False}})
    assert codes(refused) == ["organizer_syncs_elsewhere"]


@pytest.mark.rule("R6.30")
def test_an_organizer_without_an_address_takes_the_stored_one_away_unless_switched_on():
    facts = {"item": {"organizes": False}, "record": {"organizes": False}}
    emptied = decide(pair(**facts, server={"organizer": None}))
    assert emptied.to_store.fields == {"organizer": None}
    kept = decide(pair(**facts, server={"organizer": None}, keep_organizer_if_empty=True))
    assert not kept.writes
    assert codes(kept) == ["organizer_kept"]


@pytest.mark.rule("R6.46")
def test_who_is_taken_off_waits_for_approval():
    both = {name: {"required": (BEN, CLEO)} for name in ("base", "store", "server")}
    off = both | {"store": {"required": (BEN,), "subject": "Other"}}
    assert decide(pair(**off)).must_wait
    assert not decide(pair(**off, settings=PARITY)).must_wait
    assert not decide(pair(**both | {"store": {"required": (CLEO,), "optional": (BEN,)}})).must_wait
    assert not decide(pair(store={"required": (BEN, CLEO)})).must_wait
    over = {name: told | {"when": PAST} for name, told in off.items()}
    assert not decide(pair(**over, update_past_meetings=True)).must_wait


# -- R6.32: another organizer ----------------------------------------------------------------------------

HANDED = {"store": {"organizer": CLEO}, "record": {"organizer_before": True, "organizes": False}}
ASKED = {"linked": True, "question": Question.ORGANIZER_CHANGED}


@pytest.mark.rule("R6.32")
def test_another_organizer_is_asked_about_and_nothing_is_done():
    decision = decide(pair(**HANDED))
    assert decision.question is Question.ORGANIZER_CHANGED
    assert not decision.writes
    assert decision.link is LinkTo.KEEP


@pytest.mark.rule("R6.32")
def test_no_leaves_the_meeting_where_it_is_for_good():
    facts = HANDED | {"store": {"organizer": CLEO, "subject": "Other"}}
    decision = decide(pair(**facts, link=LinkFacts(**ASKED, answer=Answer.NO)))
    assert decision.to_server is None
    assert decision.question is None
    said = LinkFacts(linked=True, declined=frozenset({decision.declined}))
    again = decide(pair(**facts, link=said))
    assert again.question is None
    assert again.to_server is None
    another = HANDED | {"store": {"organizer": BEN}}
    assert decide(pair(**another, link=said)).question is Question.ORGANIZER_CHANGED


@pytest.mark.rule("R6.32")
def test_yes_calls_the_former_meeting_off():
    decision = decide(pair(**HANDED, link=LinkFacts(**ASKED, answer=Answer.YES)))
    assert (decision.to_server.verb, decision.to_server.tell) == (Verb.DELETE, Tell.ALL)
    assert decision.to_server.told == ("ben@example.com",)
    assert decision.link is LinkTo.UNLINK
    assert not decision.must_wait


@pytest.mark.rule("R6.32")
def test_the_new_organizer_makes_no_second_meeting_while_the_former_one_has_it():
    waits = made_there(record={"organizer_elsewhere": True})
    assert not waits.writes
    assert codes(waits) == ["organizer_elsewhere"]


@pytest.mark.rule("R6.32")
def test_under_strict_parity_a_change_of_organizer_hands_the_meeting_over_unasked():
    decision = decide(pair(**HANDED, settings=PARITY))
    assert decision.to_server.verb is Verb.DELETE
    assert decision.to_server.tell is Tell.ALL
    new = made_there(record={"organizer_elsewhere": True}, settings=PARITY)
    assert new.to_server.verb is Verb.CREATE


# -- R6.36: private --------------------------------------------------------------------------------------

PRIVATE = {"server": {"sensitivity": Sensitivity.PRIVATE}}


@pytest.mark.rule("R6.36")
def test_a_private_item_is_taken_up_only_if_its_owner_tracks_it():
    assert made_here(**PRIVATE).to_store.verb is Verb.CREATE
    refused = made_here(**PRIVATE, item=TRACKED | {"owns": False})
    assert not refused.writes
    assert codes(refused) == ["private"]


@pytest.mark.rule("R6.36")
def test_a_linked_item_that_becomes_private_is_private_here_as_well():
    """Its words come too: owner and organizer read them, and nobody else any longer."""
    private = decide(pair(server={"sensitivity": Sensitivity.PRIVATE, "body": "Mine"}))
    assert private.to_store.fields == {"sensitivity": Sensitivity.PRIVATE, "body": "Mine"}


@pytest.mark.rule("R6.36a")
def test_a_link_to_an_online_meeting_passes_unchanged():
    link = "https://meet.example.com/l/Meetup?Tenant=1%2F2&Context={a}"
    there = decide(pair(store={"online_meeting_url": link})).to_server
    assert there.fields == {"online_meeting_url": link}
    here = decide(pair(server={"online_meeting_url": link, "body": f"Join: {link}"})).to_store
    assert here.fields == {"online_meeting_url": link, "body": f"Join: {link}"}


def test_the_organizers_other_address_is_no_other_organizer():
    other = Person("ada.bright@example.com")
    decision = decide(pair(store={"organizer": ADA}, server={"organizer": other}))
    assert not decision.writes
    assert decision.base.fields["organizer"] == ADA
