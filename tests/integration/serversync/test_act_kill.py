"""A worker that is gone at any statement, request or answer: his successor loses no change, makes nothing twice and
invites nobody again.

Each course is prepared once. Then its cycle is broken at one boundary after the other, each time from the same
beginning, and runs on. ACT_EVERY=1 takes every boundary, without it there are some.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta

import pytest
from django.db import connection

from activities import scheduling
from activities.models import Appointment, Contact, RecurringAppointmentMaster, Task
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS, ItemKind
from serversync.act import batches
from serversync.models import ParkedBatch
from tests.integration.serversync.acts import ActAccount
from tests.integration.serversync.actworld import World
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.test_act_cycle import appointment, contact, held, task
from tests.integration.serversync.test_act_properties import forgotten

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.timeout(900)]

EVERY = int(os.environ.get("ACT_EVERY", "0"))
CLEO = "cleo@customer.example"
Check = Callable[[World], None]


@pytest.fixture
def world() -> World:
    organization(track_categorized_items=True)
    return World()


@contextmanager
def once_more(world: World) -> Iterator[None]:
    """Afterwards all is as it was, here and on the server."""
    names = ("now", "kills", "log", "made", "words", "warranted", "deleted_by_people")
    mine = {name: deepcopy(getattr(world, name)) for name in names}
    theirs = [_state(each) for each in world.accounts]
    with forgotten():
        yield
    for account, state in zip(world.accounts, theirs, strict=True):
        account.account.__dict__.update(state)
    world.__dict__.update(mine)
    world._move_clock(0)


def _state(account: ActAccount) -> dict[str, object]:
    return {name: deepcopy(each) for name, each in vars(account.account).items() if name != "site"}


def break_everywhere(world: World, check: Check) -> int:
    """Of Ada's next cycle. Returns how often it was broken."""
    every = EVERY or (150 if connection.vendor == "postgresql" else 60)
    at, kills = 1, 0
    while True:
        with once_more(world):
            world._run(world.accounts[0], kill_at=at)
            is_over = not world.kills
            world._move_clock(6 * 60)
            world.quiet()
            try:
                check(world)
                world.check()
            except AssertionError as wrong:
                raise AssertionError(world._told(f"broken at {at}: {wrong}")) from wrong
        if is_over:
            return kills
        kills += 1
        at += every


def mails(account: ActAccount) -> Counter[tuple[str, str]]:
    return Counter((mail.what, one) for mail in account.account.mails for one in mail.recipients)


def described(world: World, record: object) -> None:
    """An origin, by which doubles are found."""
    record.description = world._origin("record")
    type(record).objects.filter(pk=record.pk).update(description=record.description)


def test_creations_and_invitations(world: World) -> None:
    ada = world.accounts[0]
    ada.quiet()
    cleo = contact(ada)
    plan = appointment(ada, cleo)
    series = _series(world, ada)
    for record in (cleo, plan, task(ada)):
        described(world, record)
    for each in _some(series, 2):
        scheduling.delete_occurrences({series.pk: [each]}, now=world.now)
    ada.account.add(
        ItemKind.TASK, subject="Offer", body=world._origin("item"), categories=world._category(ada)
    )

    def check(world: World) -> None:
        assert mails(ada)["invitation", CLEO] == 1
        assert len(held(ada, CALENDAR)) == 2
        assert len(held(ada, CONTACTS)) == 1
        assert len(held(ada, TASKS)) == Task.objects.count() == 2

    assert break_everywhere(world, check) > 0


def _series(world: World, account: ActAccount) -> RecurringAppointmentMaster:
    world._make_series(account, 0)
    return RecurringAppointmentMaster.objects.get()


def _some(series: RecurringAppointmentMaster, number: int) -> list:
    begins = series.scheduled_start
    found = list(series.ordinary(begins, begins + timedelta(days=30)))
    return found[1 : 1 + number]


def test_changes_and_what_is_told_of_them(world: World) -> None:
    ada = world.accounts[0]
    cleo = contact(ada)
    plan, series = appointment(ada, cleo), _series(world, ada)
    for record in (cleo, plan):
        described(world, record)
    ada.quiet()
    world.now = ada.now
    Appointment.objects.filter(pk=plan.pk).update(location="Room 2")
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    ada.account.edit(held(ada, CONTACTS)[0].id, department="Sales")
    world._warrant(plan)
    first, second = _some(series, 2)
    whole = scheduling.locked([series.pk])[series.pk]
    scheduling.create(
        [scheduling.exception_of(whole, first, pointer={"subject": "Longer"})], now=world.now
    )
    scheduling.delete_occurrences({series.pk: [second]}, now=world.now)

    def check(world: World) -> None:
        assert mails(ada) == {("invitation", CLEO): 1, ("update", CLEO): 1}
        (item,) = (item for item in held(ada, CALENDAR) if item.kind is ItemKind.SERIES)
        assert item.exceptions[second] is None
        assert item.exceptions[first]["subject"] == "Longer"
        assert Contact.objects.get(pk=cleo.pk).department == "Sales"

    assert break_everywhere(world, check) > 0


def test_deletions_some_of_which_were_approved(world: World) -> None:
    ada = world.accounts[0]
    cleo = contact(ada)
    plan, made = appointment(ada, cleo), task(ada)
    for record in (cleo, plan, made):
        described(world, record)
    item = ada.account.add(
        ItemKind.TASK, subject="Gone", body=world._origin("item"), categories=world._category(ada)
    )
    ada.quiet()
    scheduling.delete([plan.pk], now=ada.now)
    ada.quiet()
    world.now = ada.now
    world._move_clock(60)
    batches.approve(ParkedBatch.objects.get(), actor=world.root, now=world.now)
    scheduling.delete([made.pk], now=world.now)
    ada.account.remove(item)
    world.deleted_by_people |= set(world.made)

    def check(world: World) -> None:
        assert mails(ada) == {("invitation", CLEO): 1, ("cancellation", CLEO): 1}
        assert not held(ada, CALENDAR) + held(ada, TASKS)
        assert not Task.objects.exists()

    assert break_everywhere(world, check) > 0
