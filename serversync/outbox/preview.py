"""What will become of a draft when it is sent, before it is."""

from dataclasses import dataclass, field
from datetime import datetime

from django.utils.translation import gettext as _

from activities.choices import ParticipationType
from activities.models import ActivityParty, Email
from mailboxes.models import Organization, Queue, SystemUser
from serversync.outbox.missing import missing
from serversync.outbox.recipients import looked_up_again, recipients_of
from serversync.outbox.rights import sender_of
from serversync.outbox.route import mailbox_for
from serversync.outbox.sizes import size_of, warnings_of_size
from serversync.outbox.waiting import held_up
from tracking.numbers import token_of
from tracking.tokens import with_token

UNNUMBERED = "…"  # a token's number is given when the e-mail is sent, for numbers are not wasted


@dataclass(frozen=True, slots=True)
class Preview:
    """`reasons`: why it can't be sent as it is. `warnings`: what else its writer should know. `size`: about
    as many octets as it will have."""

    sender: str
    on_behalf: str
    subject: str
    recipients: list[ActivityParty]
    reasons: list[str]
    warnings: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def is_unnumbered(self) -> bool:
        return UNNUMBERED in self.subject

    @property
    def addresses(self) -> list[str]:
        return [row.address_used for row in self.recipients]

    def of(self, role: ParticipationType) -> list[ActivityParty]:
        return [row for row in self.recipients if row.participation_type_mask == role]

    @property
    def to(self) -> list[ActivityParty]:
        return self.of(ParticipationType.TO)

    @property
    def cc(self) -> list[ActivityParty]:
        return self.of(ParticipationType.CC)

    @property
    def bcc(self) -> list[ActivityParty]:
        return self.of(ParticipationType.BCC)


def preview_of(
    email: Email, actor: SystemUser, organization: Organization, now: datetime
) -> Preview:
    """Writes nothing, and gives away no tracking number."""
    sender = sender_of(email)
    recipients = looked_up_again(recipients_of(email))
    subject = subject_of(email, organization)
    reasons = missing(email, sender, recipients, actor, organization)
    warnings = list(_of_subject(email, subject))
    on_behalf = ""
    if isinstance(sender, SystemUser | Queue) and getattr(sender, "default_mailbox", None):
        through = mailbox_for(sender, actor, organization)
        on_behalf = "" if through == sender.default_mailbox else str(through.email_address)
        warnings += [
            *held_up(through, organization, now),
            *warnings_of_size(email, through, now),
        ]
    return Preview(
        sender=f"{sender} <{email.sender}>" if sender else email.sender,
        on_behalf=on_behalf,
        subject=subject,
        recipients=recipients,
        reasons=reasons,
        warnings=warnings,
        size=size_of(email),
    )


def subject_of(email: Email, organization: Organization) -> str:
    """As it will leave: with its token, within what servers take (R4.10, R4.11)."""
    token = ""
    if organization.use_tracking_tokens:
        known = email.tracking_token or token_of(email.conversation_tracking_id)
        token = known or f"{organization.tracking_prefix}{UNNUMBERED}"
    return with_token(
        email.activity.subject, token, organization.maximum_subject_length_on_mail_server
    )


def _of_subject(email: Email, subject: str) -> list[str]:
    written = email.activity.subject.strip()
    if written and not subject.startswith(written):
        return [
            _("The subject is longer than servers take: its end is cut off. (R4.11)"),
        ]
    if not written:
        return [_("It has no subject.")]
    return []
