"""Under which record a message is filed, and who decided that (R3.49, R7.10, R3.58, R3.52a)."""

from dataclasses import dataclass

from django.contrib.contenttypes.models import ContentType

from tracking import trace
from tracking.correlate import StoredEmail
from tracking.creation import CASE, Creation
from tracking.prospects import case_type_id
from tracking.reading import Former, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """`type_id` and `key` of the record, None and "" for none; `named`: as the trace tells it; `hook`:
    the site's own code that had named it when the message was decided before."""

    type_id: int | None = None
    key: str = ""
    named: trace.Named | None = None
    hook: str = ""


def file_under(
    reading: Reading, creation: Creation, answered: StoredEmail | None, former: Former
) -> Filing:
    """The case that is made goes before the folder's record, that before the one of the email answered."""
    found = _case(creation) or _by_folder(reading) or _as_answered(answered)
    if found.key or not former.hook:
        return found
    type_id, key = former.filed or (None, "")
    return Filing(type_id=type_id, key=key, named=named_record(type_id, key), hook=former.hook)


def named_record(type_id: int | None, key: str) -> trace.Named | None:
    if not key or type_id is None:
        return None
    model = ContentType.objects.get_for_id(type_id).model_class()
    return trace.Named(model._meta.label_lower if model else "", key)


def _case(creation: Creation) -> Filing | None:
    case = creation.case
    if case is None:
        return None
    named = trace.Named(CASE, str(case.id), f"{case.title} ({case.number})")
    return Filing(type_id=case_type_id(), key=str(case.id), named=named)


def _by_folder(reading: Reading) -> Filing | None:
    rule = reading.rule
    if rule is None or rule.record is None:
        return None
    return Filing(type_id=rule.record_type_id, key=rule.record.id, named=rule.record)


def _as_answered(answered: StoredEmail | None) -> Filing:
    if answered is None:
        return Filing()
    type_id, key = answered.regarding_type_id, answered.regarding_id
    return Filing(type_id=type_id, key=key, named=named_record(type_id, key))
