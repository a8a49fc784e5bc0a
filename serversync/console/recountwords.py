"""What each difference of a recount means, and what putting it right does."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from serversync.differences import Difference

#: Difference -> how its badge looks, what it is, what is done about it.
KINDS: dict[str, tuple[str, Any, Any]] = {
    Difference.MISSED: (
        "bad",
        _("on the server, and unknown to the ledger"),
        _("the next cycle fetches and decides it"),
    ),
    Difference.RENAMED: (
        "warn",
        _("on the server under another key than the ledger knows"),
        _("the ledger learns the key"),
    ),
    Difference.GIVEN_UP: (
        "bad",
        _("noted as gone before it was read, and still on the server"),
        _("the next cycle fetches and decides it"),
    ),
    Difference.STUCK: (
        "bad",
        _("to be tried again, but at no time"),
        _("the next cycle tries it"),
    ),
    Difference.THERE: (
        "warn",
        _("noted as having left the folder, and still there"),
        _("it is noted as there"),
    ),
    Difference.LEFT: (
        "warn",
        _("noted as lying in the folder, and no longer there"),
        _("it is noted as having left"),
    ),
}
