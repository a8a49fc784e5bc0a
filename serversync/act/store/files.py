"""Files of appointments: read with what identifies them, kept as those of mail are (R3.51, R3.52)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from activities import blobs, recyclebin
from activities.choices import AttachmentErrors
from activities.mime.message import Attachment
from activities.models import ActivityMimeAttachment, Appointment
from mailboxes.models import Organization, SystemUser
from mailboxes.protocols.items import ItemFile
from serversync.act.attached import FileId
from tracking.attachments import blocked_extensions, judge_attachments

LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class StoredFile:
    row: Any

    @property
    def id(self) -> FileId:
        return FileId(self.row.file_name, self.row.attachment.sha256)

    def as_item(self) -> ItemFile:
        """With its content. Raises BytesMissing."""
        row = self.row
        content = blobs.read(row.attachment)
        return ItemFile(row.file_name, row.mime_type, len(content), content=content)


@dataclass(frozen=True, slots=True)
class Kept:
    """Of files that were to be added: those that are there now, and those that may not be."""

    files: frozenset[FileId]
    left_out: frozenset[FileId]


def files_of(keys: Iterable[UUID]) -> dict[UUID, list[StoredFile]]:
    """Without pictures inside the body. One statement."""
    found: dict[UUID, list[StoredFile]] = defaultdict(list)
    rows = ActivityMimeAttachment.objects.filter(activity__in=list(keys), is_inline=False)
    for row in rows.select_related("attachment").order_by("attachment_number", "pk"):
        found[row.activity_id].append(StoredFile(row))
    return found


def id_of(file: ItemFile) -> FileId:
    told = f"size {file.size}" if file.content is None else blobs.digest(file.content)
    return FileId(file.name[:LONGEST_NAME], told)


def stage(files: Iterable[ItemFile]) -> blobs.Staged:
    """Before the transaction in which they are added."""
    staged = blobs.Staged()
    for file in files:
        staged.add(file.content or b"")
    blobs.stage(staged)
    return staged


def add(
    key: UUID, files: Sequence[ItemFile], staged: blobs.Staged, organization: Organization
) -> Kept:
    """What is too large or blocked is left out, and the appointment says so."""
    readable = [file for file in files if file.content is not None]
    judged = judge_attachments(
        [Attachment(file.name, file.content_type, file.content or b"") for file in readable],
        organization.max_upload_file_size_kb * 1024,
        blocked_extensions(organization.blocked_attachments),
    )
    kept = {FileId(one.filename[:LONGEST_NAME], blobs.digest(one.content)) for one in judged.kept}
    there = ActivityMimeAttachment.objects.filter(activity=key).count()
    contents = blobs.save(staged, {one.digest for one in kept})
    ActivityMimeAttachment.objects.bulk_create(
        ActivityMimeAttachment(
            activity_id=key,
            attachment_id=contents[blobs.digest(file.content)],
            attachment_number=number,
            file_name=file.filename[:LONGEST_NAME],
            mime_type=file.content_type[:256],
            file_size=len(file.content),
        )
        for number, file in enumerate(judged.kept, start=there)
    )
    left_out = {id_of(file) for file in files} - kept
    if left_out:
        Appointment.objects.filter(pk=key).update(attachment_errors=AttachmentErrors.DROPPED)
    return Kept(frozenset(kept), frozenset(left_out))


def remove(
    files: Iterable[StoredFile], *, actor: SystemUser, now: datetime, reason: str = ""
) -> None:
    """Into the bin (R6.47)."""
    keys = [file.row.pk for file in files]
    if keys:
        recyclebin.delete(ActivityMimeAttachment, keys, now=now, actor=actor, reason=reason)
