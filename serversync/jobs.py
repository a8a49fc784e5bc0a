"""django-q's entry points. Each takes ids and plain values, calls one function, and says in a sentence
what happened; the sentence is what the admin shows as the job's result.
"""

from datetime import timedelta

from django.utils import timezone
from django_q.models import Task

from activities import blobs, triggers
from mailboxes import certificates
from mailboxes.models import Mailbox
from mailboxes.search import enabled_models, reindex
from serversync import (
    alertmail,
    connections,
    daily,
    engine,
    forecasts,
    quiet,
    recount,
    replay,
    testing,
    testing_return,
)
from serversync.choices import ReplayState
from serversync.importing import held
from serversync.models import MailboxStatistics, Recount, Replay
from serversync.outbox import waiting
from serversync.replay import forgetting
from serversync.retention import forget
from tracking import hooks

KEEP_SUCCEEDED = timedelta(days=1)
KEEP_FAILED = timedelta(days=30)
KEEP_STATISTICS = timedelta(days=30)  # R8.32
CHUNK = 5_000


def dispatch() -> str:
    """Each minute: find what is due and say so in the queue."""
    now = timezone.now()
    return f"{engine.dispatch(now)}; {testing_return.settle(now)}"


def work() -> str:
    """Claim and run what is due."""
    tally = engine.work()
    certificates.keep(timezone.now())
    if tally.more:
        engine.continue_later()
    else:
        engine.come_back(timezone.now())
    return tally.summary()


def test_mailbox(
    mailbox_id: str, reset_watermark: bool | None = None, take_over: bool = False
) -> str:
    """Test & Enable of one mailbox."""
    report = testing.test_mailbox(
        Mailbox.objects.get(pk=mailbox_id), reset_watermark=reset_watermark, take_over=take_over
    )
    certificates.keep(timezone.now())
    return report.summary()


def test_connection(profile_id: str) -> str:
    """The test of a profile's connection (R2.22)."""
    return connections.run(profile_id)


def heartbeat() -> str:
    """Answers the supervisor by having begun."""
    return "alive"


def check_addresses() -> str:
    """Nightly: find what wrote addresses past the index (R3.30)."""
    repaired = {model._meta.label: reindex(model) for model in enabled_models()}
    return f"{sum(repaired.values())} rows repaired: {repaired}"


def run_hooks() -> str:
    """What a site's own code had no time for on receipt (R9.11)."""
    tally = hooks.run_late(timezone.now)
    return f"{tally}{', more to come' if tally.more else ''}"


def tell_of_waiting() -> str:
    """Say which mail could have left long ago (R5.7)."""
    return waiting.tell_of_waiting(timezone.now())


def decide_replay(replay_id: str) -> str:
    """Decide a period again, for a person to review."""
    try:
        found = replay.decide(Replay.objects.get(pk=replay_id), timezone.now())
    except Exception as error:
        words = f"{type(error).__name__}: {error}"[:500]
        undecided = Replay.objects.filter(pk=replay_id, state=ReplayState.DECIDING)
        undecided.update(state=ReplayState.FAILED, error=words)
        raise
    return f"{found.items} items, {found.changes.count()} that differ or aren't known {found.error}"


def apply_import(import_id: str) -> str:
    """What is left of an import that was said yes to."""
    return held.run(import_id)


def tidy_imports() -> str:
    """Every five minutes: files of accounts that nobody said yes to."""
    return held.tidy(timezone.now())


def tell_of_major_events() -> str:
    """Every two minutes: mail to owners of profiles most of whose mailboxes fail (R8.15)."""
    return alertmail.tell_of_major_events(timezone.now())


def reconcile(recount_id: str) -> str:
    """Recount a mailbox from its server, for whoever asked."""
    asked = Recount.objects.select_related("mailbox").get(pk=recount_id)
    row = recount.recount(asked.mailbox, row=asked)
    return row.error or f"{row.differing} items differ"


def look_for_silence() -> str:
    """Hourly: find mailboxes that usually have mail by now (R8.19)."""
    return quiet.look_for_silence(timezone.now())


def forecast_sign_ins() -> str:
    """Nightly: say which sign-ins, client secrets and clients soon need a person (R1.21)."""
    return forecasts.look_ahead(timezone.now())


def check_changes() -> str:
    """Nightly: what notes changes of records is there in the database, or is put back (R6.2)."""
    return "put back" if triggers.install() else "complete"


def sweep_bytes() -> str:
    """Nightly: remove stored bytes that nothing refers to."""
    return f"{blobs.sweep(timezone.now())} contents removed"


def count_cycles() -> str:
    """Hourly: cycles as totals of their day (R8.32)."""
    return f"{daily.count_cycles(timezone.now())} days of cycles counted"


def prune() -> str:
    """Nightly: forget old job results and cycle statistics, and what retention asks for."""
    now = timezone.now()
    daily.count_cycles(now)  # before their rows go
    daily.forget(now)
    jobs = 0
    for success, age in ((True, KEEP_SUCCEEDED), (False, KEEP_FAILED)):
        jobs += Task.objects.filter(success=success, stopped__lt=now - age).delete()[0]
    old = MailboxStatistics.objects.filter(mailbox_process_started_on__lt=now - KEEP_STATISTICS)
    rows = 0
    while keys := list(old.values_list("pk", flat=True)[:CHUNK]):
        rows += MailboxStatistics.objects.filter(pk__in=keys).delete()[0]
    runs = hooks.forget(now)
    forgotten = f"{forget(now)}; {runs} hook runs removed; {forgetting.forget(now)}"
    return f"{jobs} job results and {rows} cycles removed; {forgotten}"
