"""The forms of a folder rule. They hold no rule of their own: the services refuse what is illegal."""

from datetime import datetime, time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tracking.records import Found, find_records, found, record_of

LONGEST_SEARCH = 100


class RecordForm(forms.Form):
    """Under which record mail is filed: a search over every kind of record, and what it found.

    `record` is "" for none, else what `records.value_of` says. Without scripts the button "Find" posts
    the form, which then shows what was found; scripts do the same while one types.
    """

    record_words = forms.CharField(
        label=_("Find a record"),
        required=False,
        max_length=LONGEST_SEARCH,
        widget=forms.TextInput(
            attrs={"type": "search", "autocomplete": "off", "class": "vTextField"}
        ),
    )
    record = forms.CharField(label=_("Record"), required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)

    @property
    def chosen(self) -> str:
        return str(self["record"].value() or "")

    @property
    def offered(self) -> list[Found]:
        """The chosen record, and those that the words find."""
        record = record_of(self.chosen, self.user) if self.chosen else None
        first = [found(record)] if record is not None else []
        words = str(self["record_words"].value() or "")[:LONGEST_SEARCH]
        return first + [one for one in find_records(words, self.user) if one not in first]

    @property
    def searched(self) -> bool:
        return bool(str(self["record_words"].value() or "").strip())

    def clean_record(self) -> Model | None:
        value = self.cleaned_data["record"]
        if not value:
            return None
        record = record_of(value, self.user)
        if record is None:
            raise ValidationError(
                _("There is no such record, or it is not yours to see. Find another one. (R7.2)")
            )
        return record


class RuleForm(RecordForm):
    """A new rule of one mailbox."""

    exchange_folder_id = forms.CharField(
        label=_("Folder"),
        required=False,  # the service says what is missing
        max_length=512,
        strip=False,
        widget=forms.HiddenInput,
    )
    track_from = forms.DateField(
        label=_("Received on or after"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date", "class": "vDateField"}, format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"],
        help_text=_("Older mail in the folder is left alone. Empty: all of it. (R7.7)"),
    )

    field_order = ["exchange_folder_id", "record_words", "record", "track_from"]

    @property
    def folder(self) -> str:
        return str(self["exchange_folder_id"].value() or "")

    def clean_track_from(self) -> datetime | None:
        """The first moment of that day, where the site is."""
        day = self.cleaned_data["track_from"]
        return timezone.make_aware(datetime.combine(day, time.min)) if day else None
