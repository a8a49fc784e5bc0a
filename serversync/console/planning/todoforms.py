"""What tasks, phone calls, letters and faxes are written with."""

from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from activities.agenda import day_of, owners_zone
from activities.choices import (
    ActivityState,
    ParticipationType,
)
from activities.models import (
    ActivityPointer,
    Fax,
    Letter,
    PhoneCall,
    Task,
)
from mailboxes.models import SystemUser
from serversync.console.planning.fields import (
    ClockField,
    DayField,
    PeopleField,
    moment_of,
)
from serversync.console.planning.forms import HELP, ActivityForm

MIDNIGHT = time(0)
TO_DO_COLUMNS = ("priority_code", "category", "description")


class ToDoForm(ActivityForm):
    """A day to begin with, a day or a moment that it is due."""

    start_day = DayField(label=pgettext_lazy("task", "Start"), required=False)
    due_day = DayField(label=pgettext_lazy("task", "Due"), required=False)
    due_at = ClockField(
        label=pgettext_lazy("time of day", "at"),
        required=False,
        help_text=_("With a time, the server reminds then (R6.37)."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "status_code" in self.fields:
            status = type(self.instance.status)
            offered = [s for s in status if s.state == ActivityState.OPEN]
            self._offer("status_code", [(one.value, one.label) for one in offered])

    def stored(self, instance: Any) -> dict[str, Any]:
        due, clock = day_of(instance, instance.scheduled_end)
        start, _clock = day_of(instance, instance.scheduled_start)
        return {**super().stored(instance), "start_day": start, "due_day": due, "due_at": clock}

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        zone = self._zone(data.get("owner"))
        if data.get("due_at") and not data.get("due_day") and "due_day" not in self.errors:
            self.add_error("due_day", __("Say on which day, too."))
        start, due = data.get("start_day"), data.get("due_day")
        if start and due and due < start:
            self.add_error("due_day", __("It is due before it starts. Choose a later day."))
        try:
            data["scheduled_end"] = (
                moment_of(due, data.get("due_at") or MIDNIGHT, zone) if due else None
            )
        except ValidationError as skipped:
            self.add_error("due_at", skipped)
        data["scheduled_start"] = (
            datetime.combine(start, MIDNIGHT, tzinfo=zone).astimezone(UTC) if start else None
        )
        return data

    def _zone(self, owner: Any) -> ZoneInfo:
        """The days of a task are those of whoever it is for."""
        return owners_zone(
            ActivityPointer(owning_user=owner if isinstance(owner, SystemUser) else None)
        )


class TaskForm(ToDoForm):
    class Meta:
        model = Task
        fields = (*TO_DO_COLUMNS, "status_code", "percent_complete")


class DirectedForm(ToDoForm):
    """Between us and somebody else."""

    people = {"sender": ParticipationType.SENDER, "to": ParticipationType.TO}

    sender = PeopleField(label=_("From"))
    to = PeopleField(label=_("To"), help_text=HELP)


class PhoneCallForm(DirectedForm):
    class Meta:
        model = PhoneCall
        fields = (*TO_DO_COLUMNS, "direction_code", "phone_number", "left_voice_mail")


class LetterForm(DirectedForm):
    people = {
        "sender": ParticipationType.SENDER,
        "to": ParticipationType.TO,
        "cc": ParticipationType.CC,
        "bcc": ParticipationType.BCC,
    }

    cc = PeopleField(label=_("Cc"))
    bcc = PeopleField(label=_("Bcc"))

    class Meta:
        model = Letter
        fields = (*TO_DO_COLUMNS, "direction_code", "status_code", "address")


class FaxForm(DirectedForm):
    class Meta:
        model = Fax
        fields = (*TO_DO_COLUMNS, "direction_code", "fax_number", "number_of_pages")
