"""Task, PhoneCall, Letter and Fax: what somebody has to do. All four are tasks on a server (R6.8)."""

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from activities.choices import (
    Direction,
    FaxStatus,
    LetterStatus,
    PhoneCallStatus,
    Priority,
    TaskStatus,
)
from activities.models.pointer import ActivityPointer
from activities.models.records import LONGEST_BODY


class ToDo(models.Model):
    """What the four have in common."""

    description = models.TextField(
        _("description"), max_length=LONGEST_BODY, blank=True, help_text=_("Plain text (R6.15).")
    )
    scheduled_start = models.DateTimeField(_("start"), null=True, blank=True)
    scheduled_end = models.DateTimeField(
        _("due"),
        null=True,
        blank=True,
        help_text=_("With a time of day, the server reminds of it then (R6.37)."),
    )
    actual_start = models.DateTimeField(_("actual start"), null=True, blank=True)
    actual_end = models.DateTimeField(
        _("actual end"), null=True, blank=True, help_text=_("When it was completed (R6.39).")
    )
    actual_duration_minutes = models.PositiveIntegerField(
        _("actual duration"), null=True, blank=True, help_text=_("In minutes.")
    )
    priority_code = models.IntegerField(
        _("importance"), choices=Priority.choices, default=Priority.NORMAL
    )
    category = models.CharField(_("category"), max_length=250, blank=True)
    subcategory = models.CharField(_("subcategory"), max_length=250, blank=True)

    class Meta:
        abstract = True

    activity: Any

    def __str__(self) -> str:
        """No subject: Django prints this in choosers, confirmations and logs."""
        return f"{self._meta.verbose_name} {self.pk}"

    @property
    def subject(self) -> str:
        subject: str = self.activity.subject
        return subject

    @property
    def scheduled_duration_minutes(self) -> int | None:
        if self.scheduled_start is None or self.scheduled_end is None:
            return None
        return int((self.scheduled_end - self.scheduled_start).total_seconds() // 60)


class Directed(models.Model):
    """Between us and somebody else."""

    direction_code = models.IntegerField(
        _("direction"), choices=Direction.choices, default=Direction.OUTGOING
    )

    class Meta:
        abstract = True


class Task(ToDo):
    """task."""

    activity = models.OneToOneField(
        ActivityPointer, models.CASCADE, primary_key=True, related_name="task"
    )
    status_code = models.IntegerField(
        _("status"), choices=TaskStatus.choices, default=TaskStatus.NOT_STARTED
    )
    percent_complete = models.PositiveSmallIntegerField(
        _("percent complete"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")

    @property
    def status(self) -> TaskStatus:
        return TaskStatus(self.status_code)


class PhoneCall(ToDo, Directed):
    """phonecall."""

    activity = models.OneToOneField(
        ActivityPointer, models.CASCADE, primary_key=True, related_name="phone_call"
    )
    status_code = models.IntegerField(
        _("status"), choices=PhoneCallStatus.choices, default=PhoneCallStatus.OPEN
    )
    phone_number = models.CharField(_("phone number"), max_length=200, blank=True)
    left_voice_mail = models.BooleanField(_("left voice mail"), default=False)

    class Meta:
        verbose_name = _("phone call")
        verbose_name_plural = _("phone calls")

    @property
    def status(self) -> PhoneCallStatus:
        return PhoneCallStatus(self.status_code)


class Letter(ToDo, Directed):
    """letter."""

    activity = models.OneToOneField(
        ActivityPointer, models.CASCADE, primary_key=True, related_name="letter"
    )
    status_code = models.IntegerField(
        _("status"), choices=LetterStatus.choices, default=LetterStatus.DRAFT
    )
    address = models.CharField(_("address"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("letter")
        verbose_name_plural = _("letters")

    @property
    def status(self) -> LetterStatus:
        return LetterStatus(self.status_code)


class Fax(ToDo, Directed):
    """fax."""

    activity = models.OneToOneField(
        ActivityPointer, models.CASCADE, primary_key=True, related_name="fax"
    )
    status_code = models.IntegerField(
        _("status"), choices=FaxStatus.choices, default=FaxStatus.OPEN
    )
    fax_number = models.CharField(_("fax number"), max_length=200, blank=True)
    number_of_pages = models.PositiveIntegerField(_("pages"), null=True, blank=True)

    class Meta:
        verbose_name = _("fax")
        verbose_name_plural = _("faxes")

    @property
    def status(self) -> FaxStatus:
        return FaxStatus(self.status_code)
