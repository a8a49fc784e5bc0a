"""Calendars, contacts and tasks of the quick start, on both sides, and what happens to them.

Three users of the Exchange server:
    Fay   organizes a meeting and a series with an exception, and has another series there; the first synchronization
          would make many items, which somebody approves
    Gil   is invited; his tasks and calls go to the server; one contact is changed on both sides, one looks like two
    Ina   has many contacts; her first synchronization waits for somebody to look at it
"""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from activities import scheduling
from activities.choices import ActivityType, ParticipationType
from activities.models import Contact
from activities.scheduling import NewActivity
from activities.store import NewParty
from mailboxes.choices import Reach
from mailboxes.models import GroupReach, Organization, SystemUser
from mailboxes.recurrence import Pattern, Recurrence, Weekday
from serversync import marks
from serversync.act import batches
from serversync.act.choices import BatchState
from serversync.models import ExchangeSyncIdMapping, ParkedBatch
from serversync.sandbox import seeds
from serversync.sandbox.ews.exchange import Exchange
from serversync.sandbox.servers import Sandbox

PLANNED_NOTE = "planned"
WENT_ON_NOTE = "planned:went on"
PLANNERS = (seeds.FAY, seeds.GIL, seeds.INA)
ZONE = "Europe/Berlin"
GROUP = "Records of their own"
TABLES = "account appointment contact fax letter phonecall recurringappointmentmaster serviceappointment task"
TASKS = 12
CONTACTS = 14
FIRST_NAMES = ("Otto", "Paula", "Quinn", "Rosa", "Sven", "Tilda", "Uwe")


def prepare(users: dict[str, SystemUser]) -> None:
    """They may work with records of their own."""
    group, made = Group.objects.get_or_create(name=GROUP)
    if made:
        theirs = Permission.objects.filter(
            content_type__app_label="activities", content_type__model__in=TABLES.split()
        )
        group.permissions.set(theirs)
        GroupReach.objects.create(group=group, reach=Reach.OWN)
    for address in PLANNERS:
        users[address].groups.add(group)


# -- before the first synchronization ----------------------------------------------------------------


@transaction.atomic
def fill(sandbox: Sandbox, now: datetime) -> None:
    """Both sides, once for a sandbox."""
    if sandbox.store.note(PLANNED_NOTE):
        return
    people = {
        address: SystemUser.objects.get(internal_email_address=address) for address in PLANNERS
    }
    with sandbox.exchange.store.writing():
        _fill_server(sandbox.exchange, people, now)
    _fill_store(people, now)
    sandbox.store.set_note(PLANNED_NOTE, "1")


def _fill_server(exchange: Exchange, people: dict[str, SystemUser], now: datetime) -> None:
    fay, gil = seeds.FAY, seeds.GIL
    tracked = [marks.category(people[fay].default_mailbox, Organization.objects.current()).name]
    monday = _monday(now)
    exchange.add(
        fay,
        "CalendarItem",
        subject="Dentist",
        sensitivity="Private",
        **_between(_at(monday, 8, 30), 45),
    )
    visit = _between(_at(monday + timedelta(days=2), 14), 90)
    exchange.add(
        fay,
        "CalendarItem",
        subject="Visit to Customer Ltd",
        location="Their office",
        required_attendees=[gil, seeds.RITA],
        categories=tracked,
        tell=True,
        **visit,
    )
    review = exchange.add(
        fay,
        "CalendarItem",
        subject="Weekly review",
        location="Room 2",
        recurrence=_weekly(monday + timedelta(days=3), 8),
        categories=tracked,
        **_between(_at(monday + timedelta(days=3), 9), 30),
    )
    third = _between(_at(monday + timedelta(days=18), 11), 30)
    exchange.change(exchange.occurrence(review, 3), subject="Weekly review, on Friday", **third)
    exchange.delete(exchange.occurrence(review, 5))
    for number in range(1, TASKS + 1):
        exchange.add(
            fay,
            "Task",
            subject=f"Prepare offer {number}",
            due_date=(monday + timedelta(days=number)).date(),
            categories=tracked,
        )
    for telephone in ("1", "2"):
        exchange.add(
            gil,
            "Contact",
            given_name="Wanda",
            surname="Example",
            email_addresses={"EmailAddress1": "wanda@newcomer.example"},
            phone_numbers={"BusinessPhone": telephone},
        )


def _fill_store(people: dict[str, SystemUser], now: datetime) -> None:
    fay, gil, ina = (people[address] for address in PLANNERS)
    rita = Contact.objects.get(email_address1=seeds.RITA)
    _contacts(gil, ("Vera", "Wanda"))
    _contacts(fay, ("Xaver", "Yuna"))
    _contacts(ina, [f"{name} {number}" for number in (1, 2) for name in FIRST_NAMES][:CONTACTS])
    monday = _monday(now)
    kickoff = _held(_at(monday + timedelta(days=1), 10), 60) | {"location": "Room 1"}
    rows = [
        _meeting(fay, "Kick-off", kickoff, gil, rita),
        NewActivity(
            kind=ActivityType.TASK,
            subject="Send the samples",
            fields={"scheduled_end": _at(monday + timedelta(days=3), 12), "percent_complete": 50},
            owning_user_id=gil.pk,
        ),
        NewActivity(
            kind=ActivityType.PHONE_CALL,
            subject="Ask about the delivery",
            fields={"scheduled_end": _at(monday + timedelta(days=1), 16), "phone_number": "1"},
            owning_user_id=gil.pk,
        ),
        NewActivity(
            kind=ActivityType.LETTER,
            subject="Thank them for the order",
            fields={"scheduled_end": _at(monday + timedelta(days=5), 12)},
            owning_user_id=gil.pk,
        ),
    ]
    team_call = NewActivity(
        kind=ActivityType.RECURRING_APPOINTMENT,
        subject="Team call",
        fields={
            "recurrence": _weekly(monday + timedelta(days=4), 6),
            "start_time": time(9),
            "duration": 30,
            "time_zone": ZONE,
        },
        owning_user_id=gil.pk,
        parties=_parties(gil, fay),
    )
    _written([*rows, team_call], now)
    whole = scheduling.locked([team_call.id])[team_call.id]
    second = _at(monday + timedelta(days=11), 9)
    moved = _held(second + timedelta(hours=2), 60)
    _written([scheduling.exception_of(whole, second, fields=moved)], now)


def _written(rows: list[NewActivity], now: datetime) -> None:
    scheduling.create(rows, now=now).or_raise()


def _contacts(owner: SystemUser, names: Any) -> None:
    for name in names:
        Contact.objects.create(
            first_name=name,
            last_name="Example",
            email_address1=f"{name.lower().replace(' ', '.')}@newcomer.example",
            owning_user=owner,
        )


def _meeting(owner: SystemUser, subject: str, fields: dict[str, Any], *others: Any) -> NewActivity:
    return NewActivity(
        kind=ActivityType.APPOINTMENT,
        subject=subject,
        fields=fields,
        owning_user_id=owner.pk,
        parties=_parties(owner, *others),
    )


def _parties(organizer: SystemUser, *others: Any) -> list[NewParty]:
    return [
        _party(ParticipationType.ORGANIZER, 0, organizer),
        *(
            _party(ParticipationType.REQUIRED_ATTENDEE, position, other)
            for position, other in enumerate(others)
        ),
    ]


def _party(role: ParticipationType, position: int, record: Any) -> NewParty:
    return NewParty(
        role=role,
        position=position,
        address=getattr(record, "internal_email_address", "")
        or getattr(record, "email_address1", ""),
        type_id=ContentType.objects.get_for_model(record).pk,
        record_id=str(record.pk),
    )


# -- after it ----------------------------------------------------------------------------------------


def approve_first(actor: SystemUser, now: datetime) -> None:
    """Fay's; Ina's waits for whoever looks at the console."""
    waiting = ParkedBatch.objects.filter(
        mailbox__email_address__in=(seeds.FAY, seeds.GIL), state=BatchState.WAITING, kind="first"
    )
    for batch in waiting:
        batches.approve(batch, actor=actor, now=now)


def go_on(sandbox: Sandbox, now: datetime) -> None:
    """A contact is changed on both sides, and many tasks are deleted there: once for a sandbox."""
    if sandbox.store.note(WENT_ON_NOTE):
        return
    exchange = sandbox.exchange
    vera = Contact.objects.get(email_address1="vera@newcomer.example")
    with exchange.store.writing():
        for item in exchange.items(seeds.GIL, "contacts"):
            if item.text("GivenName") == "Vera":
                exchange.change(item, job_title="Buyer", phone_numbers={"MobilePhone": "555-01"})
        for item in exchange.items(seeds.FAY, "tasks")[:8]:
            exchange.delete(item)
    vera.mobile_phone, vera.department = "555-02", "Purchasing"
    vera.save()
    sandbox.store.set_note(WENT_ON_NOTE, "1")


def waits() -> int:
    """Questions and batches that are open: what the console has to show."""
    asked = ExchangeSyncIdMapping.objects.exclude(question="").count()
    return asked + ParkedBatch.objects.filter(state=BatchState.WAITING).count()


# -- times -------------------------------------------------------------------------------------------


def _monday(now: datetime) -> datetime:
    """Of next week."""
    day = now.astimezone(ZoneInfo(ZONE))
    return day + timedelta(days=7 - day.weekday())


def _at(day: datetime, hour: int, minute: int = 0) -> datetime:
    local = datetime.combine(day.date(), time(hour, minute), ZoneInfo(ZONE))
    return local.astimezone(UTC)


def _between(start: datetime, minutes: int) -> dict[str, Any]:
    """As the server has it."""
    end = start + timedelta(minutes=minutes)
    return {"start": start, "end": end, "start_time_zone": ZONE, "end_time_zone": ZONE}


def _held(start: datetime, minutes: int) -> dict[str, Any]:
    """As a record has it."""
    return {
        "scheduled_start": start,
        "scheduled_end": start + timedelta(minutes=minutes),
        "time_zone": ZONE,
    }


def _weekly(day: datetime, count: int) -> Recurrence:
    return Recurrence(
        pattern=Pattern.WEEKLY,
        start=day.date(),
        days=frozenset({Weekday(day.weekday())}),
        count=count,
    )
