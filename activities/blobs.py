"""StoredBytes: each content once, small ones in the database, large ones in the `mail` storage.

Order: `stage` before the transaction (it may write files), `save` inside it. A file without a row is
harmless and found again by its digest; a row never points at a file that was not written first.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db import models, transaction
from django.db.models import Exists, OuterRef

from activities.choices import BytesPlace
from activities.models import StoredBytes

IN_DATABASE_LIMIT = 256 * 1024
KEEP_UNREFERENCED = timedelta(hours=24)  # longer than any transaction or upload


class BytesMissing(Exception):
    """A row refers to a file that the `mail` storage does not have."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(slots=True)
class Staged:
    """Contents by digest, ready to be saved."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def add(self, content: bytes) -> str:
        key = digest(content)
        self.contents.setdefault(key, content)
        return key


def mail_storage() -> Storage:
    return storages["mail"]


def stage(staged: Staged) -> None:
    """Write what is too large for the database into the storage. Call outside transactions."""
    for key, content in staged.contents.items():
        if len(content) > IN_DATABASE_LIMIT:
            _store(key, content)


def _store(key: str, content: bytes) -> None:
    mail_storage().save(StoredBytes(sha256=key).storage_name, ContentFile(content))


def save(staged: Staged, only: Iterable[str] | None = None) -> dict[str, UUID]:
    """Digest -> key of its row, for all staged contents or only some. Two statements."""
    keys = sorted(staged.contents if only is None else set(only))
    if not keys:
        return {}
    rows = []
    for key in keys:
        content = staged.contents[key]
        large = len(content) > IN_DATABASE_LIMIT
        rows.append(
            StoredBytes(
                sha256=key,
                size=len(content),
                place=BytesPlace.STORAGE if large else BytesPlace.DATABASE,
                content=None if large else content,
            )
        )
    StoredBytes.objects.bulk_create(rows, ignore_conflicts=True)
    found = {}
    known = StoredBytes.objects.filter(sha256__in=keys).values_list("sha256", "pk", "place")
    for key, pk, place in known:
        found[key] = pk
        # A sweep may have taken the file between `stage` and here.
        if place == BytesPlace.STORAGE:
            _store(key, staged.contents[key])
    return found


def read(stored: StoredBytes) -> bytes:
    """The bytes themselves. Raises BytesMissing."""
    if stored.place == BytesPlace.DATABASE:
        return bytes(stored.content or b"")
    try:
        with mail_storage().open(stored.storage_name) as file:
            return bytes(file.read())
    except FileNotFoundError as error:
        raise BytesMissing(
            f"The mail storage lacks {stored.storage_name}. Restore it from a backup, or check "
            "MAIL_STORAGE_DIR."
        ) from error


def _referenced() -> list[Exists]:
    """One EXISTS per foreign key to StoredBytes, whatever room it stands in."""
    return [
        Exists(
            relation.related_model._default_manager.filter(**{relation.field.name: OuterRef("pk")})
        )
        for relation in StoredBytes._meta.get_fields(include_hidden=True)
        if isinstance(relation, models.ManyToOneRel)
    ]


def sweep(now: datetime, limit: int = 1000) -> int:
    """Remove contents that nothing has referred to for a day; returns how many."""
    anybody = models.Q()
    for exists in _referenced():
        anybody |= models.Q(exists)
    lonely = StoredBytes.objects.exclude(anybody)
    StoredBytes.objects.filter(unreferenced_since__isnull=False).filter(anybody).update(
        unreferenced_since=None
    )
    lonely.filter(unreferenced_since__isnull=True).update(unreferenced_since=now)
    due = list(
        lonely.filter(unreferenced_since__lte=now - KEEP_UNREFERENCED).values_list("pk", flat=True)[
            :limit
        ]
    )
    removed = 0
    for pk in due:
        with transaction.atomic():
            row = StoredBytes.objects.select_for_update().filter(pk=pk).exclude(anybody).first()
            if row is None:
                continue
            if row.place == BytesPlace.STORAGE:
                mail_storage().delete(row.storage_name)
            row.delete()
            removed += 1
    return removed
