"""What of a synchronized pair a reader may know (R8.30, R6.36).

Whoever sees the mailbox sees its pairs. What they are about is for those who may read the mailbox, and of what is private for
its user alone. A record that the reader may open anyway keeps its name; what only the server has doesn't.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext as __

from mailboxes import access
from mailboxes.models import Mailbox, Queue, SystemUser
from mailboxes.protocols.items import Sensitivity
from serversync.act.records import Seen, within_sight
from serversync.act.types import Table
from serversync.models import ExchangeSyncIdMapping

HIDDEN = "***"
PRIVATE = {Sensitivity.PRIVATE.value, Sensitivity.CONFIDENTIAL.value}


class Reader:
    """One user, asked about many pairs: one statement for their mailboxes, and three for each kind of record.

    `pairs`: pairs or revisions."""

    def __init__(self, user: Any, pairs: Iterable[Any]) -> None:
        self.user, self.pairs = user, list(pairs)
        mailboxes = [one.mailbox_id for one in self.pairs]
        keys = set(mailboxes)
        rows = Mailbox.objects.filter(access.content_readers(user), pk__in=keys) if keys else ()
        self.mailboxes = {row.pk for row in rows}

    def may_know(self, link: ExchangeSyncIdMapping, *sides: Mapping[str, Any] | None) -> bool:
        """`sides`: stored ones, or writes; any of them may say that it is private."""
        if link.owner_id == self.user.pk:
            return True
        told = [link.base, *sides, *((side or {}).get("before") for side in sides)]
        return link.mailbox_id in self.mailboxes and not any(map(is_private, told))

    def subject(self, link: ExchangeSyncIdMapping, *sides: Mapping[str, Any] | None) -> str:
        if not self.may_know(link, *sides):
            return self.record_name(link)
        return link.item_subject or told_subject(*sides, link.base) or __("(no subject)")

    def record_name(self, pair: Any) -> str:
        """What a record of a pair is called here, if the reader may open it."""
        seen = self._seen.get((pair.object_type_code, pair.object_id))
        return HIDDEN if seen is None or seen.is_private else seen.name or __("(no subject)")

    def is_closed(self, pair: Any) -> bool:
        """Is its record private to others?"""
        seen = self._seen.get((pair.object_type_code, pair.object_id))
        return seen is not None and seen.is_private

    @cached_property
    def _seen(self) -> dict[tuple[int, UUID], Seen]:
        wanted: dict[int, set[UUID]] = defaultdict(set)
        for one in self.pairs:
            if one.object_type_code is not None and one.object_id is not None:
                wanted[one.object_type_code].add(one.object_id)
        return {
            (code, key): seen
            for code, keys in wanted.items()
            for key, seen in within_sight(Table(code), keys, self.user).items()
        }


def reader_of(user: Any, links: Iterable[ExchangeSyncIdMapping]) -> Reader:
    return Reader(user, links)


def is_private(side: Mapping[str, Any] | None) -> bool:
    return _field(side, "sensitivity") in PRIVATE


def told_subject(*sides: Mapping[str, Any] | None) -> str:
    """Of what has no subject, a name."""
    for side in sides:
        for told in (side, (side or {}).get("before")):
            if words := _field(told, "subject") or _name(told):
                return words
    return ""


def _name(side: Mapping[str, Any] | None) -> str:
    names = (_field(side, "given_name"), _field(side, "surname"))
    return " ".join(name for name in names if name)


def _field(side: Mapping[str, Any] | None, name: str) -> str:
    return str(((side or {}).get("fields") or {}).get(name) or "")


def outsiders(addresses: Collection[str]) -> set[str]:
    """Those that no user and no queue of ours has. Two statements."""
    told = {address.lower() for address in addresses}
    own: set[str] = set()
    for model, column in ((SystemUser, "internal_email_address"), (Queue, "email_address")):
        rows = model._default_manager.alias(lower=Lower(column)).filter(Q(lower__in=told))
        own |= {str(address).lower() for address in rows.values_list(column, flat=True)}
    return {address for address in addresses if address.lower() not in own}
