"""Folder rules are made, pointed at another record, and removed (section 7.1).

The only writers of what a person decides about them; the engine writes the rest.
"""

from collections.abc import Sequence
from datetime import datetime

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model

from mailboxes import access
from mailboxes.models import Mailbox, Organization, SystemUser
from mailboxes.protocols.base import RemoteFolder
from tracking.access import mailboxes_of
from tracking.choices import FolderState
from tracking.folders import Record, RuleFacts, find, rule_faults
from tracking.models import MailboxTrackingFolder


@transaction.atomic
def create_rule(
    *,
    mailbox: Mailbox,
    folder: str,
    record: Model | None = None,
    track_from: datetime | None = None,
    now: datetime,
    actor: SystemUser | None = None,
) -> MailboxTrackingFolder:
    """Track a folder from now on, and what lies there already since `track_from` (R7.7).

    Raises ValidationError by column for what is illegal (R7.1-R7.4), PermissionDenied."""
    if actor is not None and not mailboxes_of(actor).filter(pk=mailbox.pk).exists():
        raise access.refusal(MailboxTrackingFolder, "add")
    Mailbox.objects.select_for_update().get(pk=mailbox.pk)  # R7.3 holds for two at a time
    if faults := rule_faults(facts_of(mailbox, Organization.objects.current(), folder)):
        raise ValidationError(dict(faults))
    remote = find(tree_of(mailbox) or (), folder)
    rule = MailboxTrackingFolder(
        mailbox=mailbox,
        exchange_folder_id=folder,
        exchange_folder_name=name_of(remote) if remote else folder[:256],
        track_from=track_from,
        created_on=now,
        created_by=actor,
        modified_by=actor,
    )
    _point_at(rule, record)
    rule.save(force_insert=True)
    return rule


@transaction.atomic
def change_record(
    *,
    rule: MailboxTrackingFolder,
    record: Model,
    only_new: bool,
    now: datetime,
    actor: SystemUser | None = None,
) -> None:
    """File the folder's mail under another record: all of it, or only what comes from now on (R10.28)."""
    _require(actor, "change", rule)
    _point_at(rule, record)
    _write(rule, now, actor, relink_from=now if only_new else None)


@transaction.atomic
def remove_record(
    *, rule: MailboxTrackingFolder, now: datetime, actor: SystemUser | None = None
) -> None:
    """Go on tracking, without a record. What is filed stays as it is (R7.11)."""
    _require(actor, "change", rule)
    _point_at(rule, None)
    _write(rule, now, actor, relink_from=None)


@transaction.atomic
def track_again(
    *, rule: MailboxTrackingFolder, now: datetime, actor: SystemUser | None = None
) -> None:
    """The folder is there again and is the one that was meant. Raises ValidationError if the folders as
    they were last read don't have it."""
    _require(actor, "change", rule)
    facts = facts_of(rule.mailbox, Organization.objects.current(), rule.exchange_folder_id, rule)
    if faults := rule_faults(facts):
        raise ValidationError([str(words) for words in faults.values()])
    rule.state = FolderState.ACTIVE
    _write(rule, now, actor, state=rule.state)


@transaction.atomic
def remove_rule(*, rule: MailboxTrackingFolder, actor: SystemUser | None = None) -> None:
    """Stop tracking the folder. Stored emails stay, with their records (R7.11)."""
    _require(actor, "delete", rule)
    rule.delete()


# -- what the rules of folders.py ask about ------------------------------------------------------


def facts_of(
    mailbox: Mailbox,
    organization: Organization,
    folder: str = "",
    besides: MailboxTrackingFolder | None = None,
) -> RuleFacts:
    """One statement for the other rules; the mailbox's profile and layout if they weren't read along."""
    others = MailboxTrackingFolder.objects.filter(mailbox=mailbox)
    if besides is not None:
        others = others.exclude(pk=besides.pk)
    profile = mailbox.email_server_profile
    return RuleFacts(
        mailbox=mailbox,
        server_type=profile.server_type if profile else None,
        organization=organization,
        folder=folder,
        others=frozenset(others.values_list("exchange_folder_id", flat=True)),
        tree=tree_of(mailbox),
    )


def tree_of(mailbox: Mailbox) -> list[RemoteFolder] | None:
    """The folders below the inbox as they were last read; None if this account's never were."""
    layout = getattr(mailbox, "layout", None)
    if layout is None or layout.hierarchy_read_at is None:
        return None
    if layout.generation != mailbox.account_generation:
        return None
    return [
        RemoteFolder(row["folder"], tuple(map(visible, row["path"])), row.get("messages"))
        for row in layout.folder_hierarchy
    ]


def ref_of_rule(rule: MailboxTrackingFolder) -> Record | None:
    if rule.regarding_type_id is None or not rule.regarding_id:
        return None
    return (rule.regarding_type_id, rule.regarding_id)


def name_of(folder: RemoteFolder) -> str:
    return visible(folder.path[-1])[:256] if folder.path else folder.folder[:256]


def path_words(path: Sequence[str]) -> str:
    return " / ".join(map(visible, path))


def visible(name: str) -> str:
    """A folder's name without what ends lines, turns letters round or hides them: others may have made
    the folder, and the name gets into pages and mails."""
    return "".join(letter for letter in name if letter.isprintable()) or "?"


# -- inside --------------------------------------------------------------------------------------


def _point_at(rule: MailboxTrackingFolder, record: Model | None) -> None:
    kind = ContentType.objects.get_for_model(type(record)) if record is not None else None
    rule.regarding_type = kind
    rule.regarding_id = str(record.pk) if record is not None else ""


def _write(
    rule: MailboxTrackingFolder, now: datetime, actor: SystemUser | None, **columns: object
) -> None:
    """Only what a person decided: the engine may be counting in the same row."""
    for name, value in columns.items():
        setattr(rule, name, value)
    MailboxTrackingFolder.objects.filter(pk=rule.pk).update(
        regarding_type=rule.regarding_type,
        regarding_id=rule.regarding_id,
        modified_on=now,
        modified_by=actor,
        **columns,
    )


def _require(actor: SystemUser | None, action: str, rule: MailboxTrackingFolder) -> None:
    if actor is not None and not access.may(actor, action, rule):
        raise access.refusal(MailboxTrackingFolder, action)
