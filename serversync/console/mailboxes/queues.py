"""Queues: their deeds."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from mailboxes.admin import QueueScreen
from serversync.console.conflicts import WarnsOfSharedAddresses
from serversync.console.deeds import Deed, Deeds
from serversync.console.help import RuleLinks


class QueueConsole(WarnsOfSharedAddresses, RuleLinks, Deeds, QueueScreen):
    deeds = (
        Deed("activate", _("Activate"), needs="change"),
        Deed("deactivate", _("Deactivate"), grave=True, needs="change"),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        hidden = "activate" if obj.is_active_state else "deactivate"
        return [deed for deed in self.deeds if deed.name != hidden]
