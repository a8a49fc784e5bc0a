"""Is what a profile signs with published in DNS? Asked by Test & Enable, and by hand."""

from collections.abc import Callable

from django.utils.translation import gettext as _

from activities.mime.dkim import Signer
from mailboxes.dkim import Published, compare, record_name
from mailboxes.protocols.errors import PermanentError
from mailboxes.protocols.txt import look_up

LookUp = Callable[[str], tuple[str, ...] | None]


class RecordWrong(PermanentError):
    """Receivers would find every signature false, or none to check it by."""

    code = "DkimRecordWrong"


def check_record(signer: Signer, ask: LookUp | None = None) -> str:
    """What was found, in words. That nobody answered is no fault of the record. Raises RecordWrong."""
    name = record_name(signer.selector, signer.domain)
    texts = (ask or look_up)(name)
    if texts is None:
        return _("No name server answered, so %(name)s was not checked.") % {"name": name}
    found = compare(texts, signer.key)
    if found is not Published.RIGHT:
        raise RecordWrong(_said(found) % {"name": name})
    return _("%(name)s holds the right key.") % {"name": name}


def _said(found: Published) -> str:
    return {
        Published.MISSING: _("%(name)s has no DKIM record."),
        Published.REVOKED: _("The key at %(name)s is revoked."),
        Published.ANOTHER: _("%(name)s holds another key."),
        Published.SEVERAL: _("%(name)s has several DKIM records; there must be one."),
    }[found]
