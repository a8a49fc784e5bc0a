"""What is known of sizes before an e-mail is sent: how its subject is cut, and what its server refused."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Min, Sum
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from activities.choices import EmailStatus
from activities.models import ActivityMimeAttachment, Email
from mailboxes.choices import Operation
from mailboxes.models import Mailbox
from serversync.models import Submission

SMALL = 1024 * 1024  # no server refuses that, so nothing is asked
BASE64 = 1.37  # four octets for three, and line ends
REMEMBERED = timedelta(days=90)  # limits are raised now and then


def warnings_of_size(email: Email, mailbox: Mailbox, now: datetime) -> Iterable[str]:
    """No statement for mail of ordinary size without files (R5.20)."""
    size = size_of(email)
    if size < SMALL:
        return
    taken = mailbox.workload(Operation.OUTGOING).largest_message
    refused = smallest_refused(mailbox, now)
    if taken and size > taken:
        yield (
            _(
                "With its files it comes to about %(size)s, and the server takes messages of "
                "%(taken)s at most. (R5.20)"
            )
            % {"size": filesizeformat(size), "taken": filesizeformat(taken)}
        )
    elif refused is not None and size >= refused:
        yield (
            _(
                "With its files it comes to about %(size)s, and the server lately refused a message "
                "of %(refused)s as too large. (R5.20)"
            )
            % {"size": filesizeformat(size), "refused": filesizeformat(refused)}
        )


def size_of(email: Email) -> int:
    """About as many octets as the message will have. The text goes twice, as HTML and as plain text."""
    text = 2 * len(email.description.encode("utf-8", "replace"))
    if not email.attachment_count:
        return text
    files = ActivityMimeAttachment.objects.filter(activity_id=email.pk)
    total: int = files.aggregate(total=Sum("file_size"))["total"] or 0
    return text + int(total * BASE64)


def smallest_refused(mailbox: Mailbox, now: datetime) -> int | None:
    """Of what the servers of this profile refused as too large: octets, or None. What was mended and sent
    since has other bytes now."""
    if mailbox.email_server_profile_id is None:
        return None
    refused = Submission.objects.filter(
        mailbox__email_server_profile=mailbox.email_server_profile_id,
        error_code__in=["MessageTooLarge", "ErrorMessageSizeExceeded"],
        email__status_code=EmailStatus.FAILED,
        claimed_at__gte=now - REMEMBERED,
    )
    found: int | None = refused.aggregate(least=Min("email__mime__size"))["least"]
    return found
