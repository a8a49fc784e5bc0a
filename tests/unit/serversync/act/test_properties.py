"""Whatever both sides and the link hold: a decision is the last one, and loses nothing without a word.

Each seed is a pair: any table, any facts, any settings, any past. ACT_EXAMPLES=100000 draws that many, beginning
anywhere; without it they are the same each time. A failure prints its seed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random, SystemRandom
from typing import Any

import pytest

from mailboxes.protocols.items import Importance, ItemKind, Sensitivity, ShowAs, TaskProgress
from serversync.act import fields, merging
from serversync.act.fitting import fitted
from serversync.act.reconcile import prepared, reconcile
from serversync.act.series import PATTERN
from serversync.act.times import OF_SERIES
from serversync.act.types import (
    ActSettings,
    Answer,
    Decision,
    Direction,
    ItemFacts,
    Lifecycle,
    LinkFacts,
    LinkTo,
    Pair,
    Question,
    RecordFacts,
    Side,
    Started,
    Table,
    Verb,
    Write,
)
from tests.unit.serversync.act.builders import (
    ADA,
    AT_TEN,
    BEN,
    CLEO,
    DAY,
    HOUR,
    KIND,
    NOW,
    PARITY,
    WEEKLY,
    WHEN,
    check_quiet,
    moved,
)

EXAMPLES = int(os.environ.get("ACT_EXAMPLES", "0"))
FIRST_SEED = SystemRandom().randrange(2**32) if EXAMPLES else 0
SEEDS = range(FIRST_SEED, FIRST_SEED + (EXAMPLES or 2000))

WEEK = timedelta(days=7)
#: Some values of some fields; any other field is the same on both sides.
VALUES: dict[str, tuple[Any, ...]] = {
    "subject": ("Plan", "Talk", ""),
    "body": ("", "one\ntwo", "three"),
    "location": ("", "Room 4", "Room 5"),
    "importance": tuple(Importance),
    "sensitivity": tuple(Sensitivity),
    "show_as": tuple(ShowAs),
    "when": (
        WHEN,
        moved(HOUR),
        moved(-3 * WEEK),
        moved(2 * WEEK),
        replace(WHEN, zone="Asia/Tokyo"),
    ),
    "required": ((BEN,), (BEN, CLEO), ()),
    "optional": ((), (CLEO,)),
    "organizer": (ADA, ADA, BEN, None),
    "reminder": (None,),
    "is_cancelled": (False, True),
    "recurrence": (WEEKLY, replace(WEEKLY, count=3), replace(WEEKLY, interval=2)),
    "start": (None, NOW.date()),
    "due": (None, NOW.date() + DAY, NOW.date() - 5 * DAY),
    "completed": (None, NOW.date() - DAY, NOW.date() + DAY),
    "percent_complete": (0, 50, 100),
    "status": tuple(TaskProgress),
    "is_recurring": (False, True),
    "job_title": ("", "Cook", "Chef"),
    "email1": ("", "ben@example.com"),
    "display_name": ("Ben Bright", "Bright, Ben"),
    "birthday": (None, NOW.date()),
}
RARE = {"is_cancelled", "is_recurring", "sensitivity"}
TOGETHER = {"start", "due", "status", "completed", "percent_complete"}
ORIGINALS = [AT_TEN + number * WEEK for number in (-2, 0, 1, 2)]


def pair_of(seed: int) -> Pair:
    return Draw(Random(seed)).pair()


class Draw:
    """One pair, by the dice."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.table = self._one(*Table, *[Table.APPOINTMENT] * 3, *[Table.RECURRING_APPOINTMENT] * 4)

    def pair(self) -> Pair:
        link, chosen = self._link(), self._settings()
        ways = self._directions(chosen)
        first = self._side(self._usual(), anything=True)
        base = replace(self._changed(first), fields=first.fields)
        known = {
            name: value
            for name, value in base.fields.items()
            if ways.get(name) or name == "is_cancelled"
        }
        store = self._changed(base) if self._often(0.9) else None
        server = self._changed(base) if self._often(0.9) else None
        return Pair(
            table=self.table,
            link=link,
            base=replace(base, fields=known) if self._often(0.95 if link.linked else 0.3) else None,
            store=store,
            server=server,
            record=self._record(link.linked, store) if store else RecordFacts(),
            item=self._item(server),
            directions=ways,
            settings=chosen,
        )

    def _one(self, *options: Any) -> Any:
        return self.random.choice(options)

    def _often(self, probability: float) -> bool:
        return self.random.random() < probability

    def _usual(self) -> dict[str, Any]:
        """Calls, letters and faxes have no percentage."""
        usual = KIND[self.table.kind]()
        if self.table.kind is ItemKind.TASK and self.table is not Table.TASK:
            del usual["percent_complete"]
        return usual

    def _side(self, known: dict[str, Any], *, anything: bool = False) -> Side:
        changed = {
            name: self._one(*VALUES[name])
            for name in known
            if name in VALUES and self._often((0.03 if name in RARE else 0.2) + anything * 0.1)
        }
        told = fitted(self.table, {**known, **changed}).fields
        told = {name: value for name, value in told.items() if name in known}
        return Side(told, modified_at=self._one(None, NOW, NOW - HOUR, NOW - DAY))

    def _changed(self, base: Side) -> Side:
        side = self._side(dict(base.fields)) if self._often(0.7) else base
        if self.table is not Table.RECURRING_APPOINTMENT:
            return side
        return replace(side, occurrences=self._occurrences(side))

    def _occurrences(self, side: Side) -> dict[Any, Any]:
        """What isn't like the others, whole."""
        told: dict[Any, Any] = {}
        plain = {name: side.fields[name] for name in side.fields.keys() - OF_SERIES}
        for original in ORIGINALS:
            if self._often(0.3):
                own = {
                    name: self._one(*VALUES[name])
                    for name in ("subject", "location", "show_as", "required")
                    if self._often(0.4)
                }
                when = moved(original - AT_TEN + self._one(timedelta(), HOUR))
                told[original] = self._one(None, {**plain, "when": when, **own})
        return told

    def _link(self) -> LinkFacts:
        linked = self._often(0.75)
        return LinkFacts(
            linked=linked,
            unlinked=not linked and self._often(0.3),
            started=self._one(*Started),
            question=self._one(None, None, *Question),
            answer=self._one(*Answer),
            was_tracked=self._often(0.5),
            to_server_unknown=self._often(0.1),
        )

    def _record(self, linked: bool, side: Side) -> RecordFacts:
        organizer = side.fields.get("organizer")
        return RecordFacts(
            lifecycle=self._one(*Lifecycle, Lifecycle.SCHEDULED),
            matches=self._often(0.9),
            readable=self._often(0.95),
            writable=self._often(0.9),
            owned=self._often(0.7),
            organizes=organizer == ADA,
            has_organizer=organizer is not None,
            organizer_before=linked and self._often(0.5),
            organizer_elsewhere=self._often(0.1),
            draft=self._often(0.1),
            busy=self._one((), (), ("Ben",)),
        )

    def _item(self, side: Side | None) -> ItemFacts:
        return ItemFacts(
            tracked=self._often(0.7),
            owns=self._often(0.9),
            in_main_calendar=self._often(0.9),
            organizes=side is None or side.fields.get("organizer") == ADA,
            is_meeting=self._often(0.5),
            copy_of_linked=self._often(0.05),
            organizer_syncs=self._often(0.8),
        )

    def _settings(self) -> ActSettings:
        names = [name for name in ActSettings.__dataclass_fields__ if name != "max_attempts"]
        switched = {name: self._often(0.5) for name in names}
        return self._one(ActSettings(), PARITY, ActSettings(**switched))

    def _directions(self, chosen: ActSettings) -> dict[str, Direction]:
        """What depends on each other goes the same way; else one would follow the other a cycle later (R6.37
        to R6.39)."""
        overrides = {
            mapping.key: self._one(*Direction)
            for mapping in fields.MAPPINGS[self.table]
            if mapping.name not in TOGETHER and self._often(0.1)
        }
        return fields.directions(self.table, overrides, chosen)


# -- what holds for all of them ------------------------------------------------------------------------


@pytest.fixture(scope="module", params=range(8))
def drawn(request):
    """A part of all pairs, with what is decided about each."""
    return [
        (seed, found := pair_of(seed), reconcile(found, NOW)) for seed in SEEDS[request.param :: 8]
    ]


def test_a_decision_carried_out_leaves_nothing_to_decide(drawn):
    for seed, found, decision in drawn:
        with seeded(seed):
            check_quiet(found, decision)


def test_only_a_decision_about_linked_pairs_remembers_what_both_hold(drawn):
    """Whoever carries it out takes a base for a link."""
    for seed, found, decision in drawn:
        with seeded(seed):
            parts = decision.link in (LinkTo.UNLINK, LinkTo.FORGET)
            stays_apart = decision.link is LinkTo.KEEP and not found.link.linked
            assert (decision.base is None) or not (parts or stays_apart)
            assert decision.base is not None or decision.link is not LinkTo.LINK


def test_nothing_is_overwritten_that_the_other_side_never_saw(drawn):
    for seed, found, decision in drawn:
        after = prepared(found, NOW)
        for name in ("store", "server"):
            write, side = getattr(decision, f"to_{name}"), getattr(after, name)
            if write is not None and side is not None and write.verb is Verb.UPDATE:
                with seeded(seed):
                    check_kept(after, decision, name, write, side)


def check_kept(found: Pair, decision: Decision, name: str, write: Write, side: Side) -> None:
    base = found.base.fields if found.base else {}
    lost = {each.name for each in decision.lost if each.side == name and each.original is None}
    for field in write.fields:
        value, both = side.fields[field], found.directions[field] is Direction.BOTH
        unseen = not merging.same(value, base.get(field))
        assert not (unseen and both) or field in lost, f"{field} of the {name}: {value!r}"


def test_no_direction_means_no_word_of_it(drawn):
    for seed, found, decision in drawn:
        for name in ("store", "server"):
            write = getattr(decision, f"to_{name}")
            if write is None:
                continue
            rewritten = PATTERN & write.fields.keys()  # exceptions are given back as they were
            for own in [write.fields, *([] if rewritten else write.occurrences.values())]:
                for field in own or ():
                    with seeded(seed):
                        assert getattr(found.directions[field], f"reaches_{name}"), field


def test_nobody_is_mailed_but_by_the_organizer(drawn):
    for seed, found, decision in drawn:
        write = decision.to_server
        if write is not None and write.mails:
            with seeded(seed):
                handed_over = write.verb is Verb.DELETE and found.record.organizer_before
                assert write.told
                assert found.table is not Table.SERVICE_APPOINTMENT
                assert found.record.organizes or handed_over
        assert decision.to_store is None or not decision.to_store.mails


def test_a_cancellation_waits_unless_somebody_decided_it(drawn):
    for seed, found, decision in drawn:
        write = decision.to_server
        if write is None or write.verb not in (Verb.DELETE, Verb.CANCEL) or not write.mails:
            continue
        answered = found.link.question is Question.ORGANIZER_CHANGED
        free = answered or found.settings.transfer_organizer
        with seeded(seed):
            assert decision.must_wait or free or not found.settings.ask_before_cancelling


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Says with which seed it failed."""
    try:
        yield
    except AssertionError as failure:
        failure.add_note(f"The pair is pair_of({seed}).")
        raise
