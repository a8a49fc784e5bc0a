"""Who may open what: one's own mailbox, another's as a delegate, and impersonation.

What is wrong with the header of a request is a SOAP fault, what is wrong with one object a refusal.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

from serversync.sandbox.ews import soap
from serversync.sandbox.ews.soap import Element, Refusal, SoapFault, T
from serversync.sandbox.ews.store import Account, Folder, Store

if TYPE_CHECKING:
    from serversync.sandbox.ews.authentication import Principal
    from serversync.sandbox.ews.call import Call

FULL_ACCESS, SEND_AS, SEND_ON_BEHALF, IMPERSONATE = (
    "FullAccess",
    "SendAs",
    "SendOnBehalf",
    "Impersonate",
)


class Right(IntEnum):
    """What a folder permission allows; each includes those before it."""

    NONE = 0
    SEE = 1
    READ = 2
    WRITE = 3
    OWN = 4


#: Permission levels of folders, as Outlook names them.
FOLDER_LEVELS = {
    "None": Right.NONE,
    "Contributor": Right.SEE,
    "Reviewer": Right.READ,
    "Author": Right.WRITE,
    "Editor": Right.WRITE,
    "PublishingEditor": Right.OWN,
    "Owner": Right.OWN,
}


def acting(
    store: Store, principal: "Principal", header: Element | None
) -> tuple[Account | None, str]:
    """The account that a request acts for, and its address. Raises SoapFault."""
    impersonation = None if header is None else header.find(f"{T}ExchangeImpersonation")
    if impersonation is None:
        if principal.is_application:
            text = "ExchangeImpersonation SOAP header must be present for this type of OAuth token."
            raise SoapFault("ErrorImpersonationRequired", text)
        return store.account(principal.address), principal.address
    address = _named(impersonation)
    account = store.account(address)
    if account is None:
        raise SoapFault("ErrorNonExistentMailbox")
    is_other = not principal.is_application and account.address != principal.address.lower()
    if is_other and IMPERSONATE not in store.levels(account.address, principal.address):
        raise SoapFault("ErrorImpersonateUserDenied")
    return account, account.address


def _named(impersonation: Element) -> str:
    sids = soap.children(soap.required(impersonation, f"{T}ConnectingSID"))
    names = {f"{T}PrimarySmtpAddress", f"{T}SmtpAddress", f"{T}PrincipalName"}
    for sid in sids:
        if sid.tag in names and (sid.text or "").strip():
            return (sid.text or "").strip()
    raise SoapFault(
        "ErrorInvalidExchangeImpersonationHeaderData", "The impersonation names nobody."
    )


def opened(call: "Call", account: Account | None, address: str) -> Account:
    """A mailbox that is there and in order. Raises Refusal."""
    if account is None or not account.has_mailbox:
        raise Refusal("ErrorNonExistentMailbox", f"The SMTP address {address} has no mailbox.")
    if not account.is_enabled:
        raise Refusal("ErrorAccountDisabled")
    if not account.is_licensed:
        raise Refusal("ErrorInvalidLicense", "The mailbox has no valid licence.")
    return account


def require(call: "Call", folder: Folder, right: Right, *, item_error: bool = False) -> None:
    """Raises Refusal unless whoever acts has `right` on the folder."""
    owner = call.store.account_of(folder.account)
    if owner is None:
        raise Refusal("ErrorItemNotFound" if item_error else "ErrorFolderNotFound")
    opened(call, owner, owner.address)
    if held(call.store, owner, call.actor_address, folder) < right:
        raise Refusal("ErrorAccessDenied")


def held(store: Store, owner: Account, holder: str, folder: Folder) -> Right:
    if holder.lower() in (owner.address, *owner.aliases):
        return Right.OWN
    if FULL_ACCESS in store.levels(owner.address, holder):
        return Right.OWN
    levels = store.levels(owner.address, holder, folder.id)
    return max((FOLDER_LEVELS.get(level, Right.NONE) for level in levels), default=Right.NONE)


def require_room(call: "Call", account: Account, size: int) -> None:
    """Raises Refusal if the mailbox is full."""
    full = (
        account.quota_bytes is not None
        and call.store.used_bytes(account.guid) + size > account.quota_bytes
    )
    if account.is_full or full:
        raise Refusal("ErrorQuotaExceeded")


def require_sender(call: "Call", sender: Account | None, address: str) -> bool:
    """May whoever acts send as `address`? True: on behalf of it, so that the message names both.
    Raises Refusal."""
    actor = call.actor
    if actor is not None and address.lower() in (actor.address, *actor.aliases):
        return False
    levels = call.store.levels(sender.address if sender else address, call.actor_address)
    if SEND_AS in levels:
        return False
    if SEND_ON_BEHALF in levels:
        return True
    raise Refusal("ErrorSendAsDenied")


def effective_rights(right: Right) -> Element:
    """The t:EffectiveRights of a folder or item."""
    may = {
        "CreateAssociated": Right.OWN,
        "CreateContents": Right.WRITE,
        "CreateHierarchy": Right.OWN,
        "Delete": Right.WRITE,
        "Modify": Right.WRITE,
        "Read": Right.READ,
        "ViewPrivateItems": Right.OWN,
    }
    return soap.make(
        f"{T}EffectiveRights",
        *(soap.make(T + name, soap.boolean(right >= least)) for name, least in may.items()),
    )
