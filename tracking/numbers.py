"""The token of an email that leaves: that of its conversation, else the next one of its sender."""

from uuid import UUID

from django.db.models import Max

from activities.models import Email
from mailboxes.models import Organization, SystemUser, UserSettings
from tracking.tokens import TokenShape


def shape_of(organization: Organization) -> TokenShape:
    return TokenShape(
        prefix=organization.tracking_prefix,
        base=organization.tracking_token_id_base,
        user_digits=organization.tracking_token_id_digits,
        counter_digits=organization.tracking_counter_digits,
    )


def token_for(email: Email, user: SystemUser, organization: Organization) -> str:
    """An email keeps what it has, and a reply the token of its conversation (R4.9). Call inside the
    transaction that stores it."""
    return (
        email.tracking_token
        or token_of(email.conversation_tracking_id)
        or new_token(user, organization)
    )


def token_of(conversation: UUID | None) -> str:
    if conversation is None:
        return ""
    emails = Email.objects.filter(conversation_tracking_id=conversation).exclude(tracking_token="")
    newest = emails.order_by("-activity__sort_date").values_list("tracking_token", flat=True)
    return newest.first() or ""


def new_token(user: SystemUser, organization: Organization) -> str:
    """The next token of this user (R4.7, R4.8)."""
    return new_tokens(user.pk, organization, 1)[0]


def new_tokens(user_id: UUID, organization: Organization, count: int) -> list[str]:
    """The next ones of this user. The user's row stays locked until the transaction ends, so that of
    two emails at a time each gets its own, and one that is rolled back gives its number back."""
    settings = UserSettings.objects.select_for_update().get(pk=user_id)
    if settings.tracking_token_id is None:
        settings.tracking_token_id = _running_number(organization)
    counter = 1 if settings.next_tracking_number is None else settings.next_tracking_number
    shape, tokens = shape_of(organization), []
    for _number in range(count):
        tokens.append(shape.token(settings.tracking_token_id, counter))
        counter = shape.after(counter)
    settings.next_tracking_number = counter
    settings.save(update_fields=["tracking_token_id", "next_tracking_number"])
    return tokens


def _running_number(organization: Organization) -> int:
    """Numbers are given in the order of first tokens. The organization's row is the queue for them."""
    Organization.objects.select_for_update(of=("self",)).get(pk=organization.pk)
    last = UserSettings.objects.aggregate(last=Max("tracking_token_id"))["last"]
    return (last or 0) + 1
