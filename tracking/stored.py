"""PURE  Reading what was stored of a decision: whatever is there is taken, whatever isn't is left unsaid.

Any version may have written it, and the retention may have emptied it; nothing here fails for that.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db.models import IntegerChoices, TextChoices
from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from activities.choices import ParticipationType
from tracking.choices import PartyKind

MOMENT = "Y-m-d H:i T"  # in every language; ends in the zone, so that a full stop may follow

Data = Mapping[str, Any]


def map_of(data: Data, key: str) -> Data:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def entries(data: Data, key: str) -> list[Data]:
    """Those of a list that may have been cut; `count` says how many there were."""
    found = map_of(data, key).get("list")
    if not isinstance(found, list):
        return []
    return [entry for entry in found if isinstance(entry, Mapping)]


def count(data: Data, key: str) -> int:
    return number(map_of(data, key), "n")


def text(data: Data, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def number(data: Data, key: str) -> int:
    value = data.get(key)
    return value if isinstance(value, int) else 0


def label(choices: type[IntegerChoices] | type[TextChoices], value: Any) -> str:
    """The value itself where this version doesn't know it."""
    try:
        return str(choices(value).label)
    except ValueError:
        return "" if value is None else str(value)


def header(role: Any) -> str:
    """The header that names a recipient, as mail programs write it."""
    if role in (ParticipationType.TO, ParticipationType.CC, ParticipationType.BCC):
        return ParticipationType(role).name.title()
    return label(ParticipationType, role)


def who(party: Data) -> str:
    """ "queue Support", "a user" where the name is not known."""
    name, is_queue = text(party, "name"), text(party, "kind") == PartyKind.QUEUE
    if not name:
        return _("a queue") if is_queue else _("a user")
    return (_("queue %(name)s") if is_queue else _("user %(name)s")) % {"name": name}


def record(match: Data) -> str:
    """ "contact Ada", in the words of its model; "" where nothing is recorded."""
    kind = text(match, "kind")
    if not kind:
        return ""
    try:
        word = str(apps.get_model(kind)._meta.verbose_name)
    except (LookupError, ValueError):
        word = kind.rpartition(".")[2]  # a model that this site had once
    words = f"{word} {text(match, 'name')}".strip()
    return _("%(record)s (inactive)") % {"record": words} if match.get("inactive") else words


def moment(iso: str) -> str:
    try:
        return when(datetime.fromisoformat(iso))
    except (ValueError, OverflowError):
        return iso or "?"


def when(at: datetime) -> str:
    """A time as all sentences write it."""
    return date_format(localtime(at), MOMENT)


def octets(value: str) -> str:
    """filesizeformat, with the unbreakable blank that it puts there made plain."""
    return str(filesizeformat(value or 0)).replace("\xa0", " ")
