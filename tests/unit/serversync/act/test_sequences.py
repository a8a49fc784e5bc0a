"""Whatever people do on both sides, and whatever goes wrong: both sides agree, nothing is lost, nobody is mailed twice.

Hypothesis draws what happens to one record and one item: edits, moves, deletions, exceptions, clocks that are wrong,
writes that fail and answers that never come. Then it is quiet. ACT_SEQUENCES=50000 draws that many, at random; without
it they are the same each time. A failure prints the shortest course that Hypothesis found.
"""

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from mailboxes.protocols.items import FIELDS, Importance, ShowAs, TaskProgress
from serversync.act import fields, meetings, merging, times
from serversync.act.guard import Limits, digest, judge
from serversync.act.reconcile import prepared, reconcile
from serversync.act.types import (
    ActSettings,
    Answer,
    Decision,
    Direction,
    ItemFacts,
    Lifecycle,
    LinkFacts,
    LinkTo,
    Lost,
    Pair,
    RecordFacts,
    Side,
    Table,
    Verb,
    Write,
)
from tests.unit.serversync.act.builders import (
    ADA,
    BEN,
    CLEO,
    EMPTY,
    FIRST,
    HOUR,
    KIND,
    NOW,
    SECOND,
    THIRD,
    WEEKLY,
    moved,
    written,
)

SEQUENCES = int(os.environ.get("ACT_SEQUENCES", "0"))
PROFILE = settings(
    max_examples=SEQUENCES or 500,
    derandomize=not SEQUENCES,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

#: What happens, and how often: each with three numbers that say where, to what, and how.
EVENTS = Counter(
    edit=8, cycle=8, broken=3, lost_answer=3, killed=2, occurrence=5, drop=2, pattern=1, attend=2,
    move=2, close=1, open=1, delete=1, category=1, later=2, skew=1, renew=1,
)  # fmt: skip
number = st.integers(0, 9)
course = st.lists(
    st.tuples(st.sampled_from(sorted(EVENTS.elements())), number, number, number),
    min_size=1,
    max_size=25,
)

TEXTS = {
    Table.APPOINTMENT: ("subject", "location", "body"),
    Table.RECURRING_APPOINTMENT: ("subject", "location", "body"),
    Table.TASK: ("subject", "body"),
    Table.CONTACT: ("job_title", "email1", "body"),
}
CHOICES: dict[Table, tuple[tuple[str, tuple[Any, ...]], ...]] = {
    Table.APPOINTMENT: (
        ("importance", tuple(Importance)),
        ("show_as", (ShowAs.FREE, ShowAs.BUSY, ShowAs.TENTATIVE)),
    ),
    Table.TASK: (
        ("percent_complete", (0, 30, 100)),
        ("status", (TaskProgress.IN_PROGRESS, TaskProgress.WAITING)),
        ("start", (None, NOW.date())),
    ),
    Table.CONTACT: (("birthday", (None, NOW.date())),),
}
CHOICES[Table.RECURRING_APPOINTMENT] = CHOICES[Table.APPOINTMENT]
PEOPLE = ((), (BEN,), (CLEO,), (BEN, CLEO))
ORIGINALS = (FIRST, SECOND, THIRD)
PATTERNS = (WEEKLY, replace(WEEKLY, count=6), replace(WEEKLY, interval=2))
LIMITS = Limits(max_people=50)
STORE, SERVER = "store", "server"


@dataclass
class World:
    """One record, one item, what the link remembers, and a synchronization that may fail.

    `known`: the item's version that the link knows; while it is that one, the item isn't read again.
    """

    table: Table
    store: Side | None = None
    server: Side | None = None
    base: Side | None = None
    link: LinkFacts = field(default_factory=LinkFacts)
    record: RecordFacts = field(default_factory=RecordFacts)
    item: ItemFacts = field(default_factory=ItemFacts)
    now: datetime = NOW - timedelta(days=10)
    skew: timedelta = timedelta()
    texts: int = 0
    version: int = 0
    known: int = -1
    approved: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directions = fields.directions(self.table, {}, ActSettings())
        self.renew()

    def renew(self) -> None:
        self.store = Side(KIND[self.table.kind](), modified_at=self.now)
        self.record = RecordFacts()

    # -- what people do

    def happen(self, event: str, where: int, what: int, how: int) -> None:
        self.now += timedelta(minutes=1)
        getattr(self, f"on_{event}")((STORE, SERVER)[where % 2], what, how)

    def side(self, name: str) -> Side | None:
        return self.store if name == STORE else self.server

    def put(self, name: str, side: Side | None) -> None:
        if side is not None:
            at = self.now + (self.skew if name == SERVER else timedelta())
            side = replace(side, modified_at=at)
        if name == STORE:
            self.store = side
        else:
            self.server = side
            self.version += 1

    def change(self, name: str, **changed: Any) -> None:
        side = self.side(name)
        if side is not None:
            self.put(name, replace(side, fields={**side.fields, **changed}))

    def text(self) -> str:
        """Never the same twice, so that each can be followed."""
        self.texts += 1
        return f"t{self.texts}@example.com"

    def on_edit(self, name: str, what: int, how: int) -> None:
        texts, choices = TEXTS[self.table], CHOICES[self.table]
        if what < 6:
            self.change(name, **{texts[what % len(texts)]: self.text() if how else ""})
            return
        field_, values = choices[what % len(choices)]
        self.change(name, **{field_: values[how % len(values)]})

    def on_attend(self, name: str, what: int, how: int) -> None:
        if self.table.is_meeting:
            required = PEOPLE[what % 4]
            optional = tuple(one for one in PEOPLE[how % 4] if one not in required)
            self.change(name, required=required, optional=optional)

    def on_move(self, name: str, what: int, how: int) -> None:
        if self.table is Table.APPOINTMENT:
            self.change(name, when=moved((what + 1) * HOUR))

    def on_occurrence(self, name: str, what: int, how: int) -> None:
        side, original = self.side(name), ORIGINALS[what % 3]
        if side is None or self.table is not Table.RECURRING_APPOINTMENT:
            return
        if not times.occurs(side.fields, original) or side.occurrences.get(original, {}) is None:
            return
        own = side.occurrences.get(original) or times.regular(side.fields, original)
        changed: dict[str, Any] = {"location": self.text()}
        if how > 5:
            when = own["when"]
            changed = {"when": replace(when, end=when.end + how * HOUR)}
        exceptions = {**side.occurrences, original: {**own, **changed}}
        self.put(name, replace(side, occurrences=exceptions))

    def on_drop(self, name: str, what: int, how: int) -> None:
        side, original = self.side(name), ORIGINALS[what % 3]
        if side is not None and times.occurs(side.fields, original):
            self.put(name, replace(side, occurrences={**side.occurrences, original: None}))

    def on_pattern(self, name: str, what: int, how: int) -> None:
        side = self.side(name)
        if side is not None and self.table is Table.RECURRING_APPOINTMENT:
            pattern = {**side.fields, "recurrence": PATTERNS[what % 3]}
            if pattern["recurrence"] != side.fields["recurrence"]:
                self.put(name, replace(side, fields=pattern, occurrences={}))

    def on_close(self, name: str, what: int, how: int) -> None:
        if self.store is not None and self.table is not Table.CONTACT:
            state = (Lifecycle.COMPLETED, Lifecycle.CANCELED)[what % 2]
            self.record = replace(self.record, lifecycle=state)
            self.put(STORE, self.store)

    def on_open(self, name: str, what: int, how: int) -> None:
        if self.store is not None:
            self.record = replace(self.record, lifecycle=Lifecycle.OPEN)
            if self.table is Table.TASK:
                opened = {"status": TaskProgress.IN_PROGRESS, "percent_complete": 10}
                self.change(STORE, completed=None, **opened)

    def on_delete(self, name: str, what: int, how: int) -> None:
        if how < 3:
            self.put(name, None)

    def on_category(self, name: str, what: int, how: int) -> None:
        if self.server is not None and how < 4:
            self.item = replace(self.item, tracked=bool(what % 2))
            self.version += 1

    def on_later(self, name: str, what: int, how: int) -> None:
        self.now += what * HOUR

    def on_skew(self, name: str, what: int, how: int) -> None:
        self.skew = (what - 5) * HOUR

    def on_renew(self, name: str, what: int, how: int) -> None:
        if self.store is None and self.server is None:
            self.link, self.base = LinkFacts(), None
            self.renew()

    # -- the synchronization, and how it fails

    def on_cycle(self, name: str, what: int, how: int) -> None:
        self.cycle(agree=bool(how % 3))

    def on_killed(self, name: str, what: int, how: int) -> None:
        """After the store was written, before the server was."""
        self.cycle(server="none")

    def on_broken(self, name: str, what: int, how: int) -> None:
        """The server refuses."""
        self.cycle(server="none" if how % 2 else "half")

    def on_lost_answer(self, name: str, what: int, how: int) -> None:
        """The server did it, and nobody heard."""
        self.cycle(server="unheard")

    def pair(self) -> Pair:
        return Pair(
            table=self.table,
            link=self.link,
            base=self.base,
            store=self.store,
            server=self.remembered() or self.server,
            record=self.record,
            item=self.item,
            directions=self.directions,
        )

    def remembered(self) -> Side | None:
        """An item that hasn't changed isn't read: it is what it was when both were equal."""
        unchanged = self.base is not None and self.server is not None and self.known == self.version
        return replace(self.base, modified_at=None) if unchanged and self.base else None

    def cycle(self, server: str = "", *, agree: bool = True) -> Decision:
        """`server`: "none": not written; "half": only a part; "unheard": written without an answer."""
        decision = reconcile(self.pair(), self.now)
        if decision.question is not None:
            self.link = replace(
                self.link,
                question=decision.question,
                answer=Answer.YES if agree else Answer.NO,
            )
            return decision
        verdict = judge({"pair": decision}, 1000, LIMITS, approved=self.approved)
        if verdict.parked:
            self.settle_parked(decision, agree=agree)
            return decision
        self.check_kept(decision)
        self.write_store(decision)
        write = decision.to_server
        if write is not None and server != "none":
            self.write_server(self.half(write) if server == "half" else write)
        if write is None or not server:
            self.finish(decision)
        elif write.verb is Verb.CREATE:
            self.link = replace(self.link, to_server_unknown=True)
        return decision

    def settle_parked(self, decision: Decision, *, agree: bool) -> None:
        if agree:
            self.approved = {"pair": digest(decision)}
        else:
            self.link = replace(self.link, declined=self.link.declined | {digest(decision)})

    def half(self, write: Write) -> Write:
        """The series was written, its occurrences weren't."""
        return replace(write, occurrences={}, tells={}) if write.occurrences else write

    def write_store(self, decision: Decision) -> None:
        write = decision.to_store
        if write is None:
            return
        if write.verb is Verb.CREATE:
            self.record = RecordFacts()
        if write.lifecycle is not None:
            self.record = replace(self.record, lifecycle=write.lifecycle)
        self.put(STORE, written(self.store, write))

    def write_server(self, write: Write) -> None:
        made = Side(new_item(self.table)) if write.verb is Verb.CREATE else self.server
        before = self.server
        self.put(SERVER, written(made, write))
        assert write.verb is not Verb.CREATE or before is None, "made twice"
        if write.mails:
            assert self.told_of(before) != self.told_of(self.server), f"{write.told} twice"

    def finish(self, decision: Decision) -> None:
        """Both sides hold what was decided."""
        self.approved = {}
        parted = decision.link is LinkTo.UNLINK
        if decision.link is LinkTo.FORGET:
            self.link, self.base = LinkFacts(), None
            return
        if parted:
            self.link = LinkFacts(unlinked=True, was_tracked=self.item.tracked)
            self.base = None
        elif decision.base is not None:
            self.link = LinkFacts(
                linked=True, was_tracked=self.item.tracked, declined=self.link.declined
            )
            self.base, self.known = decision.base, self.version
        if decision.differs:
            self.known = -1

    # -- what must hold

    def told_of(self, side: Side | None) -> Any:
        """What attendees know of it. Whoever is mailed although it is the same is mailed twice."""
        if side is None:
            return None
        matters = {name: merging.plain(side.fields.get(name)) for name in meetings.TOLD_OF}
        return matters, meetings.is_cancelled(side), side.occurrences

    def check_kept(self, decision: Decision) -> None:
        """What is written over was known to both, or is kept as lost."""
        pair = prepared(self.pair(), self.now)
        for name, write in ((STORE, decision.to_store), (SERVER, decision.to_server)):
            side = pair.store if name == STORE else pair.server
            if write is None or side is None or write.verb is Verb.CREATE:
                continue
            known = self.base.fields if self.base else {}
            gone = write.verb is Verb.DELETE
            for each in known if gone and self.base else write.fields:
                value = side.fields.get(each)
                lost = Lost(each, value, write.fields.get(each), name)
                if self.directions.get(each) is Direction.BOTH:
                    assert merging.same(value, known.get(each)) or lost in decision.lost, each
            for original, own in write.occurrences.items():
                self.check_occurrence(decision, name, side, original, own)

    def check_occurrence(
        self, decision: Decision, name: str, side: Side, original: datetime, own: Any
    ) -> None:
        shown = side.occurrences.get(original)
        if shown is None or self.base is None:
            return
        plain = times.regular(self.base.fields, original)
        known = {**plain, **(self.base.occurrences.get(original) or {})}
        lost = {
            each.name for each in decision.lost if (each.original, each.side) == (original, name)
        }
        for each in own if own is not None else ("location",):
            same = merging.same(shown.get(each), known.get(each))
            back = own is not None and merging.same(shown.get(each), own[each])
            assert same or back or each in lost, (original, each)

    def rest(self) -> None:
        """Two quiet cycles, however often somebody has to agree to something; the third writes nothing."""
        self.known = -1
        for _ in range(2):
            while self.asks():
                self.cycle()
            self.cycle()
        last = reconcile(self.pair(), self.now)
        assert not last.writes, last
        assert last.question is None, last
        if self.link.linked:
            self.check_equal(last)

    def asks(self) -> bool:
        decision = reconcile(self.pair(), self.now)
        parked = judge({"pair": decision}, 1000, LIMITS, approved=self.approved).parked
        return decision.question is not None or bool(parked)

    def check_equal(self, last: Decision) -> None:
        if last.differs:
            assert HELD.intersection(reason.code for reason in last.reasons), last.reasons
            return
        self.known = -1
        pair = prepared(self.pair(), self.now)
        assert pair.store is not None and pair.server is not None
        for name, way in self.directions.items():
            if way is Direction.BOTH and name in pair.store.fields and name in pair.server.fields:
                here, there = pair.store.fields[name], pair.server.fields[name]
                assert merging.same(here, there), f"{name}: {here!r}, {there!r}"
        for original in set(pair.store.occurrences) | set(pair.server.occurrences):
            if times.occurs(pair.store.fields, original):
                self.check_alike(pair, original)

    def check_alike(self, pair: Pair, original: datetime) -> None:
        shown = []
        for side in (pair.store, pair.server):
            assert side is not None
            own = side.occurrences.get(original, {})
            shown.append(None if own is None else {**times.regular(side.fields, original), **own})
        here, there = shown
        assert (here is None) is (there is None), original
        for name in ("subject", "location", "when", "required", "optional"):
            if here is not None and there is not None:
                assert merging.same(here[name], there[name]), (original, name)


def new_item(table: Table) -> dict[str, Any]:
    """What a server keeps of an item of which nobody said anything."""
    blank = {name: EMPTY.get(shape) for name, shape in FIELDS[table.kind].items()}
    return blank | ({"organizer": ADA} if table.is_meeting else {})


#: What keeps two sides apart for good.
HELD = {
    "declined",
    "closed_here",
    "canceled_there",
    "occurrence_gone",
    "not_ahead",
    "over",
    "past_meeting",
}


@pytest.mark.rule("R6.52", "R6.53")
@pytest.mark.parametrize("table", TEXTS, ids=lambda table: table.name.lower())
def test_after_two_quiet_cycles_both_sides_agree_and_the_third_writes_nothing(table):
    @PROFILE
    @given(course)
    def run(events):
        world = World(table)
        for event in events:
            note(str(event))
            world.happen(*event)
        world.rest()

    run()
