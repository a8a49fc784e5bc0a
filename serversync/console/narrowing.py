"""Conditions that links lead to lists with, and that no list offers by itself: told beside the list while
they hold, so that one sees why rows are missing, and can be taken off there.
"""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.models import EmailServerProfile, Mailbox
from serversync.choices import WorkloadState
from serversync.figures import AGES, age_condition
from serversync.standing import Standing, standing

Rows = QuerySet[Any]


class Narrowed(admin.SimpleListFilter):
    """Offers only what holds already. `words_of`: how it is told; None where it means nothing."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        value = self.value()
        words = self.words_of(value, request) if value else None
        return [] if words is None else [(value, words)]

    def words_of(self, value: str, request: HttpRequest) -> Any:
        return value

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        value = self.value()
        return queryset if value is None else self.narrow(queryset, value)

    def narrow(self, queryset: Rows, value: str) -> Rows:
        raise NotImplementedError


class ErrorCode(Narrowed):
    title = _("error")
    parameter_name = "error_code"

    def narrow(self, queryset: Rows, value: str) -> Rows:
        return queryset.filter(error_code=value, process_result=False)


class OfProfile(Narrowed):
    """By its key; a profile that the reader may not see is no condition."""

    title = _("server profile")
    parameter_name = "profile"

    def words_of(self, value: str, request: HttpRequest) -> Any:
        try:
            rows = EmailServerProfile.objects.filter(pk=value)
            return access.visible_to(request.user, rows, "view").get().name
        except (EmailServerProfile.DoesNotExist, ValidationError):
            return None

    def narrow(self, queryset: Rows, value: str) -> Rows:
        return queryset.filter(mailbox__email_server_profile=value)


class SentByProfile(OfProfile):
    def narrow(self, queryset: Rows, value: str) -> Rows:
        return queryset.filter(sender_mailbox__email_server_profile=value)


class FromMailbox(Narrowed):
    """By its key; a mailbox that the reader may not see is no condition."""

    title = _("sent by mailbox")
    parameter_name = "from_mailbox"

    def words_of(self, value: str, request: HttpRequest) -> Any:
        try:
            rows = Mailbox.objects.filter(pk=value)
            return access.visible_to(request.user, rows, "view").get().name
        except (Mailbox.DoesNotExist, ValidationError):
            return None

    def narrow(self, queryset: Rows, value: str) -> Rows:
        return queryset.filter(sender_mailbox=value)


class DisabledSince(Narrowed):
    title = _("disabled since")
    parameter_name = "disabled_since"

    def words_of(self, value: str, request: HttpRequest) -> Any:
        when = _moment(value)
        return date_format(timezone.localtime(when), "SHORT_DATETIME_FORMAT") if when else None

    def narrow(self, queryset: Rows, value: str) -> Rows:
        return queryset.filter(state=WorkloadState.DISABLED, state_since__gte=_moment(value))


class StandingFilter(admin.SimpleListFilter):
    title = _("how it stands")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return Standing.choices

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        if not self.value():
            return queryset
        rows: Rows = queryset.annotate(standing=standing()).filter(standing=self.value())
        return rows


class WaitsToLeave(Narrowed):
    """Mail that waits to leave, by the groups of ages of `figures.AGES`."""

    title = _("waits to leave")
    parameter_name = "waiting"

    def words_of(self, value: str, request: HttpRequest) -> Any:
        return AGE_WORDS[int(value)] if value in GROUPS else None

    def narrow(self, queryset: Rows, value: str) -> Rows:
        return age_condition(queryset, int(value), timezone.now())


AGE_WORDS = (
    _("under 5 minutes"),
    _("5 to 15 minutes"),
    _("15 to 60 minutes"),
    _("1 to 4 hours"),
    _("4 to 24 hours"),
    _("more than a day"),
)
GROUPS = frozenset(str(place) for place in range(len(AGES) + 1))


def _moment(text: str) -> datetime | None:
    try:
        when = parse_datetime(text)
    except ValueError:
        return None
    return when if when is not None and timezone.is_aware(when) else None
