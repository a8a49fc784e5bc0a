"""The page of a series, and those of single occurrences."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.helpers import AdminForm
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from activities.admin import (
    SeriesScreen,
    subject_of,
)
from activities.models import Appointment
from activities.recurrence_words import in_words
from mailboxes.recurrence import is_occurrence
from serversync.console.planning import saving
from serversync.console.planning.meetingforms import (
    OF_SERIES,
    OccurrenceForm,
    occurrence_of,
)
from serversync.console.planning.meetings import AppointmentConsole, without
from serversync.console.planning.occurrences import (
    CHANGE,
    DELETE,
    RESTORE,
    moment_named,
    named,
    occurrences_from,
    words_of,
)
from serversync.console.planning.planned import MORE, WHO_OWNS, Planned, by_actor
from serversync.console.planning.seriesform import SeriesForm


class SeriesConsole(Planned, SeriesScreen):
    """One occurrence is changed and deleted from here, too: it becomes an exception, or is left out."""

    form = SeriesForm
    fieldsets = [
        (_("Series"), {"fields": ["subject", "location"]}),
        (
            _("How it repeats"),
            {
                "fields": [
                    "is_all_day_event",
                    ("begins", "ends"),
                    "whole_days",
                    "time_zone",
                    "repeats",
                    "interval",
                    "days",
                    "month",
                    "by",
                    "day_of_month",
                    ("nth", "nth_day"),
                    ("pattern_start_date", "ends_by"),
                    "pattern_end_date",
                    "occurrences",
                ]
            },
        ),
        (_("Who takes part"), {"fields": ["required", "optional", "organizer"]}),
        (
            _("How it stands in calendars"),
            {"fields": [("status_code", "reminder_minutes"), ("priority_code", "is_mapi_private")]},
        ),
        MORE,
        WHO_OWNS,
    ]

    def get_urls(self) -> list[Any]:
        def view(what: Any) -> Any:
            return self.admin_site.admin_view(what)

        one = "<uuid:pk>/occurrence/<slug:when>/"
        return [
            path(one, view(self.change_occurrence), name=CHANGE),
            path(f"{one}delete/", view(self.delete_occurrence), name=DELETE),
            path(f"{one}restore/", view(require_POST(self.restore_occurrence)), name=RESTORE),
            *super().get_urls(),
        ]

    def about(self, request: HttpRequest, record: Any, *, hidden: bool) -> dict[str, Any]:
        found = super().about(request, record, hidden=hidden)
        if hidden:
            return found
        return found | {
            "pattern": in_words(record.recurrence),
            "occurrences": occurrences_from(record, request),
            "may_change": self.has_change_permission(request, record),
        }

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for words in form.warnings:
            self.message_user(request, words, messages.WARNING)

    # -- one occurrence

    def change_occurrence(self, request: HttpRequest, pk: Any, when: str) -> HttpResponse:
        series, start = self._occurrence(request, pk, when)
        stored = Appointment.objects.filter(series=series, original_start_date=start).first()
        if stored is not None:
            url = reverse("admin:activities_appointment_change", args=[stored.pk])
            return HttpResponseRedirect(url)
        form_class = type("OccurrenceForm", (OccurrenceForm,), {"request": request})
        form = form_class(request.POST or None, instance=occurrence_of(series, start))
        if request.method == "POST" and form.is_valid():
            try:
                made = saving.save(form.instance, form, **by_actor(request))
            except ValidationError as refused:
                form.add_error(None, refused)
            else:
                self._said(request, series, __("Changed the occurrence of %(when)s."), start)
                url = reverse("admin:activities_appointment_change", args=[made.pk])
                return HttpResponseRedirect(url)
        return self._occurrence_page(request, series, start, form)

    def _occurrence_page(
        self, request: HttpRequest, series: Any, start: Any, form: Any
    ) -> HttpResponse:
        shown = list(without(OF_SERIES, AppointmentConsole.fieldsets))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": __("Change one occurrence"),
            "series": series,
            "subject": subject_of(series),
            "when": words_of(series, start),
            "adminform": AdminForm(form, shown, {}, (), self),
            "errors": form.errors,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "console/occurrence.html", context)

    def delete_occurrence(self, request: HttpRequest, pk: Any, when: str) -> HttpResponse:
        series, start = self._occurrence(request, pk, when)
        url = _series_page(series, start)
        if request.method == "POST":
            try:
                saving.delete_occurrence(series, start, **by_actor(request))
            except ValidationError as refused:
                self.message_user(request, " ".join(refused.messages), messages.WARNING)
            else:
                self._said(request, series, __("Deleted the occurrence of %(when)s."), start)
            return HttpResponseRedirect(url)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": __("Delete one occurrence"),
            "series": series,
            "subject": subject_of(series),
            "when": words_of(series, start),
            "url": url,
        }
        return TemplateResponse(request, "console/occurrence_delete.html", context)

    def restore_occurrence(self, request: HttpRequest, pk: Any, when: str) -> HttpResponse:
        series, start = self._occurrence(request, pk, when, deleted=True)
        saving.restore_occurrence(series, start, **by_actor(request))
        self._said(request, series, __("Put back the occurrence of %(when)s."), start)
        return HttpResponseRedirect(_series_page(series, start))

    def _occurrence(
        self, request: HttpRequest, pk: Any, when: str, *, deleted: bool = False
    ) -> tuple[Any, Any]:
        """The series and the moment, if there is such an occurrence and the user may change it."""
        series, start = self.get_object(request, str(pk)), moment_named(when)
        if series is None or start is None or not self.has_view_permission(request, series):
            raise Http404
        if not self.has_change_permission(request, series):
            raise PermissionDenied
        if (start in series.deleted_starts) is not deleted or not _occurs(series, start):
            raise Http404
        return series, start

    def _said(self, request: HttpRequest, series: Any, words: str, start: Any) -> None:
        text = words % {"when": words_of(series, start)}
        self.log_change(request, series, text)
        self.message_user(request, text, messages.SUCCESS)


def _series_page(series: Any, start: Any) -> str:
    page = reverse("admin:activities_recurringappointmentmaster_change", args=[series.pk])
    return f"{page}?{urlencode({'occurrence': named(start)})}#occurrences"


def _occurs(series: Any, start: Any) -> bool:
    return is_occurrence(series.recurrence, series.start_time, series.zone, start)
