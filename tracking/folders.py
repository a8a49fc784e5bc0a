"""PURE  folder rules: which may be made, whether one still works, whose record a message takes.

Asked by forms and services before they write, and by the engine for each message of a tracked folder
(section 7.1).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import IncomingDeliveryMethod, ServerType
from mailboxes.protocols.base import INBOX, RemoteFolder
from tracking.choices import FolderState, LinkBecause

Faults = dict[str, str | Promise]
#: A record by content type and key; two of them are the same record if they are equal.
Record = tuple[int, str]


# -- which rules may be made ---------------------------------------------------------------------


class Settings(Protocol):
    max_folder_based_tracking_mappings: int
    is_folder_based_tracking_enabled: bool

    def effective(self, name: str) -> Any: ...


class MailboxFacts(Protocol):
    incoming_email_delivery_method: int
    is_forward_mailbox: bool

    @property
    def serves_user(self) -> bool: ...

    @property
    def serves_queue(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    """A rule that somebody wants to make.

    `server_type`: of the mailbox's profile, None without one. `others`: folders that its other rules
    name. `tree`: the folders below the inbox as they were last read, None if they never were.
    """

    mailbox: MailboxFacts
    server_type: int | None
    organization: Settings
    folder: str = ""
    others: Collection[str] = ()
    tree: Sequence[RemoteFolder] | None = None


def rule_faults(facts: RuleFacts) -> Faults:
    """What speaks against a new rule: field -> message. "mailbox": no rule at all can be made."""
    if because := mailbox_fault(facts):
        return {"mailbox": because}
    if because := _folder_fault(facts):
        return {"exchange_folder_id": because}
    return {}


def mailbox_fault(facts: RuleFacts) -> str | Promise | None:
    """Why this mailbox gets no (further) rule, whatever the folder (R7.1, R7.3); None if it may."""
    if because := kind_fault(facts.mailbox, facts.server_type, facts.organization):
        return because
    limit = facts.organization.max_folder_based_tracking_mappings
    if len(facts.others) < limit:
        return None
    return _(
        "This mailbox has %(count)s folder rules, and the organization allows %(limit)s. Remove one, "
        "or raise the limit. (R7.3)"
    ) % {"count": len(facts.others), "limit": limit}


def kind_fault(
    mailbox: MailboxFacts, server_type: int | None, organization: Settings
) -> str | Promise | None:
    """Why folders of this mailbox are not tracked (R7.1, R7.30); the engine asks it, too."""
    if not organization.is_folder_based_tracking_enabled:
        return _("The organization doesn't track by folder. It can be switched on there. (R7.1)")
    if mailbox.is_forward_mailbox or not (mailbox.serves_user or mailbox.serves_queue):
        return _(
            "Folders are tracked for users and queues; this mailbox belongs to neither. (R7.1)"
        )
    if server_type is None:
        return _("The mailbox has no server profile, so it has no folders. Choose one. (R7.1)")
    if mailbox.incoming_email_delivery_method != IncomingDeliveryMethod.SERVER_SIDE_SYNC:
        return _(
            "Mail of this mailbox is not read by server-side synchronization. Set its incoming email "
            "to that. (R7.1)"
        )
    kind = ServerType(server_type)
    if kind == ServerType.POP3_SMTP:
        return _("POP3 knows the inbox only, and no folders. Use IMAP or Exchange. (R7.1)")
    if kind == ServerType.IMAP_SMTP and not organization.effective(
        "allow_folder_tracking_for_imap"
    ):
        return _(
            "The original tracks folders of Exchange only. The organization can allow them for IMAP. "
            "(R7.30)"
        )
    if mailbox.serves_queue and not organization.effective("allow_folder_tracking_for_queues"):
        return _(
            "The original tracks folders of users only. The organization can allow them for queues. "
            "(R7.1, R10.15)"
        )
    return None


def _folder_fault(facts: RuleFacts) -> str | Promise | None:
    if not facts.folder:
        return _("Choose the folder that is to be tracked. (R7.2)")
    if facts.folder in facts.others:
        return _("This folder has a rule already. Change that one. (R7.2)")
    if facts.folder.upper() == INBOX:
        return _("The inbox itself is read anyway. Choose a folder below it. (R7.4)")
    if facts.tree is not None and find(facts.tree, facts.folder) is None:
        return _(
            "There is no such folder below the inbox. Read the folders from the server again, if it "
            "is new. (R7.4)"
        )
    return None


def find(tree: Iterable[RemoteFolder], folder: str) -> RemoteFolder | None:
    return next((one for one in tree if one.folder == folder), None)


# -- does it still work --------------------------------------------------------------------------


def rule_state(
    folder: str,
    tree: Iterable[RemoteFolder],
    exists: bool | None,
    before: str = FolderState.ACTIVE,
) -> FolderState:
    """The state of a rule after the folders were read (R7.5, R7.11).

    `exists`: whether the server knows a folder that is not in the tree; None: it wasn't asked.

    A folder that was moved elsewhere is tracked again once it is back below the inbox, and one that
    could not be opened is tried again. One that was deleted stays so: where its name is its id (IMAP), a new folder would pass for it.
    """
    if before == FolderState.MISSING:
        return FolderState.MISSING
    if find(tree, folder) is not None:
        return FolderState.ACTIVE
    return FolderState.MISSING if exists is False else FolderState.OUTSIDE


# -- whose record a message takes ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RuleLine:
    """What the engine knows of the rule whose folder a message lies in. `record`: None without one, or
    if the record is gone."""

    id: UUID
    mailbox: UUID
    record: Record | None
    state: str = FolderState.ACTIVE
    relink_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """How an e-mail is filed now.

    `regarding`: under which record. `given`: what this product itself filed it under last: the record
    of its FolderLink, else the regarding in its decision; if the two differ, a person was at it.
    `mailbox`, `rule`: of its FolderLink. `lies_there`: it still lies in the folder of that rule, too.
    `in_folder_since`: when the ledger first saw it in this folder; None: just now.
    """

    regarding: Record | None = None
    given: Record | None = None
    mailbox: UUID | None = None
    rule: UUID | None = None
    lies_there: bool = False
    in_folder_since: datetime | None = None

    @property
    def by_hand(self) -> bool:
        return self.regarding != self.given


@dataclass(frozen=True, slots=True)
class LinkDecision:
    """What to write, and why. `regarding`: the record to file it under, None: leave it as it is.
    `links`: note in FolderLink that this rule gave that record."""

    because: LinkBecause
    regarding: Record | None = None
    links: bool = False


def link_decision(filed: Filed, rule: RuleLine, *, keep_manual: bool = False) -> LinkDecision:
    """Whether an e-mail in a rule's folder takes the rule's record (R7.10, R7.11, R10.14, R10.28).

    `keep_manual`: the organization's switch `keep_manual_regarding`, as it acts.
    """
    if because := _left_alone(filed, rule, keep_manual):
        return LinkDecision(because)
    is_linked = filed.rule == rule.id and filed.given == rule.record
    if filed.regarding == rule.record:
        return LinkDecision(LinkBecause.ALREADY, links=not is_linked)
    return LinkDecision(LinkBecause.RULE, rule.record, links=True)


def _left_alone(filed: Filed, rule: RuleLine, keep_manual: bool) -> LinkBecause | None:
    """Why the rule has no say, in the order in which it is best understood."""
    if rule.state != FolderState.ACTIVE:
        return LinkBecause.RULE_OFF
    if rule.record is None:
        return LinkBecause.NO_RECORD
    if filed.mailbox not in (None, rule.mailbox):
        return LinkBecause.FIRST_FOLDER
    if filed.rule not in (None, rule.id) and filed.lies_there:
        return LinkBecause.FIRST_FOLDER  # a copy of it, in another folder of the same mailbox
    since = filed.in_folder_since
    if rule.relink_from and since is not None and since < rule.relink_from:
        return LinkBecause.BEFORE_CHANGE
    if keep_manual and filed.by_hand:
        return LinkBecause.BY_HAND
    return None
