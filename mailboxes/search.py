"""Keeps EmailSearch true: which addresses belong to which record (R3.30, R3.31).

The one permitted signal between rooms: saves and deletes of every model in EMAIL_ENABLED_MODELS.
Bulk writers bypass signals and call `reindex`.
"""

from collections.abc import Collection, Iterable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.db.models.signals import post_delete, post_save

from mailboxes.addresses import address_key
from mailboxes.models import EmailSearch

LONGEST = (
    320  # the index's column; no address that can be delivered to is longer (RFC 5321, 4.5.3.1)
)


def enabled_models() -> list[type[models.Model]]:
    return [apps.get_model(label) for label in settings.EMAIL_ENABLED_MODELS]


def email_columns(model: type[models.Model]) -> list[str]:
    """Names of the address columns of a model, in the order of their definition."""
    return [field.name for field in model._meta.fields if isinstance(field, models.EmailField)]


def connect() -> None:
    """Listen to every email-enabled model. Called once, when the applications are ready."""
    for model in enabled_models():
        label = model._meta.label
        post_save.connect(_saved, sender=model, dispatch_uid=f"emailsearch-save-{label}")
        post_delete.connect(_deleted, sender=model, dispatch_uid=f"emailsearch-delete-{label}")


def _saved(
    sender: type[models.Model],
    instance: models.Model,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **_: Any,
) -> None:
    if raw or (update_fields is not None and not {*email_columns(sender)} & {*update_fields}):
        return
    _write(sender, [instance])


def _deleted(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    EmailSearch.objects.filter(
        parent_type=ContentType.objects.get_for_model(sender), parent_id=str(instance.pk)
    ).delete()


def rows_of(record: models.Model) -> dict[str, int]:
    """Address -> number of its column, the first column winning where two hold the same."""
    found: dict[str, int] = {}
    for number, name in enumerate(email_columns(type(record)), start=1):
        key = address_key(getattr(record, name) or "")
        if 0 < len(key) <= LONGEST:
            found.setdefault(key, number)
    return found


def _write(model: type[models.Model], records: Collection[models.Model]) -> int:
    """Make the index rows of these records right, touching only what differs."""
    kind = ContentType.objects.get_for_model(model)
    wanted = {
        (str(record.pk), address): number
        for record in records
        for address, number in rows_of(record).items()
    }
    ids = {str(record.pk) for record in records}
    with transaction.atomic(savepoint=False):
        have = {
            (row.parent_id, row.email_address): row
            for row in EmailSearch.objects.filter(parent_type=kind, parent_id__in=ids)
        }
        stale = [
            row.pk
            for key, row in have.items()
            if key not in wanted or wanted[key] != row.email_column_number
        ]
        kept = {key for key, row in have.items() if row.pk not in set(stale)}
        missing = [
            EmailSearch(
                parent_type=kind, parent_id=key[0], email_address=key[1], email_column_number=number
            )
            for key, number in wanted.items()
            if key not in kept
        ]
        if stale:
            EmailSearch.objects.filter(pk__in=stale).delete()
        if missing:
            EmailSearch.objects.bulk_create(missing, ignore_conflicts=True)
    return len(stale) + len(missing)


def add_to_index(records: Iterable[tuple[type[models.Model], Any, str]]) -> None:
    """(model, key, address of the first column) of records just made in bulk. One statement; for
    records that were there before call `reindex`."""
    EmailSearch.objects.bulk_create(
        [
            EmailSearch(
                parent_type=ContentType.objects.get_for_model(model),
                parent_id=str(key),
                email_address=address_key(address),
                email_column_number=1,
            )
            for model, key, address in records
        ],
        ignore_conflicts=True,
    )


def reindex(model: type[models.Model], ids: Iterable[Any] | None = None) -> int:
    """Repair the index for some or all records of a model; returns how many rows were wrong."""
    queryset = model._default_manager.all()
    kind = ContentType.objects.get_for_model(model)
    if ids is not None:
        queryset = queryset.filter(pk__in=list(ids))
    wrong = 0
    page: list[models.Model] = []
    for record in queryset.iterator(chunk_size=500):
        page.append(record)
        if len(page) == 500:
            wrong += _write(model, page)
            page = []
    if page:
        wrong += _write(model, page)
    if ids is None:
        known = {str(pk) for pk in model._default_manager.values_list("pk", flat=True)}
        orphans = [
            row.pk
            for row in EmailSearch.objects.filter(parent_type=kind).iterator()
            if row.parent_id not in known
        ]
        wrong += len(orphans)
        for start in range(0, len(orphans), 500):
            EmailSearch.objects.filter(pk__in=orphans[start : start + 500]).delete()
    return wrong
