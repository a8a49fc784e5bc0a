"""The periodic jobs. `manage.py setup_schedules` writes them; run it at each deploy."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django_q.models import Schedule

PREFIX = "serversync: "  # names with it are ours to change and to remove
NIGHT = 3  # the hour, in the site's time zone, at which nightly jobs begin


@dataclass(frozen=True, slots=True)
class Periodic:
    """`minutes`: how often; None: once a night."""

    name: str
    function: str
    minutes: int | None = None


TABLE = (
    # Scheduled tests and mail to send are picked up by it, too.
    Periodic("dispatch", "serversync.jobs.dispatch", minutes=1),
    # Said in the queue as well when there is something to run.
    Periodic("run hooks", "serversync.jobs.run_hooks", minutes=5),
    Periodic("tell of waiting mail", "serversync.jobs.tell_of_waiting", minutes=5),
    Periodic("tidy imports", "serversync.jobs.tidy_imports", minutes=5),
    Periodic("count cycles", "serversync.jobs.count_cycles", minutes=60),
    Periodic("tell of major events", "serversync.jobs.tell_of_major_events", minutes=2),
    Periodic("look for silence", "serversync.jobs.look_for_silence", minutes=60),
    Periodic("check addresses", "serversync.jobs.check_addresses"),
    Periodic("check changes", "serversync.jobs.check_changes"),
    Periodic("forecast sign-ins", "serversync.jobs.forecast_sign_ins"),
    Periodic("sweep bytes", "serversync.jobs.sweep_bytes"),
    Periodic("prune", "serversync.jobs.prune"),
)


@transaction.atomic
def write_schedules(now: datetime, table: tuple[Periodic, ...] = TABLE) -> tuple[int, int]:
    """Make the stored schedules equal to the table; returns how many stand and how many went.

    When each runs next is left alone, or a nightly job would never run on a site that is deployed
    daily.
    """
    for periodic in table:
        fixed = {
            "func": periodic.function,
            "schedule_type": Schedule.MINUTES if periodic.minutes else Schedule.DAILY,
            "minutes": periodic.minutes,
            "repeats": -1,
            "args": None,
            "kwargs": None,
            "hook": None,
            "cluster": None,
        }
        first = now if periodic.minutes else next_night(now)
        Schedule.objects.update_or_create(
            name=PREFIX + periodic.name,
            defaults=fixed,
            create_defaults=fixed | {"next_run": first},
        )
    obsolete = Schedule.objects.filter(name__startswith=PREFIX).exclude(
        name__in=[PREFIX + periodic.name for periodic in table]
    )
    return len(table), obsolete.delete()[0]


def next_night(now: datetime) -> datetime:
    """The next time it is night where `now` says it is."""
    tonight = now.replace(hour=NIGHT, minute=0, second=0, microsecond=0)
    return tonight if tonight > now else tonight + timedelta(days=1)
