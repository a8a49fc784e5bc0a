"""Files of a draft."""

from django.db import transaction
from django.utils.translation import gettext as _

from activities import blobs
from activities.models import ActivityMimeAttachment, Email
from mailboxes.models import Organization
from serversync.outbox.drafts import Refused, check_editable


def attach(
    email: Email, *, file_name: str, content: bytes, mime_type: str, organization: Organization
) -> ActivityMimeAttachment:
    """Add a file to a draft. Raises Refused over the organization's limit (R5.20)."""
    check_editable(email)
    if len(content) > organization.max_upload_file_size_kb * 1024:
        raise Refused(
            [
                _(
                    "“%(name)s” is larger than the %(limit)s KB that the organization allows. "
                    "Send a smaller file, or raise the limit. (R5.20, R3.51)"
                )
                % {"name": file_name, "limit": organization.max_upload_file_size_kb}
            ]
        )
    staged = blobs.Staged()
    key = staged.add(content)
    blobs.stage(staged)
    with transaction.atomic():
        _lock(email)
        rows = ActivityMimeAttachment.objects.filter(activity_id=email.pk)
        row = ActivityMimeAttachment.objects.create(
            activity_id=email.pk,
            attachment_id=blobs.save(staged)[key],
            attachment_number=rows.count() + 1,
            file_name=file_name[:255],
            mime_type=mime_type[:256],
            file_size=len(content),
        )
        Email.objects.filter(pk=email.pk).update(attachment_count=rows.count())
    return row


def detach(attachment: ActivityMimeAttachment) -> None:
    """Take a file off a draft. The bytes go with the sweep."""
    email = attachment.activity.email
    with transaction.atomic():
        _lock(email)
        attachment.delete()
        count = ActivityMimeAttachment.objects.filter(activity_id=email.pk).count()
        Email.objects.filter(pk=email.pk).update(attachment_count=count)


def _lock(email: Email) -> None:
    """Until the transaction ends; somebody else may have sent it since it was read. Raises Refused."""
    check_editable(Email.objects.select_for_update(of=("self",)).get(pk=email.pk))
