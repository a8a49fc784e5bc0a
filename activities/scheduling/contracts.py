"""What is to be written, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from activities.choices import ActivityType, ParticipationType
from activities.store import NewParty
from mailboxes.models.base import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class NewActivity:
    """`fields`: of the concrete row, by attribute; of a series also `recurrence`. Subject, regarding and
    owner belong to the pointer; state and date follow from the rest.

    `by_server`: it was told by a server, where an organizer may be somebody outside, or missing.
    """

    kind: ActivityType
    fields: Mapping[str, Any]
    subject: str = ""
    owning_user_id: UUID | None = None
    owning_team_id: UUID | None = None
    regarding_type_id: int | None = None
    regarding_id: str = ""
    parties: Sequence[NewParty] = ()
    by_server: bool = False
    id: UUID = field(default_factory=uuid7)


#: What an ActivityChange may say in `pointer`.
OF_POINTER = (
    "subject",
    "owning_user_id",
    "owning_team_id",
    "regarding_type_id",
    "regarding_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityChange:
    """Only what is named is touched. `parties`: all that there are in `roles`; None: they stay. `roles`: None
    for all roles.

    `keep_fitting`: of a series whose pattern or time changes: exceptions and deleted occurrences stay where
    the new one still has an occurrence. Without it they go, as servers have it.
    """

    id: UUID
    kind: ActivityType
    fields: Mapping[str, Any] = field(default_factory=dict)
    pointer: Mapping[str, Any] = field(default_factory=dict)
    parties: Sequence[NewParty] | None = None
    roles: frozenset[ParticipationType] | None = None
    keep_fitting: bool = False
    by_server: bool = False


@dataclass(slots=True)
class Written:
    """Keys: `written`, also those that were so already; `changed`, those that were not; `refused`, with
    what is wrong in each field; `gone`, which are not there (any more)."""

    written: set[UUID] = field(default_factory=set)
    changed: set[UUID] = field(default_factory=set)
    refused: dict[UUID, ValidationError] = field(default_factory=dict)
    gone: set[UUID] = field(default_factory=set)

    def or_raise(self) -> "Written":
        """For whoever writes one: a ValidationError by field, unless it was written."""
        for error in self.refused.values():
            raise error
        if self.gone:
            raise ValidationError(_("It was deleted meanwhile."))
        return self
