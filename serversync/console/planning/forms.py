"""The form that every activity which is planned is written with.

It checks what was typed and hands plain values on: columns, people, what stands on the activity itself. Saving
them is the service's.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, ClassVar

from django import forms
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.forms.models import model_to_dict
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.choices import (
    ParticipationType,
)
from activities.models import (
    ActivityParty,
)
from activities.store import NewParty
from mailboxes import access
from mailboxes.models import SystemUser, Team
from mailboxes.screens import actor_of
from serversync.console.composefields import LineField
from serversync.console.planning import saving
from serversync.console.planning.fields import (
    Typed,
    written,
)
from serversync.console.planning.people import (
    People,
    rows_of_activity,
    typed_of,
)
from serversync.console.regarding import key_of, key_of_ref, record_at, regarding_choices

KEEP = object()
OFFERED = 500  # users and teams in a chooser
#: Below every box for people.
HELP = _(
    "Addresses or names of records, separated by commas or lines: ada@example.com, Ben Example. An "
    "address that a record has stands for that record (R6.31)."
)


class ActivityForm(forms.ModelForm):  # type: ignore[type-arg]
    """What all of them have. `request` is set by the screen; `rows`: who takes part already."""

    request: ClassVar[Any]
    #: Box -> role of the people in it.
    people: ClassVar[dict[str, ParticipationType]] = {}

    subject = LineField(
        label=_("Subject"),
        max_length=800,
        widget=forms.TextInput(attrs={"class": "vLargeTextField"}),
    )
    regarding = forms.ChoiceField(
        label=_("Regarding"), required=False, help_text=_("The record under which it is filed.")
    )
    owner = forms.ChoiceField(
        label=_("Owner"), help_text=_("Who owns the record decides who sees it.")
    )
    #: What stood in the boxes when the page was made.
    version = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        instance: Any = kwargs.get("instance")
        self.is_new = instance is None or instance._state.adding
        self.actor = actor_of(self.request)
        self.rows: list[ActivityParty] = []
        initial = self.fresh() if self.is_new else self._stored(instance)
        self.current = "" if self.is_new else digest(initial, model_to_dict(instance))
        kwargs["initial"] = initial | (kwargs.get("initial") or {}) | {"version": self.current}
        super().__init__(*args, **kwargs)
        self.fields["description"].widget = forms.Textarea(
            attrs={"rows": 5, "class": "vLargeTextField"}
        )
        self.who = People(self.actor, self.rows)
        self._offer("regarding", self._regarding_choices())
        self._offer("owner", list(owner_choices(self.actor, self._pointer())))

    def _pointer(self) -> Any:
        """What stands on the activity; None while there is none."""
        return None if self.is_new else self.instance.activity

    def _regarding_choices(self) -> list[Any]:
        """The one that is stored stays, even if it isn't the reader's to see."""
        offered = regarding_choices(self.actor, self._wanted("regarding"))
        stored = self._stored_regarding()
        if stored and record_at(stored, self.actor) is None:
            offered.append((stored, _("a record that is not yours to see")))
        return offered

    def _stored_regarding(self) -> str:
        pointer = self._pointer()
        return key_of_ref(pointer.regarding_type, pointer.regarding_id) if pointer else ""

    def _offer(self, name: str, choices: Sequence[Any]) -> None:
        if name in self.fields:
            self.fields[name].choices = choices  # type: ignore[attr-defined]

    def _wanted(self, name: str) -> str:
        source = self.data if self.is_bound else self.initial
        return str(source.get(self.add_prefix(name) if self.is_bound else name) or "")

    def fresh(self) -> dict[str, Any]:
        """What a new one begins with."""
        return {"owner": key_of(SystemUser(pk=self.actor.pk))}

    def _stored(self, instance: Any) -> dict[str, Any]:
        self.rows = rows_of_activity(instance.pk, self.actor)
        return self.stored(instance)

    def stored(self, instance: Any) -> dict[str, Any]:
        pointer = instance.activity
        boxes = {
            name: written(list(typed_of(self.rows, role))) for name, role in self.people.items()
        }
        return {
            "subject": pointer.subject,
            "regarding": key_of_ref(pointer.regarding_type, pointer.regarding_id),
            "owner": key_of(pointer.owner),
            **boxes,
        }

    # -- what was typed

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        self._check_version(data)
        for name in self.people:
            try:
                self.who.check(data.get(name) or ())
            except ValidationError as nobody:
                self.add_error(name, nobody)
        return data

    def _check_version(self, data: dict[str, Any]) -> None:
        """Nobody overwrites what they haven't seen; whoever has seen it may."""
        if self.is_new or data.get("version") in (None, "", self.current):
            return
        typed: Any = self.data.copy()  # type: ignore[attr-defined]
        typed[self.add_prefix("version")] = self.current
        self.data = typed
        pointer = self._pointer()
        self.add_error(
            None,
            __(
                "Meanwhile %(who)s changed it. Open it in another window to see how. If you save again, it"
                " becomes what stands here."
            )
            % {"who": pointer.modified_by or __("the synchronization")},
        )

    def clean_regarding(self) -> Any:
        """The record itself; None for none; KEEP for one that stays and isn't the reader's to see."""
        chosen = self.cleaned_data["regarding"]
        record = record_at(chosen, self.actor) if chosen else None
        if record is None and chosen and chosen == self._stored_regarding():
            return KEEP
        if chosen and record is None:
            raise ValidationError(_("There is no such record, or it is not yours to see."))
        return record

    def clean_owner(self) -> Any:
        pointer = self._pointer()
        if pointer is not None and self.cleaned_data["owner"] == key_of(pointer.owner):
            return pointer.owner
        owner = record_at(self.cleaned_data["owner"], self.actor)
        if not isinstance(owner, SystemUser | Team):
            raise ValidationError(_("There is no such user or team, or it is not yours to see."))
        return owner

    def typed(self) -> dict[ParticipationType, Sequence[Typed]]:
        return {role: self.cleaned_data[name] for name, role in self.people.items()}

    def parties(self) -> list[NewParty]:
        return self.who.parties(self.typed())

    def columns(self) -> dict[str, Any]:
        """Of the activity's own table."""
        mine = {field.name for field in self._meta.model._meta.concrete_fields}
        return {name: value for name, value in self.cleaned_data.items() if name in mine}

    def pointer(self) -> dict[str, Any]:
        """What stands on the activity itself."""
        data = self.cleaned_data
        found: dict[str, Any] = {"subject": data["subject"]}
        if "regarding" in self.fields and data["regarding"] is not KEEP:
            found |= _regarding(data["regarding"])
        if "owner" in self.fields:
            found |= _owner(data["owner"])
        return found

    @property
    def roles(self) -> frozenset[ParticipationType]:
        """All of these that there are stand in the form."""
        return frozenset(self.people.values())

    @property
    def keeps_organizer(self) -> bool:
        """Then whoever it is stays it, also somebody outside."""
        return False

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            saving.rehearse(self.instance, self, actor=self.actor, now=timezone.now())

    def changed_words(self) -> list[str]:
        return [str(self[name].label) for name in self.changed_data]


def _regarding(record: Any) -> dict[str, Any]:
    if record is None:
        return {"regarding_type_id": None, "regarding_id": ""}
    kind = ContentType.objects.get_for_model(type(record))
    return {"regarding_type_id": kind.pk, "regarding_id": str(record.pk)}


def _owner(owner: Any) -> dict[str, Any]:
    team = isinstance(owner, Team)
    return {
        "owning_user_id": None if team else owner.pk,
        "owning_team_id": owner.pk if team else None,
    }


def owner_choices(reader: Any, pointer: Any) -> Iterator[Any]:
    """Users and teams within sight, and whoever owns it now."""
    seen = set()
    for model, words in ((SystemUser, _("Users")), (Team, _("Teams"))):
        rows = access.visible_to(reader, model._default_manager.all(), "view")
        there = [row for row in rows[:OFFERED] if not getattr(row, "is_disabled", False)]
        found = [(key_of(row), str(row)) for row in there]
        seen |= {key for key, _words in found}
        if found:
            yield (words, found)
    if pointer is not None and (key := key_of(pointer.owner)) not in seen:
        yield (key, str(pointer.owner))


def digest(*values: Any) -> str:
    return sha256(repr(values).encode()).hexdigest()[:16]
