"""Test & Enable of mailboxes that don't run yet: nothing that is asked for, or runs, is asked for again."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from mailboxes import access, services
from mailboxes.models import Mailbox
from mailboxes.screens import acted, by
from serversync import waking
from serversync.console.health import Health, organization_of, with_health

PERMISSION = "test_mailbox"
#: States in which a test is what is missing. Others need something else first, and would fail it.
TO_TEST = (Health.UNTESTED, Health.FAILING)


def to_test(request: HttpRequest, mailboxes: "QuerySet[Mailbox]") -> "QuerySet[Mailbox]":
    rows = access.visible_to(request.user, mailboxes, PERMISSION)
    with_state = with_health(rows, organization_of(request))
    return with_state.filter(health__in=TO_TEST, test_email_configuration_scheduled=False)


def begin(request: HttpRequest, mailboxes: Iterable[Mailbox]) -> int:
    """How many were asked for. Who may not test gets none."""
    if access.reach_of(request.user, Mailbox, PERMISSION) is None:
        return 0
    rows = Mailbox.objects.filter(pk__in=[row.pk for row in mailboxes])
    with transaction.atomic():
        keys = list(to_test(request, rows).values_list("pk", flat=True))
        if keys:
            chosen = Mailbox.objects.filter(pk__in=keys)
            services.schedule_test(mailboxes=chosen, **by(request))
            waking.enqueue_tests(keys)
            acted.send(sender=Mailbox, request=request, action="test_and_enable", keys=keys)
    return len(keys)
