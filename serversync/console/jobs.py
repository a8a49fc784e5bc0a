"""The queue's own tables, to look at. Nobody writes them here: a schedule names any function there is,
so whoever could add one could run anything as the worker."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django_q.models import OrmQ, Schedule

from mailboxes.screens import EMPTY, ReadOnlyScreen, moment


class ScheduleConsole(ReadOnlyScreen):
    list_display = ["name", "func", "minutes", "next"]
    search_fields = ["name", "func"]
    ordering = ["name"]
    fields = ["name", "func", "schedule_type", "minutes", "cron", "repeats", "next_run", "cluster"]

    @admin.display(description=_("next run"), ordering="next_run")
    def next(self, schedule: Schedule) -> SafeString | str:
        return moment(schedule.next_run)


class JobConsole(ReadOnlyScreen):
    """Jobs that ended. The truth about mail is in the ledger; a failed job costs a minute."""

    list_display = ["name", "func", "started_at", "outcome"]
    search_fields = ["name", "func"]
    ordering = ["-stopped"]
    fields = ["name", "func", "started", "stopped", "attempt_count", "cluster", "outcome"]

    @admin.display(description=_("started"), ordering="started")
    def started_at(self, job: Any) -> SafeString | str:
        return moment(job.started)

    @admin.display(description=_("result"))
    def outcome(self, job: Any) -> SafeString:
        return format_html('<span class="mono">{}</span>', str(job.result or EMPTY)[:2000])


class WaitingJobConsole(ReadOnlyScreen):
    list_display = ["job", "function", "lock"]
    list_display_links = None
    ordering = ["pk"]
    fields = ["job", "function", "key", "lock"]

    @admin.display(description=_("job"))
    def job(self, row: OrmQ) -> str:
        return str(row.name())

    @admin.display(description=_("function"))
    def function(self, row: OrmQ) -> str:
        return str(row.func())
