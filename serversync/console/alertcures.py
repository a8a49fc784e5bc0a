"""PURE  what can be pressed about a condition, for all mailboxes that have it at once: which of the console's
deeds cures which condition of R8.20."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext_lazy as _

from mailboxes.conditions import Nature, Scope, explain


class Cure(StrEnum):
    APPROVE = "approve"
    TEST = "test_and_enable"
    SYNCHRONIZE = "synchronize"
    ACTIVATE = "activate"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Button:
    """`mailboxes`: it is done to the mailboxes of the group; else to their quarantined items."""

    cure: Cure
    words: Any
    mailboxes: bool = True


BUTTONS = {
    Cure.APPROVE: Button(Cure.APPROVE, _("Approve")),
    Cure.TEST: Button(Cure.TEST, _("Test & Enable")),
    Cure.SYNCHRONIZE: Button(Cure.SYNCHRONIZE, _("Synchronize now")),
    Cure.ACTIVATE: Button(Cure.ACTIVATE, _("Activate")),
    Cure.RETRY: Button(Cure.RETRY, _("Retry the quarantined items"), mailboxes=False),
}

#: Conditions with a cure of their own. Empty: a form, a question or a sign-in cures, and no press.
_OWN: dict[str, tuple[Cure, ...]] = {
    "EmailAddressNotApproved": (Cure.APPROVE, Cure.TEST),
    "AddressMovedToOtherMailbox": (Cure.APPROVE,),
    "AddressChanged": (Cure.APPROVE, Cure.TEST),
    "MailboxDisabled": (Cure.ACTIVATE, Cure.TEST),
    "NotTested": (Cure.TEST,),
    "Quarantined": (Cure.RETRY,),
    "HookFailed": (Cure.RETRY,),
    "PrivilegeDenied": (Cure.RETRY,),
    "EmailWaiting": (Cure.TEST, Cure.SYNCHRONIZE),
    "MailboxSilent": (Cure.SYNCHRONIZE, Cure.TEST),
    "ProfileSilent": (Cure.SYNCHRONIZE, Cure.TEST),
    "MassDeleteStopped": (),
    "ActWaitsForApproval": (),
}


def cures_of(code: str) -> tuple[Button, ...]:
    """The first is what one wants to press most often."""
    return tuple(BUTTONS[cure] for cure in _cures(code))


def _cures(code: str) -> tuple[Cure, ...]:
    if code in _OWN:
        return _OWN[code]
    condition = explain(code)
    if condition.level == Scope.EMAIL or condition.nature == Nature.INFORMATION:
        return ()
    if condition.nature == Nature.PERMANENT:
        return (Cure.TEST,)
    return (Cure.SYNCHRONIZE, Cure.TEST)
