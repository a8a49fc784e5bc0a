"""The audit trail: who signed in, who got which right, whose secret was replaced, who did what to what.

Most of it is noted where it happens, by signals, with who is acting and from where taken from the request that
is being answered. What the engine does by itself is in the ledger, and not here.
"""

import json
from collections.abc import Callable, Collection, Iterable
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.signals import m2m_changed, post_save, pre_save
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mailboxes.models import GroupReach, Organization, SystemUser
from mailboxes.screens import acted, name_in_logs
from serversync.models import AuditEntry
from serversync.people.choices import AuditKind
from serversync.people.throttling import neighbourhood

MOST_ROWS = 200  # of one action that are noted one by one
_request: ContextVar[HttpRequest | None] = ContextVar("audited_request", default=None)

#: Columns that a provider fills anew every hour.
RENEWED = {"oauth_access_token", "oauth_refresh_token"}
NOT_BY_HAND = {"serversync.Authenticator", "serversync.Import"}


class Acting:
    """Middleware, behind that of authentication: lets what happens below know who acts."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = _request.set(request)
        try:
            return self.get_response(request)
        finally:
            _request.reset(token)


def hears() -> bool:
    """Whether what is saved now is noted by signals: a request is being answered."""
    return _request.get() is not None


def address_of(request: HttpRequest | None) -> str:
    """Of whom the request comes from; "" where that isn't known. Behind a proxy it is what that proxy added,
    the last of the list: whatever stands before it anybody could have written."""
    if request is None:
        return ""
    if settings.BEHIND_PROXY:
        forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", ""))
        if forwarded:
            return forwarded.rpartition(",")[2].strip()
    return str(request.META.get("REMOTE_ADDR", ""))


def record(
    kind: AuditKind,
    *,
    actor: Any = None,
    about: Any = None,
    subject: models.Model | None = None,
    detail: str = "",
    now: datetime | None = None,
    request: HttpRequest | None = None,
) -> AuditEntry:
    """One entry. Without an actor: whoever sent the request that is being answered."""
    entry = _entry(kind, actor, detail, now or timezone.now(), request or _request.get())
    if about is not None:
        entry.about_user_id = about.pk
        subject = subject or about
    if subject is not None:
        _name(entry, subject)
    entry.save()
    return entry


def forget(now: datetime, organization: Organization) -> int:
    days = organization.keep_audit_days
    if not days:
        return 0
    return AuditEntry.objects.filter(at__lt=now - timedelta(days=days)).delete()[0]


def _entry(
    kind: AuditKind, actor: Any, detail: str, now: datetime, request: HttpRequest | None
) -> AuditEntry:
    user: Any = actor or getattr(request, "user", None)
    key = getattr(user, "pk", None)
    return AuditEntry(
        at=now,
        kind=kind,
        actor_id=key,
        actor_name=str(user.get_username())[:254] if key else "",
        detail=detail[:500],
        address=_valid(address_of(request)),
    )


def _name(entry: AuditEntry, subject: models.Model) -> None:
    entry.subject_type = subject._meta.label_lower
    entry.subject_id = str(subject.pk)
    entry.subject_name = name_in_logs(subject)[:254]


def _valid(address: str) -> str | None:
    return address if neighbourhood(address) else None


# -- what is heard of ----------------------------------------------------------------------------


def connect() -> None:
    """Called once, when the applications are ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="audit-signed-in")
    user_logged_out.connect(_signed_out, dispatch_uid="audit-signed-out")
    post_save.connect(_logged, sender=LogEntry, dispatch_uid="audit-logged")
    acted.connect(_acted, dispatch_uid="audit-acted")
    for through, words in (
        (SystemUser.groups.through, "group"),
        (SystemUser.user_permissions.through, "permission"),
        (Group.permissions.through, "permission"),
    ):
        m2m_changed.connect(
            _rights_changed, sender=through, dispatch_uid=f"audit-{through.__name__}-{words}"
        )
    pre_save.connect(_user_changes, sender=SystemUser, dispatch_uid="audit-user-changes")
    post_save.connect(_reach_saved, sender=GroupReach, dispatch_uid="audit-reach")
    for model in apps.get_models():
        if model._meta.label not in NOT_BY_HAND and _secrets_of(model):
            label = model._meta.label
            pre_save.connect(_secrets_change, sender=model, dispatch_uid=f"audit-before-{label}")
            post_save.connect(_secrets_changed, sender=model, dispatch_uid=f"audit-after-{label}")


def _signed_in(request: HttpRequest, user: Any, **_: Any) -> None:
    record(AuditKind.SIGNED_IN, actor=user, about=user, request=request)


def _signed_out(request: HttpRequest, user: Any, **_: Any) -> None:
    if user is not None:
        record(AuditKind.SIGNED_OUT, actor=user, about=user, request=request)


_FLAGS = {ADDITION: AuditKind.ADDED, CHANGE: AuditKind.CHANGED, DELETION: AuditKind.DELETED}


def _logged(instance: LogEntry, created: bool, raw: bool = False, **_: Any) -> None:
    """What forms did: the same words as in the history of the record."""
    if not created or raw or instance.content_type_id is None:
        return
    content_type = ContentType.objects.get_for_id(instance.content_type_id)
    entry = _entry(
        _FLAGS[instance.action_flag],
        SystemUser.objects.filter(pk=instance.user_id).first(),
        _fields_of(instance.change_message),
        instance.action_time,
        _request.get(),
    )
    entry.subject_type = f"{content_type.app_label}.{content_type.model}"
    entry.subject_id = str(instance.object_id)
    entry.subject_name = instance.object_repr[:254]
    entry.save()


def _fields_of(message: str) -> str:
    """Names of the changed fields. Never values."""
    try:
        parts = json.loads(message)
    except ValueError:
        return ""
    changed = (part.get("changed", {}) for part in parts if isinstance(part, dict))
    return ", ".join(str(name) for each in changed for name in each.get("fields", ()))


def _acted(
    sender: type[models.Model], request: HttpRequest, action: str, keys: Collection[Any], **_: Any
) -> None:
    """What was pressed, whether or not it was allowed; the answer is the screen's."""
    now = timezone.now()
    noted = list(sender._default_manager.filter(pk__in=list(keys)[:MOST_ROWS]))
    entries = []
    for row in noted:
        entry = _entry(AuditKind.ACTION, None, action, now, request)
        _name(entry, row)
        entries.append(entry)
    AuditEntry.objects.bulk_create(entries)


def _rights_changed(
    instance: Any, action: str, reverse: bool, model: type[models.Model], pk_set: Any, **_: Any
) -> None:
    kinds = {"post_add": AuditKind.GRANTED, "post_remove": AuditKind.REVOKED}
    if action == "pre_clear":
        kind, names = AuditKind.REVOKED, ["*"]
    elif action in kinds and pk_set:
        kind, names = kinds[action], _names(model._default_manager.filter(pk__in=pk_set))
    else:
        return
    user = instance if isinstance(instance, SystemUser) else None
    record(kind, about=user, subject=instance, detail=", ".join(names))


def _names(rows: Iterable[Any]) -> list[str]:
    return sorted(getattr(row, "codename", None) or str(row) for row in rows)


def _reach_saved(instance: GroupReach, raw: bool = False, **_: Any) -> None:
    if not raw:
        detail = f"reach: {instance.get_reach_display()}"
        record(AuditKind.GRANTED, subject=instance.group, detail=detail)


def _user_changes(
    instance: SystemUser,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    """Superusers, passwords and disabled accounts, by whoever's request it is."""
    watched = {"is_superuser", "password", "is_disabled"}
    if raw or instance._state.adding or _request.get() is None:
        return
    columns = watched if update_fields is None else watched & set(update_fields)
    before = SystemUser.objects.filter(pk=instance.pk).values(*columns).first() if columns else None
    for column in sorted(columns):
        if before is None or before[column] == getattr(instance, column):
            continue
        if column == "password":
            record(AuditKind.PASSWORD_CHANGED, about=instance)
        else:
            kind = AuditKind.GRANTED if getattr(instance, column) else AuditKind.REVOKED
            if column == "is_disabled":
                kind = AuditKind.REVOKED if instance.is_disabled else AuditKind.GRANTED
            record(kind, about=instance, detail="sign-in" if column == "is_disabled" else column)


def _secrets_of(model: type[models.Model]) -> list[str]:
    columns = (f.attname for f in model._meta.concrete_fields if getattr(f, "is_secret", False))
    return [column for column in columns if column not in RENEWED]


def _secrets_change(
    sender: type[models.Model],
    instance: models.Model,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    """Only by hand: what no request asked for is the engine's business."""
    if raw or _request.get() is None:
        return
    columns = _secrets_of(sender)
    if update_fields is not None:
        columns = [column for column in columns if column in update_fields]
    if not columns:
        return
    before: dict[str, Any] = {}
    if not instance._state.adding:
        before = sender._default_manager.filter(pk=instance.pk).values(*columns).first() or {}
    changed = {
        column: AuditKind.SECRET_SET if getattr(instance, column) else AuditKind.SECRET_REMOVED
        for column in columns
        if _token(before.get(column)) != _token(getattr(instance, column))
    }
    instance.__dict__["_audited_secrets"] = changed


def _token(secret: Any) -> str:
    return str(secret.token) if secret else ""


def _secrets_changed(instance: models.Model, **_: Any) -> None:
    for column, kind in instance.__dict__.pop("_audited_secrets", {}).items():
        record(kind, subject=instance, detail=column)
