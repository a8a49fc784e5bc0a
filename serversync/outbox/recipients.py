"""Recipients of a draft as they are when it is sent, which may be long after it was written."""

from collections.abc import Iterable

from django.apps import apps
from django.contrib.contenttypes.models import ContentType

from activities.choices import RECIPIENTS
from activities.mime.message import Address
from activities.models import ActivityParty, Email
from tracking.addresses import look_up
from tracking.resolution import AddressBook, Match


def recipients_of(email: Email) -> list[ActivityParty]:
    """Those with an address, not looked up again."""
    rows = ActivityParty.objects.filter(
        activity_id=email.pk, participation_type_mask__in=RECIPIENTS
    )
    return list(rows.exclude(address_used="").select_related("party_type"))


def looked_up_again(recipients: list[ActivityParty]) -> list[ActivityParty]:
    """With records that were made since, and with what their records say now of wanting email.
    Nothing is stored."""
    keys = {Address(row.address_used).key for row in recipients}
    book = look_up(key for key in keys if key)
    for row in recipients:
        if row.is_resolved:
            row.do_not_email = _still_unwilling(row, book)
        elif match := first_match(row.address_used, book):
            row.party_type = ContentType.objects.get_for_model(apps.get_model(match.kind))
            row.party_id = match.id
            row.address_used_email_column_number = match.column
            row.do_not_email = match.do_not_email
    return recipients


def store(recipients: list[ActivityParty]) -> None:
    """One statement, and none where nobody is there."""
    columns = ["party_type", "party_id", "address_used_email_column_number", "do_not_email"]
    ActivityParty.objects.bulk_update(recipients, columns)


def first_match(address: str, book: AddressBook) -> Match | None:
    """One row per recipient: mail is sent to an address once, whoever stands behind it."""
    matches = sorted(book.at(address), key=lambda match: match.rank)
    return next((match for match in matches if not match.is_ignored), None)


def unwilling(recipients: Iterable[ActivityParty]) -> list[str]:
    """Addresses of those who do not want email (R5.5)."""
    return [row.address_used for row in recipients if row.do_not_email]


def unwilling_among(addresses: Iterable[str]) -> list[str]:
    """Those of these addresses whose record, of several the first, wants no email (R5.5)."""
    wanted = list(dict.fromkeys(addresses))
    book = look_up({key for address in wanted if (key := Address(address).key)})
    found = ((address, first_match(address, book)) for address in wanted)
    return [address for address, match in found if match is not None and match.do_not_email]


def _still_unwilling(row: ActivityParty, book: AddressBook) -> bool:
    """What the record says; what the draft says where the record isn't found by this address."""
    of_record = (match for match in book.at(row.address_used) if match.id == row.party_id)
    for match in of_record:
        if ContentType.objects.get_for_model(apps.get_model(match.kind)) == row.party_type:
            return match.do_not_email
    return row.do_not_email
