"""The last step: Test & Enable of each mailbox as it goes, and what happens next."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Case, Count, Q, When
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import ngettext

from mailboxes import access, services
from mailboxes.causes import Cause, cause_of
from mailboxes.choices import Operation, StateCode, TestStatus
from mailboxes.eligibility import is_server_side
from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.screens import acted, by
from serversync.clusters import LATE
from serversync.console.health import KIND, Health, organization_of, with_health
from serversync.console.signin import owners_sign_in
from serversync.console.wizard.enabling import begin, to_test
from serversync.console.wizard.frame import Frame, Here, go
from serversync.console.wizard.people import APPROVE, keys_in
from serversync.console.wizard.server import import_url
from serversync.console.wizard.steps import Step
from serversync.models import Cluster

SHOWN = 50  # mailboxes; the list of all is one click away


@dataclass(frozen=True, slots=True)
class Direction:
    """One workload of a mailbox: what became of its test."""

    name: Any
    words: Any
    kind: str
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class Line:
    mailbox: Any
    health: Health
    kind: str
    directions: list[Direction]

    @property
    def is_waiting(self) -> bool:
        """For approval."""
        return self.health == Health.WAITING

    @property
    def waits(self) -> bool:
        return bool(self.mailbox.test_email_configuration_scheduled)


class DonePages:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def show(self, request: HttpRequest, key: UUID) -> HttpResponse:
        self.frame.require(request)
        here = self.frame.here(request, key)
        if request.method == "POST":
            self._act(request, here)
            return go(Step.DONE, key)
        context = {
            **self._state(request, here),
            "may_approve": access.reach_of(request.user, Mailbox, APPROVE) is not None,
            "owners_sign_in": owners_sign_in(here.profile),
            "import_url": import_url(),
        }
        return self.frame.page(request, Step.DONE, here, context)

    def live(self, request: HttpRequest, key: UUID) -> HttpResponse:
        self.frame.require(request)
        here = self.frame.here(request, key)
        return self.frame.part(request, Step.DONE, self._state(request, here))

    def _state(self, request: HttpRequest, here: Here) -> dict[str, Any]:
        rows = mailboxes_of(request, here.profile)
        numbers = counted(with_health(rows, organization_of(request)))
        return {
            "lines": self._lines(request, here),
            "waits": bool(numbers["tested"]),
            "said": ngettext(
                "%(running)d of %(count)d mailbox runs.",
                "%(running)d of %(count)d mailboxes run.",
                numbers["count"],
            )
            % numbers,
            "waiting": numbers["waiting"],
            "to_test": to_test(request, rows).count(),
            "no_worker": no_worker(),
            "urls": {"people": reverse("admin:wizard_people", args=[here.key])},
            "all_url": f"{reverse('admin:mailboxes_mailbox_changelist')}"
            f"?email_server_profile__id__exact={here.key}",
        }

    def _lines(self, request: HttpRequest, here: Here) -> list[Line]:
        rows = with_health(mailboxes_of(request, here.profile), organization_of(request))
        first = Case(When(health=Health.WAITING, then=0), default=1)  # a person is needed
        shown = rows.prefetch_related("workloads").order_by(first, "name")[:SHOWN]
        return [line_of(mailbox) for mailbox in shown]

    def _act(self, request: HttpRequest, here: Here) -> None:
        rows = mailboxes_of(request, here.profile)
        if "approve" in request.POST:
            approve_waiting(request, rows, keys_in(request.POST.getlist("seen")))
        count = begin(request, rows)
        words = ngettext(
            "Test & Enable started for %(count)d mailbox.",
            "Test & Enable started for %(count)d mailboxes.",
            count,
        )
        messages.info(request, words % {"count": count})


def mailboxes_of(request: HttpRequest, profile: EmailServerProfile) -> Any:
    """The active ones that this person sees."""
    rows = Mailbox.objects.filter(email_server_profile=profile, state_code=StateCode.ACTIVE)
    return access.visible_to(request.user, rows)


def counted(rows: Any) -> dict[str, int]:
    """Of all, however many the page shows; one statement."""
    numbers: dict[str, int] = rows.aggregate(
        count=Count("pk"),
        running=Count("pk", filter=Q(health=Health.HEALTHY)),
        waiting=Count("pk", filter=Q(health=Health.WAITING)),
        tested=Count("pk", filter=Q(test_email_configuration_scheduled=True)),
    )
    return numbers


def approve_waiting(request: HttpRequest, rows: Any, seen: list[UUID]) -> None:
    """Those whose addresses the page showed as waiting, as far as this person may (R2.3, R2.4)."""
    with_state = with_health(rows.filter(pk__in=seen), organization_of(request))
    keys = list(with_state.filter(health=Health.WAITING).values_list("pk", flat=True))
    if keys:
        services.approve(mailboxes=Mailbox.objects.filter(pk__in=keys), **by(request))
        acted.send(sender=Mailbox, request=request, action="approve", keys=keys)


def line_of(mailbox: Any) -> Line:
    health = Health(mailbox.health)
    used = [operation for operation in Operation if is_server_side(mailbox, operation)]
    found = [direction_of(operation, mailbox.workload(operation)) for operation in used]
    return Line(mailbox, health, KIND[health], [each for each in found if each is not None])


def direction_of(operation: Operation, row: Any) -> Direction | None:
    if row is None:
        return None
    if row.enabled:
        return Direction(operation.label, __("on"), "good", None)
    if row.test_status == TestStatus.FAILURE:
        step: dict[str, Any] = next((each for each in row.test_steps if not each.get("ok")), {})
        code = str(step.get("code") or row.last_error_code)
        cause = cause_of(code, row.last_error_text, fault=step.get("fault"))
        return Direction(operation.label, __("failed"), "bad", cause)
    return Direction(operation.label, __("not tested yet"), "quiet", None)


def no_worker() -> bool:
    """Whether tests would wait for ever."""
    return not Cluster.objects.filter(seen_at__gt=timezone.now() - LATE).exists()
