"""Cases and the rules that make them, with their buttons."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from activities.admin import CaseScreen
from serversync.console.deeds import Deed, Deeds
from tracking.creation_admin import ConvertRuleScreen


class CaseConsole(Deeds, CaseScreen):
    deeds = (
        Deed("resolve", _("Resolve"), main=True),
        Deed("cancel", _("Cancel the case")),
        Deed("take_up", _("Take up again"), main=True),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        return [deed for deed in self.deeds if (deed.name == "take_up") is not obj.is_active_state]


class ConvertRuleConsole(Deeds, ConvertRuleScreen):
    deeds = (
        Deed("activate", _("Activate"), main=True),
        Deed("deactivate", _("Deactivate")),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        name = "deactivate" if obj.is_active_state else "activate"
        return [deed for deed in self.deeds if deed.name == name]
