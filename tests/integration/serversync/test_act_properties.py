"""Whatever people, servers and bad luck do to calendars, contacts and tasks, in whatever order: no change is lost,
nothing is doubled, nobody is invited twice.

Each seed draws a course of events for two users who meet each other. Then nothing happens for a while, and what must
hold is looked at. ACT_EXAMPLES=2000 goes through that many, ACT_SEED=7 begins with that one; without them, the same
few each time.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from django.db import connection, transaction

from serversync.act import noting, writing
from tests.integration.serversync.actworld import World
from tests.integration.serversync.cycles import organization

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

EXAMPLES = int(os.environ.get("ACT_EXAMPLES", "0"))
SEED = int(os.environ.get("ACT_SEED", "0"))
FEW = {"sqlite": 10, "postgresql": 2}

Event = tuple[str, int, int, int]

#: What happens, and how often: each with three numbers, which choose whom and what it concerns.
EVENTS = {
    "cycle": 9, "later": 2, "item": 4, "invite": 2, "edit": 4, "reschedule": 1, "touch": 1, "finish_item": 1,
    "remove": 2, "move": 1, "copy": 1, "mark": 2, "unmark": 1, "occurrence": 2, "record": 4, "write": 4,
    "move_record": 1, "status": 2, "delete": 2, "own": 1, "exception": 2, "answer": 2, "batch": 2, "unlink": 1,
    "link_again": 1, "look_again": 1, "look_at_all": 1, "fate": 3, "error": 2, "kill": 3, "forget": 1, "skew": 1,
    "meanwhile": 2,
}  # fmt: skip
BEGINNINGS = ("item", "invite", "record", "record")
NAMES = [name for name, times in EVENTS.items() for _ in range(times)]


def course(seed: int) -> tuple[bool, list[Event]]:
    """Strict parity or not, and what happens."""
    chance = random.Random(seed)
    names = [chance.choice(BEGINNINGS) for _ in range(chance.randint(2, 5))]
    names += chance.choices(["cycle"], k=chance.randint(0, 2))
    for _ in range(chance.randint(2, 9)):
        names += [chance.choice(NAMES), *chance.choices(["cycle", "later"], [3, 1], k=1)][
            : chance.randint(1, 2)
        ]
    return chance.random() < 0.3, [(name, *_numbers(chance)) for name in names]


def _numbers(chance: random.Random) -> tuple[int, int, int]:
    return chance.randint(0, 9), chance.randint(0, 9), chance.randint(0, 9)


@contextmanager
def forgotten() -> Iterator[None]:
    """What a course leaves in the database goes with it."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def small() -> Iterator[None]:
    """Limits so small that every course meets them."""
    organization(track_categorized_items=True, act_items_per_cycle=5, max_act_invitations=3)
    with mock.patch.object(writing, "PAGE", 2), mock.patch.object(noting, "PAGE", 3):
        yield


@pytest.mark.timeout(0 if EXAMPLES else 120)
@pytest.mark.usefixtures("small")
def test_nothing_lost_nothing_doubled_nobody_invited_twice() -> None:
    for seed in range(SEED, SEED + (EXAMPLES or FEW[connection.vendor])):
        parity, events = course(seed)
        try:
            go_through(parity, events)
        except Exception as wrong:
            raise AssertionError(f"ACT_SEED={seed}: {wrong}") from wrong


def go_through(parity: bool, events: list[Event]) -> World:
    with forgotten():
        organization(strict_parity=parity)
        world = World()
        for event in events:
            world.happen(*event)
        world.quiet()
        world.check()
    return world
