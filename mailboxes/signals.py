"""What follows when users, queues and mailboxes are saved or deleted, wherever that happens.

Forms call the services themselves; these receivers keep the same rules for shells, commands and code.
Receivers run in the transaction of the save (`Record.save`) or of the deletion.
"""

from collections.abc import Collection
from typing import Any

from django.db.models.signals import post_save, pre_delete, pre_save
from django.utils import timezone

from mailboxes import services
from mailboxes.choices import AccessApproval
from mailboxes.models import Mailbox, Queue, SystemUser


def connect() -> None:
    """Called once, when the applications are ready."""
    for party in (SystemUser, Queue):
        label = party._meta.label
        pre_save.connect(_party_changes, sender=party, dispatch_uid=f"mailbox-watches-{label}")
        post_save.connect(_party_saved, sender=party, dispatch_uid=f"mailbox-follows-{label}")
        pre_delete.connect(_party_leaves, sender=party, dispatch_uid=f"mailbox-retires-{label}")
    pre_save.connect(_mailbox_begins, sender=Mailbox, dispatch_uid="mailbox-begins")
    post_save.connect(_mailbox_saved, sender=Mailbox, dispatch_uid="mailbox-saved")


def _party_changes(
    instance: SystemUser | Queue, update_fields: Collection[str] | None = None, **_: Any
) -> None:
    """Whether a user or queue is being switched off or on: only that moves the mailbox's state, not
    every later save of one whose mailbox somebody deactivated by hand (R1.41)."""
    if instance._state.adding:
        return
    column = services.state_column(instance)
    if update_fields is None or column in update_fields:
        rows = type(instance)._default_manager.filter(pk=instance.pk)
        before = rows.values_list(column, flat=True).first()
        instance.__dict__["_is_switched"] = before != getattr(instance, column)


def _party_saved(
    instance: SystemUser | Queue,
    created: bool,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    """R1.2, R1.30 for a new one; R1.3, R1.4, R1.41 for a changed one. Fixtures bring their own rows."""
    if raw:
        return
    now, actor = timezone.now(), instance.modified_by
    if not created:
        columns = set(update_fields or (field.name for field in instance._meta.fields))
        if not instance.__dict__.pop("_is_switched", False):
            columns.discard(services.state_column(instance))
        services.follow_party(party=instance, columns=columns, now=now, actor=actor)
    elif isinstance(instance, SystemUser):
        services.equip_user(user=instance, now=now, actor=actor)
    else:
        services.provide_mailbox(party=instance, now=now, actor=actor)


def _party_leaves(instance: SystemUser | Queue, **_: Any) -> None:
    """R1.45."""
    services.retire(party=instance, now=timezone.now())


def _mailbox_begins(instance: Mailbox, raw: bool = False, **_: Any) -> None:
    """A new mailbox with an address waits for approval (R2.1)."""
    if raw or not instance._state.adding:
        return
    if instance.email_address and instance.email_router_access_approval == AccessApproval.EMPTY:
        instance.email_router_access_approval = AccessApproval.PENDING


def _mailbox_saved(
    instance: Mailbox,
    created: bool,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    """The engine's rows for a new one; the other record's address for a changed one (R1.4)."""
    if raw:
        return
    if created:
        services.add_workloads(mailbox=instance, now=timezone.now())
    elif update_fields is None or "email_address" in update_fields:
        services.follow_mailbox(mailbox=instance, now=timezone.now(), actor=instance.modified_by)
