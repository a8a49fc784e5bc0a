"""What an undo means for the next decision about its pair."""

import pytest

from mailboxes.protocols.items import Person, Tell
from serversync.act.types import (
    Decision,
    ItemFacts,
    LinkFacts,
    LinkTo,
    Pair,
    Side,
    Table,
    Verb,
    Write,
)
from serversync.act.undoing import KEEP, REMOVE, adjusted

SIDE = Side({"required": (Person("ben@example.com"),), "optional": (Person("ada@example.com"),)})
SILENT = Write(verb=Verb.UPDATE, fields={"subject": "Plan"})
LOUD = Write(verb=Verb.UPDATE, fields={"subject": "Plan"}, tell=Tell.ALL)


def pair(server: Side | None = SIDE, **item) -> Pair:
    return Pair(
        table=Table.APPOINTMENT, link=LinkFacts(linked=True), base=SIDE, store=SIDE,
        server=server, item=ItemFacts(**item),
    )  # fmt: skip


def test_where_nothing_was_undone_nothing_changes():
    decision = Decision(to_server=LOUD)
    assert adjusted(decision, None, pair()) is decision


@pytest.mark.parametrize(("write", "waits"), [(LOUD, True), (SILENT, False), (None, False)])
def test_what_would_mail_anybody_waits(write, waits):
    found = adjusted(Decision(to_server=write), KEEP, pair())
    assert (found.to_server, found.must_wait) == (write, waits)
    assert [reason.code for reason in found.reasons] == ["undone"]


def test_what_waits_anyway_goes_on_waiting():
    assert adjusted(Decision(to_server=SILENT, must_wait=True), KEEP, pair()).must_wait


def test_an_item_that_we_made_goes_and_its_attendees_are_told_after_approval():
    found = adjusted(Decision(), REMOVE, pair(is_meeting=True, organizes=True))
    assert (found.link, found.to_server.verb) == (LinkTo.UNLINK, Verb.DELETE)
    assert found.to_server.told == ("ada@example.com", "ben@example.com")
    assert found.must_wait


def test_an_item_without_attendees_goes_silently():
    found = adjusted(Decision(), REMOVE, pair())
    assert (found.to_server.tell, found.must_wait) == (Tell.NOBODY, False)


def test_what_is_gone_already_is_decided_as_ever():
    decision = Decision(link=LinkTo.FORGET)
    assert adjusted(decision, REMOVE, pair(server=None)).link is LinkTo.FORGET
