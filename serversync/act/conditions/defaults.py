"""PURE  The templates that the product brings along (R6.11)."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as __
from django.utils.translation import gettext_noop as _noop

from activities.choices import ActivityState, ParticipationType
from mailboxes.choices import StateCode
from serversync.act.conditions.language import Conditions
from serversync.act.types import Table

_MINE: Mapping[str, Any] = {"field": "owner", "operator": "me"}


def _open() -> Conditions:
    state = {"field": "state", "operator": "one_of", "value": [ActivityState.OPEN.value]}
    return {"all": [_MINE, state]}


def _taking_part(*roles: ParticipationType) -> Conditions:
    values = [role.value for role in roles]
    return {"all": [{"field": "parties", "operator": "i_take_part", "value": values}]}


_MEETING = _taking_part(
    ParticipationType.ORGANIZER,
    ParticipationType.REQUIRED_ATTENDEE,
    ParticipationType.OPTIONAL_ATTENDEE,
)
#: Each with its name, as it is stored.
DEFAULTS: Mapping[Table, tuple[str, Conditions]] = {
    Table.CONTACT: (
        _noop("My active contacts"),
        {
            "all": [
                _MINE,
                {"field": "state", "operator": "one_of", "value": [StateCode.ACTIVE.value]},
            ]
        },
    ),
    Table.APPOINTMENT: (_noop("Appointments that I take part in"), _MEETING),
    Table.RECURRING_APPOINTMENT: (_noop("Series that I take part in"), _MEETING),
    Table.SERVICE_APPOINTMENT: (
        _noop("Service activities that need me"),
        _taking_part(ParticipationType.RESOURCE),
    ),
    Table.TASK: (_noop("My open tasks"), _open()),
    Table.PHONE_CALL: (_noop("My open phone calls"), _open()),
    Table.LETTER: (_noop("My open letters"), _open()),
    Table.FAX: (_noop("My open faxes"), _open()),
}


_NAMES = frozenset(name for name, _conditions in DEFAULTS.values())


def shown(name: str) -> str:
    """Ours are told in the reader's language; what people called theirs stays as it is."""
    return __(name) if name in _NAMES else name
