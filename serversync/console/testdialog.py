"""What Test & Enable asks before it begins (R2.20, R2.21): for one mailbox, for many, for those of a profile."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as __

from mailboxes import access, services
from mailboxes.choices import Operation, StateCode
from mailboxes.eligibility import is_server_side
from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.screens import acted, by
from serversync import waking
from serversync.act import marker

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

PERMISSION = "test_mailbox"
SHOWN = 20  # names on the page
MOST_NAMED = 50  # keys in an address; more travel in the form only


@dataclass(frozen=True, slots=True)
class Chosen:
    """Mailboxes by their keys, or all active ones of profiles. `take_over`: its box is wanted."""

    mailboxes: tuple[UUID, ...] = ()
    profiles: tuple[UUID, ...] = ()
    take_over: bool = False

    @classmethod
    def read(cls, values: Any) -> "Chosen":
        """Of a form or an address. Raises Http404 for what is no key."""
        try:
            mailboxes, profiles = (
                tuple(UUID(key) for key in ",".join(values.getlist(name)).split(",") if key)
                for name in ("mailbox", "profile")
            )
        except ValueError as error:
            raise Http404 from error
        return cls(mailboxes, profiles, "take_over" in values)

    @property
    def rows(self) -> "QuerySet[Mailbox]":
        if self.profiles:
            return Mailbox.objects.filter(
                email_server_profile__in=self.profiles, state_code=StateCode.ACTIVE
            )
        return Mailbox.objects.filter(pk__in=self.mailboxes)

    @property
    def keys(self) -> dict[str, str]:
        """As the form carries them."""
        found = {"mailbox": self.mailboxes, "profile": self.profiles}
        return {name: ",".join(str(key) for key in keys) for name, keys in found.items() if keys}

    @property
    def back(self) -> str:
        if len(self.mailboxes) == 1:
            return reverse("admin:mailboxes_mailbox_change", args=[self.mailboxes[0]])
        if len(self.profiles) == 1:
            return reverse("admin:mailboxes_emailserverprofile_change", args=[self.profiles[0]])
        return reverse("admin:mailboxes_mailbox_changelist")


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to ask about these mailboxes."""

    names: list[str] = field(default_factory=list)
    inactive: int = 0
    incoming: int = 0
    first: int = 0  # of those, how many would be tested for the first time
    others: list[str] = field(default_factory=list)  # set to another organization
    calendars: int = 0

    @property
    def all_first(self) -> bool:
        return 0 < self.incoming == self.first

    @property
    def some_first(self) -> bool:
        return 0 < self.first < self.incoming

    @property
    def more(self) -> int:
        return max(0, len(self.names) - SHOWN)


def facts_of(mailboxes: Collection[Any]) -> Facts:
    """Of mailboxes with their workloads at hand."""
    incoming = [one for one in mailboxes if is_server_side(one, Operation.INCOMING)]
    return Facts(
        names=[one.name for one in mailboxes],
        inactive=sum(not one.is_active_state for one in mailboxes),
        incoming=len(incoming),
        first=sum(_is_first(one) for one in incoming),
        others=[one.name for one in mailboxes if is_anothers(one)],
        calendars=sum(is_server_side(one, Operation.ACT) for one in mailboxes),
    )


def _is_first(mailbox: Any) -> bool:
    row = mailbox.workload(Operation.INCOMING)
    return row is None or row.tested_at is None


def is_anothers(mailbox: Any) -> bool:
    """Its last look found that the account synchronizes with another organization (R6.61)."""
    row = mailbox.workload(Operation.ACT)
    return row is not None and row.state_code == marker.OtherOrganization.code


def look_again(facts: Facts, ticked: bool) -> bool | None:
    """What the box means. None: as each mailbox's turn is, those of the first test and no other."""
    if ticked:
        return True
    return False if facts.all_first else None


# -- pages


def urls(site: "ConsoleSite") -> list[Any]:
    pages = Pages(site)
    return [path("test-and-enable/", site.admin_view(pages.show), name="test_and_enable")]


def ask(site: Any, request: HttpRequest, chosen: Chosen) -> HttpResponse:
    """The page, for an action or a button."""
    if len(chosen.mailboxes) + len(chosen.profiles) > MOST_NAMED:
        return Pages(site).question(request, chosen)
    query = [f"{name}={keys}" for name, keys in chosen.keys.items()]
    query += ["take_over=on"] if chosen.take_over else []
    return HttpResponseRedirect(f"{reverse('admin:test_and_enable')}?{'&'.join(query)}")


class Pages:
    def __init__(self, site: Any) -> None:
        self.site = site

    def show(self, request: HttpRequest) -> HttpResponse:
        if request.method == "POST" and "begin" in request.POST:
            return self._begin(request, Chosen.read(request.POST))
        return self.question(request, Chosen.read(request.GET or request.POST))

    def question(self, request: HttpRequest, chosen: Chosen) -> HttpResponse:
        self._require_sight(request, chosen)
        screen = self.site._registry[Mailbox]
        if screen.missing(request, PERMISSION):
            return HttpResponseRedirect(chosen.back)
        rows = access.visible_to(request.user, chosen.rows, PERMISSION)
        facts = facts_of(rows.prefetch_related("workloads").order_by("name"))
        beyond = chosen.rows.count() - len(facts.names)
        context = {
            **self.site.each_context(request),
            "title": __("Test & Enable"),
            "chosen": chosen,
            "facts": facts,
            "names": facts.names[:SHOWN],
            "beyond": beyond,
            "asks_take_over": bool(facts.calendars and (facts.others or chosen.take_over)),
        }
        return TemplateResponse(request, "console/test_and_enable.html", context)

    def _begin(self, request: HttpRequest, chosen: Chosen) -> HttpResponse:
        self._require_sight(request, chosen)
        screen = self.site._registry[Mailbox]

        def schedule() -> services.Outcome:
            with transaction.atomic():
                allowed = access.visible_to(request.user, chosen.rows, PERMISSION)
                rows = list(allowed.prefetch_related("workloads"))
                outcome = services.schedule_test(mailboxes=chosen.rows, **by(request))
                waking.enqueue_tests(
                    [row.pk for row in rows],
                    reset_watermark=look_again(facts_of(rows), "look_again" in request.POST),
                    take_over=chosen.take_over,
                )
            return outcome

        self._note(request, chosen)
        screen.perform(
            request,
            schedule,
            __("Test & Enable started for %(count)d mailbox. Reload in a moment for its steps."),
            __("Test & Enable started for %(count)d mailboxes. Reload in a moment."),
        )
        return HttpResponseRedirect(chosen.back)

    def _note(self, request: HttpRequest, chosen: Chosen) -> None:
        """For the audit trail, as of an action: also of who posts here without having been asked."""
        model: Any = EmailServerProfile if chosen.profiles else Mailbox
        action = "test_mailboxes" if chosen.profiles else "test_and_enable"
        keys = list(chosen.profiles or chosen.mailboxes)
        acted.send(sender=model, request=request, action=action, keys=keys)

    def _require_sight(self, request: HttpRequest, chosen: Chosen) -> None:
        """Rows out of sight don't exist here."""
        rows: Any = chosen.rows
        if chosen.profiles:
            rows = EmailServerProfile.objects.filter(pk__in=chosen.profiles)
        seen = access.visible_to(request.user, rows, "view").count()
        if not seen or seen < len(chosen.profiles or chosen.mailboxes):
            raise Http404
