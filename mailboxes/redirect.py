"""On a site that must reach nobody, such as one for staging, all mail goes to one address (R5.30).

The environment alone says so: no page and no right on the site switches it off. Messages are rewritten
where they are composed (activities.redirecting); what stands here lets nothing else over the line.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar, cast

from django.conf import settings
from django.utils.translation import gettext as _

from mailboxes.addresses import address_key
from mailboxes.protocols.base import Envelope, OutgoingServer, RecipientResult, Sent
from mailboxes.protocols.errors import MessageRefused
from mailboxes.protocols.items import (
    Change,
    Deletion,
    Draft,
    ItemsServer,
    Outcome,
    Tell,
    WrittenItem,
)

Order = TypeVar("Order", Draft, Change, Deletion)


def redirect_address() -> str:
    """Where all outgoing mail goes; "": to its recipients, as usual."""
    return str(settings.REDIRECT_ALL_MAIL_TO).strip()


def guarded(server: OutgoingServer) -> OutgoingServer:
    """The adapter, or while mail is redirected one that hands over nothing to anybody else."""
    address = redirect_address()
    return OnlyTo(server, address) if address else server


class OnlyTo:
    """OutgoingServer that refuses each message with a recipient but `address`, before the line is
    used. What composes a message redirects it; this is for whatever forgets to."""

    def __init__(self, server: OutgoingServer, address: str) -> None:
        self.server = server
        self.address = address
        self.protocol = server.protocol

    @property
    def told(self) -> tuple[RecipientResult, ...]:
        return self.server.told

    @property
    def size_limit(self) -> int:
        return self.server.size_limit

    def open(self) -> Self:
        self.server.open()
        return self

    def send(self, envelope: Envelope, hand_over: Callable[[], None]) -> Sent:
        others = {address_key(one) for one in envelope.recipients} - {address_key(self.address)}
        if others or not envelope.recipients:
            raise MessageRefused(
                _(
                    "All mail of this site goes to %(address)s (REDIRECT_ALL_MAIL_TO), and this "
                    "message was made for somebody else. It was not sent. (R5.30)"
                )
                % {"address": self.address}
            )
        return self.server.send(envelope, hand_over)

    def find_sent(self, message_id: str) -> bool | None:
        return self.server.find_sent(message_id)

    def close(self) -> None:
        self.server.close()


def guarded_items(server: ItemsServer) -> ItemsServer:
    """The adapter, or while mail is redirected one that tells nobody of a meeting: a server would mail its
    attendees themselves."""
    return cast(ItemsServer, TellsNobody(server)) if redirect_address() else server


class TellsNobody:
    """ItemsServer that refuses each write of which the server would tell somebody. All else is the server's."""

    def __init__(self, server: ItemsServer) -> None:
        self.server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self.server, name)

    def open(self) -> Self:
        self.server.open()
        return self

    def create(self, drafts: Sequence[Draft]) -> list[WrittenItem]:
        return _silent_ones(drafts, self.server.create)

    def update(self, changes: Sequence[Change]) -> list[WrittenItem]:
        return _silent_ones(changes, self.server.update)

    def delete(self, deletions: Sequence[Deletion]) -> list[WrittenItem]:
        return _silent_ones(deletions, self.server.delete)


def _silent_ones(
    orders: Sequence[Order], write: Callable[[Sequence[Order]], list[WrittenItem]]
) -> list[WrittenItem]:
    silent = [each for each in orders if each.tell is Tell.NOBODY]
    written = iter(write(silent)) if silent else iter(())
    return [next(written) if each.tell is Tell.NOBODY else _refused() for each in orders]


def _refused() -> WrittenItem:
    error = MessageRefused(
        _(
            "All mail of this site goes to %(address)s (REDIRECT_ALL_MAIL_TO), and the server would "
            "tell the attendees of this meeting itself. It was not written. (R5.30)"
        )
        % {"address": redirect_address()}
    )
    return WrittenItem(Outcome.REFUSED, error=error)
