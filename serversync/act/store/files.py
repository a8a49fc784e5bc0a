"""Files of appointments: read with what identifies them, kept as those of mail are (R3.51, R3.52)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Max

from activities import blobs, recyclebin
from activities.choices import AttachmentErrors
from activities.mime.message import Attachment
from activities.models import ActivityMimeAttachment, Appointment
from mailboxes.models import Organization, SystemUser
from mailboxes.protocols.items import ItemFile
from serversync.act.attached import FileId, named
from tracking.attachments import blocked_extensions, judge_attachments


@dataclass(frozen=True, slots=True)
class StoredFile:
    row: Any

    @property
    def id(self) -> FileId:
        return FileId(named(self.row.file_name), self.row.attachment.sha256)

    @property
    def size(self) -> int:
        return int(self.row.attachment.size)

    def as_item(self) -> ItemFile:
        """With its content. Raises BytesMissing."""
        row = self.row
        content = blobs.read(row.attachment)
        return ItemFile(named(row.file_name), row.mime_type, len(content), content=content)


def files_of(keys: Iterable[UUID]) -> Mapping[UUID, list[StoredFile]]:
    """Without pictures inside the body, and without the bytes. One statement."""
    found: dict[UUID, list[StoredFile]] = defaultdict(list)
    rows = ActivityMimeAttachment.objects.filter(activity__in=list(keys), is_inline=False)
    rows = rows.select_related("attachment").defer("attachment__content")
    for row in rows.order_by("attachment_number", "pk"):
        found[row.activity_id].append(StoredFile(row))
    return found


def id_of(file: ItemFile) -> FileId:
    """By its content, if that was fetched."""
    told = f"size {file.size}" if file.content is None else blobs.digest(file.content)
    return FileId(named(file.name), told)


def limit_of(organization: Organization) -> int:
    """In octets (R3.51)."""
    return organization.max_upload_file_size_kb * 1024


def rules_of(organization: Organization) -> str:
    """What was left out by other rules than these is judged anew."""
    told = f"{organization.max_upload_file_size_kb};{organization.blocked_attachments}"
    return blobs.digest(told.encode())[:16]


def blocked_among(files: Iterable[ItemFile], organization: Organization) -> frozenset[FileId]:
    """Of those with content: too large, or of a blocked type."""
    known = {id_of(file): file for file in files if file.content is not None}
    judged = judge_attachments(
        [Attachment(one.name, one.content_type, one.content or b"") for one in known.values()],
        limit_of(organization),
        blocked_extensions(organization.blocked_attachments),
    )
    kept = {FileId(named(one.filename), blobs.digest(one.content)) for one in judged.kept}
    return frozenset(known) - kept


def stage(files: Iterable[ItemFile]) -> blobs.Staged:
    """Before the transaction in which they are added."""
    staged = blobs.Staged()
    for file in files:
        staged.add(file.content or b"")
    blobs.stage(staged)
    return staged


def add(key: UUID, files: Sequence[ItemFile], staged: blobs.Staged) -> None:
    if not files:
        return
    last = ActivityMimeAttachment.objects.filter(activity=key).aggregate(
        last=Max("attachment_number")
    )
    contents = blobs.save(staged)
    ActivityMimeAttachment.objects.bulk_create(
        ActivityMimeAttachment(
            activity_id=key,
            attachment_id=contents[blobs.digest(file.content or b"")],
            attachment_number=number,
            file_name=named(file.name),
            mime_type=file.content_type[:256],
            file_size=len(file.content or b""),
        )
        for number, file in enumerate(files, start=(last["last"] or 0) + 1)
    )


def remove(
    files: Iterable[StoredFile], *, actor: SystemUser, now: datetime, reason: str = ""
) -> None:
    """Into the bin (R6.47)."""
    keys = [file.row.pk for file in files]
    if keys:
        recyclebin.delete(ActivityMimeAttachment, keys, now=now, actor=actor, reason=reason)


def say_left_out(key: UUID, *, some: bool) -> None:
    """On the appointment itself, for whoever looks at it."""
    said = AttachmentErrors.DROPPED if some else AttachmentErrors.NONE
    Appointment.objects.filter(pk=key).exclude(attachment_errors=said).update(
        attachment_errors=said
    )
