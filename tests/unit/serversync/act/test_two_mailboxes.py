"""One record, two mailboxes: the organizer's, and that of an attendee who is a user, too.

What the organizer's copy is told, the server passes on to the attendee's; what the attendee changes in his own copy stays
his. ACT_SEQUENCES draws more courses of events, as in `test_sequences`.
"""

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from mailboxes.protocols.items import ShowAs
from serversync.act import fields, merging
from serversync.act.reconcile import reconcile
from serversync.act.types import (
    ActSettings,
    Decision,
    Direction,
    ItemFacts,
    LinkFacts,
    Pair,
    RecordFacts,
    Side,
    Table,
)
from tests.unit.serversync.act.builders import (
    BEN,
    HOUR,
    NOW,
    accepted,
    codes,
    decide,
    meeting,
    moved,
    pair,
    written,
)

SEQUENCES = int(os.environ.get("ACT_SEQUENCES", "0"))
PROFILE = settings(
    max_examples=SEQUENCES or 200,
    derandomize=not SEQUENCES,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
EVENTS = Counter(
    edit_record=4, edit_organizers=4, edit_attendees=4, status=3, answer=2, move=2, cycle=8,
    pass_on=4, later=1,
)  # fmt: skip
number = st.integers(0, 9)
course = st.lists(
    st.tuples(st.sampled_from(sorted(EVENTS.elements())), number), min_size=1, max_size=25
)
#: What an invitation carries.
SHARED = ("subject", "location", "body", "when", "required", "optional", "importance")
WAYS = fields.directions(Table.APPOINTMENT, {}, ActSettings())


@dataclass
class Box:
    """One mailbox with its copy, and what its link remembers."""

    copy: Side
    organizes: bool
    base: Side | None = None
    linked: bool = False


@dataclass
class Shared:
    """`waiting`: invitations that are under way to the attendee."""

    record: Side = field(default_factory=lambda: Side(meeting(), modified_at=NOW))
    now: datetime = NOW
    texts: int = 0
    waiting: list[dict[str, Any]] = field(default_factory=list)
    mails: int = 0
    private: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.organizer = Box(Side(meeting(), modified_at=NOW), organizes=True)
        self.attendee = Box(Side(meeting(), modified_at=NOW), organizes=False)

    def happen(self, event: str, what: int) -> None:
        self.now += timedelta(minutes=1)
        getattr(self, f"on_{event}")(what)

    def changed(self, side: Side, **new: Any) -> Side:
        return replace(side, fields={**side.fields, **new}, modified_at=self.now)

    def text(self) -> str:
        self.texts += 1
        return f"t{self.texts}"

    def on_edit_record(self, what: int) -> None:
        self.record = self.changed(self.record, **{("subject", "location")[what % 2]: self.text()})

    def on_edit_organizers(self, what: int) -> None:
        new = {("subject", "location")[what % 2]: self.text()}
        self.organizer.copy = self.changed(self.organizer.copy, **new)
        self.send()

    def on_edit_attendees(self, what: int) -> None:
        """A note of his own, which Outlook lets him make."""
        text = self.text()
        self.private.add(text)
        new = {("subject", "location")[what % 2]: text}
        self.attendee.copy = self.changed(self.attendee.copy, **new)

    def on_status(self, what: int) -> None:
        """He shows the time in his own way."""
        status = (ShowAs.TENTATIVE, ShowAs.FREE, ShowAs.OUT_OF_OFFICE)[what % 3]
        self.attendee.copy = self.changed(self.attendee.copy, show_as=status, reminder=what)

    def on_answer(self, what: int) -> None:
        self.organizer.copy = self.changed(self.organizer.copy, answers=accepted(BEN))

    def on_move(self, what: int) -> None:
        when = moved((what + 1) * HOUR)
        if what % 2:
            self.record = self.changed(self.record, when=when)
        else:
            self.organizer.copy = self.changed(self.organizer.copy, when=when)
            self.send()

    def on_later(self, what: int) -> None:
        self.now += what * HOUR / 10

    def send(self) -> None:
        """The server tells the attendee."""
        self.waiting.append({name: self.organizer.copy.fields[name] for name in SHARED})

    def on_pass_on(self, what: int) -> None:
        if self.waiting:
            self.attendee.copy = self.changed(self.attendee.copy, **self.waiting.pop(0))

    def on_cycle(self, what: int) -> None:
        self.cycle((self.organizer, self.attendee)[what % 2])

    def pair(self, box: Box) -> Pair:
        other = self.attendee if box is self.organizer else self.organizer
        return Pair(
            table=Table.APPOINTMENT,
            link=LinkFacts(linked=box.linked),
            base=box.base,
            store=self.record,
            server=box.copy,
            record=RecordFacts(
                organizes=box.organizes,
                owned=box.organizes,
                organizer_elsewhere=other.organizes and other.linked,
            ),
            item=ItemFacts(organizes=box.organizes, is_meeting=True),
            directions=WAYS,
        )

    def cycle(self, box: Box) -> Decision:
        decision = reconcile(self.pair(box), self.now)
        self.record = replace(written(self.record, decision.to_store), modified_at=self.now)
        write = decision.to_server
        if write is not None:
            assert box.organizes, write
            box.copy = replace(written(box.copy, write), modified_at=self.now)
            if write.mails:
                self.mails += 1
                self.send()
        if decision.base is not None:
            box.base, box.linked = decision.base, True
        return decision

    def rest(self) -> None:
        for _ in range(2):
            self.cycle(self.organizer)
            while self.waiting:
                self.on_pass_on(0)
            self.cycle(self.attendee)
        mails, record = self.mails, self.record.fields
        last = [self.cycle(self.organizer), self.cycle(self.attendee)]
        assert not any(decision.writes for decision in last), last
        assert (mails, record) == (self.mails, self.record.fields)


@pytest.mark.rule("R6.20", "R6.29", "R6.53")
def test_two_mailboxes_agree_and_the_attendee_changes_nobodys_meeting():
    @PROFILE
    @given(course)
    def run(events):
        world = Shared()
        world.cycle(world.organizer)
        for event in events:
            note(str(event))
            world.happen(*event)
        world.rest()
        here, there = world.record.fields, world.organizer.copy.fields
        for name, way in WAYS.items():
            if way is Direction.BOTH and name in here:
                assert merging.same(here[name], there[name]), name
        seen = {str(here["subject"]), str(here["location"])}
        assert not seen & world.private

    run()


@pytest.mark.rule("R6.29")
def test_an_attendees_copy_changes_the_record_only_where_the_organizers_is_not_linked():
    facts = {"item": {"organizes": False}, "server": {"subject": "Mine"}}
    alone = decide(pair(**facts, record={"organizes": False}))
    assert alone.to_store.fields == {"subject": "Mine"}
    beside = decide(pair(**facts, record={"organizes": False, "organizer_elsewhere": True}))
    assert not beside.writes
    assert codes(beside) == ["organizer_decides"]
